package blockingtest

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// fault is one way in which a variant is wrong. It is a word for the reader;
// the code below says what each does.
type fault string

// small is no fault: a buffer of 128 bytes is slow, and right.
const small fault = "a small buffer"

// variant is a right server in another style than the solution's: contexts in
// place of a quit channel, a sync.Map in place of a locked one. With a fault it
// is a mutant.
type variant struct {
	o     Options
	fault fault

	ctx    context.Context // ends when draining begins
	cancel context.CancelFunc
	slots  chan struct{}
	conns  sync.Map // *variantConn -> struct{}
	ln     atomic.Pointer[net.Listener]
	work   sync.WaitGroup
	gate   sync.RWMutex // held for writing while draining begins
	shared []byte       // for fault "shares a buffer"
}

func newVariant(f fault) New {
	return func(o Options) (Server, error) {
		if o.MaxConns < 0 || (o.IdleTimeout < 0 || o.WriteTimeout < 0) && f != "takes any timeout" {
			return nil, errors.New("variant: an option is negative")
		}
		if f == "ends the silent a second late" && o.IdleTimeout > 0 {
			o.IdleTimeout += time.Second
		}
		if f == "ends the stalled a second late" && o.WriteTimeout > 0 {
			o.WriteTimeout += time.Second
		}
		ctx, cancel := context.WithCancel(context.Background())
		v := &variant{o: o, fault: f, ctx: ctx, cancel: cancel, shared: make([]byte, 4096)}
		limit := o.MaxConns
		if limit == 0 || f == "no cap" {
			limit = 1 << 20
		}
		v.slots = make(chan struct{}, limit)
		return v, nil
	}
}

func (v *variant) Serve(ln net.Listener) error {
	v.gate.RLock()
	if v.ctx.Err() != nil {
		v.gate.RUnlock()
		ln.Close()
		return nil
	}
	v.ln.Store(&ln)
	v.work.Add(1)
	v.gate.RUnlock()
	defer v.work.Done()
	begin, limit := 5*time.Millisecond, time.Second
	switch v.fault {
	case "pause begins at 10 ms":
		begin = 10 * time.Millisecond
	case "pause grows to 2 s":
		limit = 2 * time.Second
	}
	pause := begin
	for {
		select {
		case v.slots <- struct{}{}:
		case <-v.ctx.Done():
			return nil
		}
		c, err := ln.Accept()
		if err == nil {
			if v.fault != "pause never starts again" {
				pause = begin
			}
			v.accepted(c)
			continue
		}
		if v.fault != "loses a slot on an accept error" {
			<-v.slots
		}
		if v.ctx.Err() != nil {
			return nil
		}
		if v.lasting(err) {
			if v.fault == "a lasting error ends the connections" {
				v.each(func(c *variantConn) { c.Close() })
			}
			return err
		}
		if v.fault == "spins on EMFILE" {
			continue
		}
		select {
		case <-time.After(pause):
		case <-v.ctx.Done():
		}
		switch v.fault {
		case "pause does not grow":
		case "pause grows by 5 ms":
			pause += begin
		default:
			pause = min(2*pause, limit)
		}
	}
}

func (v *variant) lasting(err error) bool {
	switch v.fault {
	case "exits on a temporary accept error":
		return true
	case "swallows a lasting error":
		return false
	case "gives up on an aborted client":
		return !errors.Is(err, syscall.EMFILE)
	}
	var errno syscall.Errno
	return !errors.As(err, &errno) // every errno of accept(2) that a test can make passes
}

func (v *variant) accepted(c net.Conn) {
	v.gate.RLock()
	defer v.gate.RUnlock()
	if v.ctx.Err() != nil {
		c.Close()
		return
	}
	vc := &variantConn{Conn: c, v: v}
	v.conns.Store(vc, nil)
	v.work.Add(1)
	go vc.serve()
}

type variantConn struct {
	net.Conn
	v  *variant
	mu sync.Mutex
}

func (c *variantConn) serve() {
	defer c.v.work.Done()
	defer func() {
		if c.v.fault != "leaks the slot" {
			<-c.v.slots
		}
	}()
	defer c.v.conns.Delete(c)
	if c.v.fault != "leaks the descriptor" {
		defer c.Close()
	}
	switch c.v.fault {
	case "leaks the goroutine":
		go func() { <-make(chan int) }()
	case "buffers without bound":
		c.unbounded()
		return
	case "waits for a whole buffer":
		c.whole()
		return
	}
	c.echo()
}

