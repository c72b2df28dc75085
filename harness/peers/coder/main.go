// Command coder is coder/websocket, with a goroutine that reads and one that
// writes for each member of a room, as in its chat example.
package main

import (
	"context"
	"net/http"

	"github.com/coder/websocket"

	"github.com/asynclab/asynclab/harness/peers/peer"
)

type message struct {
	kind websocket.MessageType
	p    []byte
}

type member struct{ send chan message }

var rooms peer.Rooms[*member]

func main() {
	l := peer.Listen()
	go http.Serve(l, http.HandlerFunc(serve))
	peer.Ready(l.Addr().String())
}

func serve(w http.ResponseWriter, r *http.Request) {
	c, err := websocket.Accept(w, r, &websocket.AcceptOptions{InsecureSkipVerify: true, CompressionMode: websocket.CompressionDisabled})
	if err != nil {
		return
	}
	defer c.CloseNow()
	ctx := context.Background()
	room := peer.Room(r.URL.Path)
	if room == "" {
		for {
			kind, p, err := c.Read(ctx)
			if err != nil || c.Write(ctx, kind, p) != nil {
				return
			}
		}
	}
	m := &member{send: make(chan message, 256)}
	rooms.Join(room, m)
	defer rooms.Leave(room, m)
	go func() {
		for x := range m.send {
			if c.Write(ctx, x.kind, x.p) != nil {
				c.CloseNow()
				return
			}
		}
	}()
	for {
		kind, p, err := c.Read(ctx)
		if err != nil {
			return
		}
		rooms.Each(room, func(m *member) {
			select {
			case m.send <- message{kind, p}:
			default:
			}
		})
	}
}
