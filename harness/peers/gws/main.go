// Command gws is lxzan/gws: a goroutine that reads for each connection, writes
// from the caller's, and its Broadcaster for rooms.
package main

import (
	"net/http"

	"github.com/lxzan/gws"

	"github.com/asynclab/asynclab/harness/peers/peer"
)

var rooms peer.Rooms[*gws.Conn]

type handler struct{ gws.BuiltinEventHandler }

func (handler) OnOpen(c *gws.Conn) {
	if room := roomOf(c); room != "" {
		rooms.Join(room, c)
	}
}

func (handler) OnClose(c *gws.Conn, _ error) { rooms.Leave(roomOf(c), c) }

func (handler) OnMessage(c *gws.Conn, m *gws.Message) {
	defer m.Close()
	room := roomOf(c)
	if room == "" {
		c.WriteMessage(m.Opcode, m.Bytes())
		return
	}
	b := gws.NewBroadcaster(m.Opcode, m.Bytes())
	rooms.Each(room, func(c *gws.Conn) { b.Broadcast(c) })
	b.Close()
}

func roomOf(c *gws.Conn) string {
	room, _ := c.Session().Load("room")
	s, _ := room.(string)
	return s
}

func main() {
	up := gws.NewUpgrader(handler{}, &gws.ServerOption{})
	l := peer.Listen()
	go http.Serve(l, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c, err := up.Upgrade(w, r)
		if err != nil {
			return
		}
		c.Session().Store("room", peer.Room(r.URL.Path))
		if room := peer.Room(r.URL.Path); room != "" {
			rooms.Join(room, c)
		}
		go c.ReadLoop()
	}))
	peer.Ready(l.Addr().String())
}
