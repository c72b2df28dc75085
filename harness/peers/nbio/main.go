// Command nbio is lesismal/nbio with its own HTTP and WebSocket server on its
// pollers, no goroutine a connection.
package main

import (
	"net/http"

	"github.com/lesismal/nbio/nbhttp"
	"github.com/lesismal/nbio/nbhttp/websocket"

	"github.com/asynclab/asynclab/harness/peers/peer"
)

var rooms peer.Rooms[*websocket.Conn]

func main() {
	up := websocket.NewUpgrader()
	up.CheckOrigin = func(*http.Request) bool { return true }
	up.OnMessage(func(c *websocket.Conn, kind websocket.MessageType, p []byte) {
		room, _ := c.Session().(string)
		if room == "" {
			c.WriteMessage(kind, p)
			return
		}
		rooms.Each(room, func(m *websocket.Conn) { m.WriteMessage(kind, p) })
	})
	up.OnClose(func(c *websocket.Conn, _ error) {
		if room, _ := c.Session().(string); room != "" {
			rooms.Leave(room, c)
		}
	})
	l := peer.Listen()
	at := l.Addr().String()
	l.Close()
	engine := nbhttp.NewEngine(nbhttp.Config{Network: "tcp", Addrs: []string{at}, MaxLoad: 1_000_000, ReleaseWebsocketPayload: true,
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			c, err := up.Upgrade(w, r, nil)
			if err != nil {
				return
			}
			room := peer.Room(r.URL.Path)
			c.SetSession(room)
			if room != "" {
				rooms.Join(room, c)
			}
		})})
	peer.Check(engine.Start())
	peer.Ready(at)
}
