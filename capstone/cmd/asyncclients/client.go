package main

import (
	"bytes"
	"context"
	"fmt"
	"hash/maphash"
	"strconv"
	"time"

	"github.com/gorilla/websocket"

	retry "github.com/asynclab/asynclab/solutions/13-retry"
)

// backoff spreads a crowd that has lost its server in the same instant.
var backoff = retry.Backoff{Base: 100 * time.Millisecond, Cap: 2 * time.Second}

// firstNumber is a publisher's first. A server that has forgotten a sender takes
// one so high as it comes, and does not wait for those before it.
const firstNumber = 1000

// client is one member of the room. It belongs to its goroutine; conn may be
// written to by its publisher's, too, one at a time.
type client struct {
	*crowd
	index int
	name  string // of a publisher; "" for one who only listens

	next    int64 // the number of its own next message
	sent    bool  // that message is under way
	lastOwn int64 // its newest message that it has heard
}

func (c *crowd) client(i int) *client {
	k := &client{crowd: c, index: i, next: firstNumber, lastOwn: firstNumber - 1}
	if i < c.publishers {
		k.name = fmt.Sprintf("p%d", i)
	}
	return k
}

// run connects, again and again, until ctx ends.
func (k *client) run(ctx context.Context) {
	var lost time.Time
	for tries := 0; ctx.Err() == nil; {
		k.count(func(c *crowd) { c.found.Dials++ })
		if conn, err := k.dial(ctx); err == nil {
			up := k.serve(ctx, conn, lost)
			if ctx.Err() != nil {
				return
			}
			k.ended(k.index)
			if up {
				lost, tries = time.Now(), 0
			}
		}
		select {
		case <-time.After(backoff.Delay(tries)):
			tries++
		case <-ctx.Done():
		}
	}
}

func (k *client) dial(ctx context.Context) (*websocket.Conn, error) {
	url := fmt.Sprintf("ws://%s/room/%s?since=%d", k.addr, k.room, k.lastOf(k.index))
	if k.name != "" {
		url += "&sender=" + k.name
	}
	conn, _, err := websocket.DefaultDialer.DialContext(ctx, url, nil)
	return conn, err
}

// serve reads until the connection ends. It reports whether the client had caught
// up. lost is when the connection before ended.
func (k *client) serve(ctx context.Context, conn *websocket.Conn, lost time.Time) (up bool) {
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	messages := make(chan []byte)
	go func() {
		defer close(messages)
		for {
			_, p, err := conn.ReadMessage()
			if err != nil {
				return
			}
			messages <- p
		}
	}()
	defer func() { // the reader ends with the connection
		conn.Close()
		for range messages {
		}
	}()
	var tick <-chan time.Time
	if k.name != "" {
		t := time.NewTicker(k.every)
		defer t.Stop()
		tick = t.C
	}
	for {
		select {
		case p, ok := <-messages:
			if !ok {
				return up
			}
			if p[0] == '=' {
				up = true
				k.caughtUp(k.index, lost)
				if k.sent && k.publish(conn) != nil { // it is not in the history: it never arrived
					return up
				}
				continue
			}
			k.take(p)
		case <-tick:
			if up && !k.sent && !k.quiet.Load() {
				k.sent = true
				k.count(func(c *crowd) { c.pending++ })
				if k.publish(conn) != nil {
					return up
				}
			}
		}
	}
}

func (k *client) publish(conn *websocket.Conn) error {
	return conn.WriteMessage(websocket.TextMessage, fmt.Appendf(nil, "%d %s", k.next, k.name))
}

var seed = maphash.MakeSeed()

// take checks one message, "NUMBER OWN-NUMBER NAME".
func (k *client) take(p []byte) {
	digits, text, _ := bytes.Cut(p, []byte(" "))
	number, err := strconv.ParseInt(string(digits), 10, 64)
	if err != nil {
		k.count(func(c *crowd) { c.found.Different++ })
		return
	}
	k.heard(k.index, number, maphash.Bytes(seed, text))
	digits, name, _ := bytes.Cut(text, []byte(" "))
	if k.name == "" || string(name) != k.name {
		return
	}
	own, _ := strconv.ParseInt(string(digits), 10, 64)
	if own != k.lastOwn+1 {
		k.count(func(c *crowd) { c.found.Twice++ })
	}
	k.lastOwn = own
	if k.sent && own == k.next {
		k.sent = false
		k.next++
		k.count(func(c *crowd) { c.pending--; c.published++ })
	}
}
