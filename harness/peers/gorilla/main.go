// Command gorilla is gorilla/websocket as most servers use it: a goroutine that
// reads and one that writes for each member of a room, a hub that gives each a
// bounded channel (its chat example), and prepared messages. Echo needs the
// reading goroutine alone.
package main

import (
	"net/http"

	"github.com/gorilla/websocket"

	"github.com/asynclab/asynclab/harness/peers/peer"
)

var upgrader = websocket.Upgrader{ReadBufferSize: 1024, WriteBufferSize: 1024, WriteBufferPool: nil}

type member struct {
	send chan *websocket.PreparedMessage
}

var rooms peer.Rooms[*member]

func main() {
	l := peer.Listen()
	go http.Serve(l, http.HandlerFunc(serve))
	peer.Ready(l.Addr().String())
}

func serve(w http.ResponseWriter, r *http.Request) {
	c, err := upgrader.Upgrade(w, r, nil)
	if err != nil {
		return
	}
	defer c.Close()
	room := peer.Room(r.URL.Path)
	if room == "" {
		echo(c)
		return
	}
	m := &member{send: make(chan *websocket.PreparedMessage, 256)}
	rooms.Join(room, m)
	defer rooms.Leave(room, m)
	go func() {
		for p := range m.send {
			if c.WritePreparedMessage(p) != nil {
				c.Close()
				return
			}
		}
	}()
	for {
		kind, p, err := c.ReadMessage()
		if err != nil {
			return
		}
		prepared, _ := websocket.NewPreparedMessage(kind, p)
		rooms.Each(room, func(m *member) {
			select {
			case m.send <- prepared:
			default: // its hub disconnects who is too slow; here the message is dropped
			}
		})
	}
}

func echo(c *websocket.Conn) {
	for {
		kind, p, err := c.ReadMessage()
		if err != nil || c.WriteMessage(kind, p) != nil {
			return
		}
	}
}