func (c *variantConn) echo() {
	buf := make([]byte, 4096)
	switch c.v.fault {
	case "shares a buffer":
		buf = c.v.shared
	case small:
		buf = buf[:128]
	}
	for first := true; ; first = false {
		c.beforeRead(first)
		n, err := c.Read(buf)
		if err != nil && (c.v.fault == "drops what comes with an error" || c.v.fault == "drops what comes with a reset" && !errors.Is(err, io.EOF)) {
			return
		}
		if n > 0 {
			if c.v.fault == "loses bytes above 1000" {
				n = min(n, 1000)
			}
			if c.write(buf[:n]) != nil {
				return
			}
		}
		if c.v.fault == "forgets to close at EOF" && errors.Is(err, io.EOF) {
			<-c.v.ctx.Done()
		}
		if err != nil {
			return
		}
	}
}

func (c *variantConn) beforeRead(first bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.v.o.IdleTimeout == 0 || c.v.fault == "no read deadline" {
		return
	}
	if c.v.fault == "read deadline set once" && !first {
		return
	}
	if c.v.ctx.Err() == nil || c.v.fault == "undoes the drain" {
		c.SetReadDeadline(time.Now().Add(c.v.o.IdleTimeout))
	}
}

func (c *variantConn) write(p []byte) error {
	all := p
	for len(p) > 0 {
		if c.v.o.WriteTimeout > 0 && c.v.fault != "no write deadline" {
			c.SetWriteDeadline(time.Now().Add(c.v.o.WriteTimeout))
		}
		n, err := c.Write(p)
		switch {
		case err == nil || c.v.fault == "ignores a short write" && n > 0:
			return nil
		case n > 0 && errors.Is(err, os.ErrDeadlineExceeded) && c.v.fault != "drops a slow reader":
			p = p[n:]
			if c.v.fault == "sends again from the start" {
				p = all
			}
		default:
			return err
		}
	}
	return nil
}

// unbounded reads as fast as it can, whatever the peer takes.
func (c *variantConn) unbounded() {
	var mu sync.Mutex
	var queue []byte
	more, end := make(chan struct{}, 1), make(chan struct{})
	go func() {
		defer close(end)
		for range more {
			mu.Lock()
			p := queue
			queue = nil
			mu.Unlock()
			if _, err := c.Write(p); err != nil {
				return
			}
		}
	}()
	buf := make([]byte, 4096)
	for {
		n, err := c.Read(buf)
		mu.Lock()
		queue = append(queue, buf[:n]...)
		mu.Unlock()
		select {
		case more <- struct{}{}:
		default:
		}
		if err != nil {
			close(more)
			<-end
			return
		}
	}
}

// whole echoes only when 4096 bytes are together.
func (c *variantConn) whole() {
	buf := make([]byte, 4096)
	for {
		if _, err := io.ReadFull(c, buf); err != nil {
			return
		}
		if _, err := c.Write(buf); err != nil {
			return
		}
	}
}

func (v *variant) Shutdown(ctx context.Context) error {
	v.gate.Lock()
	again := v.ctx.Err() != nil
	v.cancel()
	v.gate.Unlock()
	if again && v.fault == "second Shutdown panics" {
		panic("close of closed channel")
	}
	if again && v.fault == "second Shutdown does not wait" {
		return nil
	}
	if ln := v.ln.Load(); ln != nil && v.fault != "leaves the listener open" {
		(*ln).Close()
	}
	v.each(func(c *variantConn) {
		switch v.fault {
		case "kills what is in flight":
			c.Close()
		case "waits for idle peers":
		default:
			c.mu.Lock()
			defer c.mu.Unlock()
			c.SetReadDeadline(time.Unix(1, 0))
		}
	})
	ended := make(chan struct{})
	go func() { v.work.Wait(); close(ended) }()
	if v.fault == "does not wait" {
		return nil
	}
	select {
	case <-ended:
		return nil
	case <-ctx.Done():
	}
	if v.fault != "gives up without closing" {
		v.each(func(c *variantConn) { c.Close() })
		<-ended
	}
	if v.fault == "hides that it used force" {
		return nil
	}
	return ctx.Err()
}

func (v *variant) each(f func(c *variantConn)) {
	v.conns.Range(func(k, _ any) bool { f(k.(*variantConn)); return true })
}
