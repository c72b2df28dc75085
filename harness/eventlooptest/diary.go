package eventlooptest

import (
	"bytes"
	"fmt"
	"sync"

	"github.com/asynclab/asynclab/harness/spec"
)

// A diary records what a loop's callbacks were called with, by connection.
type diary struct {
	r *spec.Run

	mu    sync.Mutex // guards the following, lives' fields included
	lives map[Conn]*life
	order []*life // by OnOpen
}

// life is what happened to one connection.
type life struct {
	conn     Conn
	peer     string
	opened   int
	messages [][]byte // copies; of OnData: what was shown
	closed   int
	err      error // what OnClose got, the last time
	late     int   // callbacks before OnOpen or after OnClose
}

func newDiary(r *spec.Run) *diary { return &diary{r: r, lives: map[Conn]*life{}} }

// options records everything and answers nothing. Rules wrap what they need.
func (d *diary) options() Options[Conn] {
	return Options[Conn]{OnOpen: d.opened, OnMessage: d.message, OnClose: d.closed}
}

func (d *diary) life(c Conn) *life {
	l := d.lives[c]
	if l == nil {
		l = &life{conn: c, peer: c.RemoteAddr().String()}
		d.lives[c] = l
		d.order = append(d.order, l)
	}
	return l
}

func (d *diary) opened(c Conn) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.life(c).opened++
}

func (d *diary) message(c Conn, msg []byte) {
	d.mu.Lock()
	defer d.mu.Unlock()
	l := d.life(c)
	if l.opened == 0 || l.closed > 0 {
		l.late++
	}
	l.messages = append(l.messages, bytes.Clone(msg))
}

func (d *diary) closed(c Conn, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	l := d.life(c)
	if l.opened == 0 {
		l.late++
	}
	l.closed++
	l.err = err
}

// of returns the record of a client's connection; empty when there is none. It
// is a copy: the loop goes on.
func (d *diary) of(c *client) life { return d.ofPeer(c.LocalAddr().String()) }

func (d *diary) ofPeer(peer string) life {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, l := range d.order {
		if l.peer == peer {
			return *l
		}
	}
	return life{}
}

// all returns copies of all records.
func (d *diary) all() (lives []life) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, l := range d.order {
		lives = append(lives, *l)
	}
	return lives
}

// waitOpen waits for a client's OnOpen and returns the loop's connection.
func (d *diary) waitOpen(c *client) (Conn, error) {
	err := d.r.Until("OnOpen for a client that has connected", func() bool { return d.of(c).opened > 0 })
	return d.of(c).conn, err
}

// waitClosed waits for a client's OnClose and returns what it got.
func (d *diary) waitClosed(c *client, why string) (error, error) {
	late := d.r.Until("OnClose for a connection that "+why, func() bool { return d.of(c).closed > 0 })
	return d.of(c).err, late
}

// waitMessages waits until the client's connection has n messages, and compares
// all it has with want.
func (d *diary) waitMessages(c *client, want ...[]byte) error {
	n := 0
	late := d.r.Until(fmt.Sprintf("OnMessage for all of %d frames", len(want)), func() bool {
		l := d.of(c)
		n = len(l.messages)
		return n >= len(want) || l.closed > 0
	})
	l := d.of(c)
	for i := range min(len(l.messages), len(want)) {
		if !bytes.Equal(l.messages[i], want[i]) {
			return spec.Fail(fmt.Sprintf("message %d of %d to be %s", i+1, len(want), show(want[i])), "it is %s", show(l.messages[i]))
		}
	}
	switch {
	case late != nil:
		return spec.Fail(fmt.Sprintf("OnMessage for all of %d frames", len(want)), "%d came, then no more", n)
	case len(l.messages) != len(want):
		return spec.Fail(fmt.Sprintf("%d messages", len(want)), "%d came; closed: %v, with error: %v", len(l.messages), l.closed > 0, l.err)
	}
	return nil
}

// orderly holds what is true of every life: OnOpen once and first, OnClose at
// most once and last.
func (d *diary) orderly() error {
	for _, l := range d.all() {
		switch {
		case l.opened != 1:
			return spec.Fail("OnOpen once for each connection", "%d times for %s", l.opened, l.peer)
		case l.closed > 1:
			return spec.Fail("OnClose once for each OnOpen", "%d times for %s", l.closed, l.peer)
		case l.late > 0:
			return spec.Fail("OnOpen before and OnClose after every other callback of a connection", "%d callbacks of %s came outside", l.late, l.peer)
		}
	}
	return nil
}

// A gate holds a loop inside a callback, so that what happens meanwhile waits
// for it in the kernel.
type gate struct {
	entered chan struct{}
	leave   chan struct{}
}

var gateWord = []byte("hold the loop in this callback")

func newGate(r *spec.Run) *gate {
	g := &gate{entered: make(chan struct{}, 16), leave: make(chan struct{}, 16)}
	r.Cleanup(func() { // a check that failed must not leave the loop held
		for range cap(g.leave) {
			select {
			case g.leave <- struct{}{}:
			default:
			}
		}
	})
	return g
}

// guard puts the gate in front of a callback.
func (g *gate) guard(onMessage func(Conn, []byte)) func(Conn, []byte) {
	return func(c Conn, msg []byte) {
		if bytes.Equal(msg, gateWord) {
			g.entered <- struct{}{}
			<-g.leave
			return
		}
		onMessage(c, msg)
	}
}

// close sends the word through c and waits until the loop is held.
func (g *gate) close(c *client) error {
	if err := c.send(gateWord); err != nil {
		return err
	}
	_, err := spec.Wait(c.r, "OnMessage for a small frame", g.entered)
	return err
}

func (g *gate) open() { g.leave <- struct{}{} }
