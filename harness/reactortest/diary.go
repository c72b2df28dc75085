package reactortest

import (
	"bytes"
	"runtime"
	"slices"
	"sync"
	"time"

	"github.com/asynclab/asynclab/harness/spec"
)

// A diary records what a reactor's callbacks were called with, by connection,
// and on which goroutine.
type diary struct {
	r *spec.Run

	mu    sync.Mutex // guards the following, lives' fields included
	lives map[Conn]*life
	order []*life // by first callback
}

// life is what happened to one connection.
type life struct {
	conn       Conn
	peer       string
	loop       int      // what Loop said in the first callback
	goroutines []string // that its callbacks ran on
	opened     int
	messages   int
	timeouts   int
	timedOutAt time.Time // the last time
	openedAt   time.Time // when OnOpen was called
	closed     int
	closedAt   time.Time
	err        error // what OnClose got, the last time
	late       int   // callbacks before OnOpen or after OnClose
}

func newDiary(r *spec.Run) *diary { return &diary{r: r, lives: map[Conn]*life{}} }

// options records everything and echoes. Rules wrap what they need.
func (d *diary) options(loops int, accept string) Options[Conn] {
	return Options[Conn]{Loops: loops, Accept: accept, OnOpen: d.opened, OnMessage: d.echo, OnTimeout: d.timeout, OnClose: d.closed}
}

// enter finds the connection's record and notes who calls. The caller has mu.
func (d *diary) enter(c Conn) *life {
	l := d.lives[c]
	if l == nil {
		l = &life{conn: c, peer: c.RemoteAddr().String(), loop: c.Loop()}
		d.lives[c] = l
		d.order = append(d.order, l)
	}
	if g := goroutine(); !slices.Contains(l.goroutines, g) {
		l.goroutines = append(l.goroutines, g)
	}
	if l.closed > 0 {
		l.late++
	}
	return l
}

func (d *diary) opened(c Conn) {
	d.mu.Lock()
	defer d.mu.Unlock()
	l := d.enter(c)
	l.opened++
	l.openedAt = time.Now()
}

func (d *diary) message(c Conn) {
	d.mu.Lock()
	defer d.mu.Unlock()
	l := d.enter(c)
	l.messages++
	if l.opened == 0 {
		l.late++
	}
}

func (d *diary) echo(c Conn, msg []byte) {
	d.message(c)
	if err := c.Send(msg); err != nil {
		c.Abort(err)
	}
}

func (d *diary) timeout(c Conn) {
	d.mu.Lock()
	defer d.mu.Unlock()
	l := d.enter(c)
	l.timeouts++
	l.timedOutAt = time.Now()
}

func (d *diary) closed(c Conn, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	l := d.enter(c)
	if l.opened == 0 {
		l.late++
	}
	l.closed++
	l.closedAt = time.Now()
	l.err = err
}

// of returns the record of a client's connection; empty when there is none. It
// is a copy: the reactor goes on.
func (d *diary) of(c *client) life { return d.ofPeer(c.LocalAddr().String()) }

func (d *diary) ofPeer(peer string) life {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, l := range slices.Backward(d.order) { // the last one: ports come again
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

// count is how many connections were opened, and how many closed.
func (d *diary) count() (opened, closed int) {
	for _, l := range d.all() {
		opened += min(l.opened, 1)
		closed += min(l.closed, 1)
	}
	return opened, closed
}

// byLoop is how many connections of each loop are open.
func (d *diary) byLoop(loops int) []int {
	n := make([]int, loops)
	for _, l := range d.all() {
		if l.closed == 0 && l.loop >= 0 && l.loop < loops {
			n[l.loop]++
		}
	}
	return n
}

// waitClosed waits for a client's OnClose and returns what it got.
func (d *diary) waitClosed(c *client, why string) (error, error) {
	late := d.r.Until("OnClose for a connection that "+why, func() bool { return d.of(c).closed > 0 })
	return d.of(c).err, late
}

// crowd connects n clients and waits until every one is open.
func (d *diary) crowd(s *serving, n int) (clients []*client, err error) {
	before, _ := d.count()
	d.r.Step("%d clients connect", n)
	for range n {
		c, err := dial(d.r, s.addr)
		if err != nil {
			return nil, err
		}
		clients = append(clients, c)
	}
	err = d.r.Until("OnOpen for each client", func() bool { opened, _ := d.count(); return opened >= before+n })
	if err != nil {
		opened, _ := d.count()
		return nil, spec.Fail("OnOpen for each client that has connected", "it was called for %d of %d", opened-before, n)
	}
	return clients, nil
}

// oneByOne is crowd with each client there before the next one connects: its two
// ends have the two lowest descriptor numbers that are free, so who comes after
// others have gone gets the numbers that these had, in the same order.
func (d *diary) oneByOne(s *serving, n int) (clients []*client, err error) {
	d.r.Step("%d clients connect, one after the other", n)
	for range n {
		before, _ := d.count()
		c, err := dial(d.r, s.addr)
		if err != nil {
			return nil, err
		}
		clients = append(clients, c)
		if err := d.r.Until("OnOpen for a client that has connected", func() bool { opened, _ := d.count(); return opened > before }); err != nil {
			return nil, err
		}
	}
	return clients, nil
}

// onEachLoop connects clients until every loop has each of them, and returns
// them by loop. A hash spreads as it likes: there may be more of one.
func (d *diary) onEachLoop(s *serving, each int) (byLoop [][]*client, err error) {
	byLoop = make([][]*client, s.loops)
	for range 100 {
		clients, err := d.crowd(s, 2*s.loops)
		if err != nil {
			return nil, err
		}
		least := each
		for _, c := range clients {
			i := d.of(c).loop
			if i < 0 || i >= s.loops {
				return nil, spec.Fail("Loop to be the number of a loop", "it is %d, and there are %d loops", i, s.loops)
			}
			byLoop[i] = append(byLoop[i], c)
		}
		for _, own := range byLoop {
			least = min(least, len(own))
		}
		if least == each {
			return byLoop, nil
		}
	}
	return nil, spec.Fail("every loop to get connections", "of %d, the loops have %v", 200*s.loops, lengths(byLoop))
}

func lengths(byLoop [][]*client) (n []int) {
	for _, own := range byLoop {
		n = append(n, len(own))
	}
	return n
}

// orderly holds what is true of every life: OnOpen once and first, OnClose at
// most once and last, every callback on one goroutine.
func (d *diary) orderly() error {
	for _, l := range d.all() {
		switch {
		case l.opened != 1:
			return spec.Fail("OnOpen once for each connection", "%d times for %s", l.opened, l.peer)
		case l.closed > 1:
			return spec.Fail("OnClose once for each OnOpen", "%d times for %s", l.closed, l.peer)
		case l.late > 0:
			return spec.Fail("OnOpen before and OnClose after every other callback of a connection", "%d callbacks of %s came outside", l.late, l.peer)
		case len(l.goroutines) > 1:
			return spec.Fail("every callback of a connection on one goroutine", "those of %s ran on %v", l.peer, l.goroutines)
		}
	}
	return nil
}

// goroutine names the calling goroutine: "goroutine 17".
func goroutine() string {
	var buf [64]byte
	stack := buf[:runtime.Stack(buf[:], false)]
	name, _, _ := bytes.Cut(stack, []byte(" ["))
	return string(name)
}
