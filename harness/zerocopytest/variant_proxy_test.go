package zerocopytest

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// variantProxy copies, and looks at a clock of its own for what is quiet.
type variantProxy struct {
	o     ProxyOptions
	fault fault

	mu    sync.Mutex
	ln    net.Listener
	open  map[net.Conn]bool
	ended bool
	lost  []net.Conn
	all   sync.WaitGroup
}

func newVariantProxy(o ProxyOptions, f fault) (Server, error) {
	_, _, err := net.SplitHostPort(o.Target)
	bad := err != nil || o.Way != byCopy && o.Way != bySplice || o.DialTimeout <= 0 || o.IdleTimeout <= 0
	if bad && f != "accepts anything" {
		return nil, errors.New("nonsense")
	}
	return &variantProxy{o: o, fault: f, open: map[net.Conn]bool{}}, nil
}

func (p *variantProxy) Serve(ln net.Listener) error {
	p.mu.Lock()
	p.ln = ln
	if p.ended {
		ln.Close()
	}
	p.mu.Unlock()
	for {
		c, err := ln.Accept()
		if err != nil {
			p.mu.Lock()
			defer p.mu.Unlock()
			if p.ended {
				return nil
			}
			return err
		}
		if !p.keep(c) {
			continue
		}
		p.all.Add(1)
		down := make(chan bool, 1)
		go func() {
			defer p.all.Done()
			defer p.drop(c)
			p.relay(c.(*net.TCPConn), down)
		}()
		if p.fault == "no target is the end" && <-down {
			ln.Close()
			return errors.New("no target")
		}
	}
}

func (p *variantProxy) keep(c net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.ended {
		c.Close()
		return false
	}
	p.open[c] = true
	return true
}

func (p *variantProxy) drop(c net.Conn) {
	p.mu.Lock()
	delete(p.open, c)
	p.mu.Unlock()
	c.Close()
}

func (p *variantProxy) relay(c *net.TCPConn, down chan<- bool) {
	t, err := net.DialTimeout("tcp", p.o.Target, p.o.DialTimeout)
	down <- err != nil
	if err != nil {
		if p.fault != "no target is a regular end" {
			c.SetLinger(0)
		}
		return
	}
	target := t.(*net.TCPConn)
	if p.fault == "targets are nobody's" {
		p.mu.Lock()
		p.lost = append(p.lost, t) // the garbage collector would close them, some day
		p.mu.Unlock()
	} else {
		if !p.keep(target) {
			return
		}
		defer p.drop(target)
	}
	var moved atomic.Int64
	var both sync.WaitGroup
	out := func() { p.copies(target, c, &moved) }
	back := func() { p.copies(c, target, &moved) }
	if p.fault == "one direction first" {
		out()
		back()
		return
	}
	both.Go(out)
	both.Go(back)
	both.Wait()
}

func (p *variantProxy) copies(dst, src *net.TCPConn, moved *atomic.Int64) {
	err := p.pump(dst, src, moved)
	switch {
	case err == nil && p.fault == "ends both at once":
		dst.Close()
		src.Close()
	case err == nil && p.fault == "the end is not passed on":
	case err == nil:
		dst.CloseWrite()
	case p.fault == "a reset is an end":
		dst.CloseWrite()
		src.Close()
		dst.Close()
	case p.fault == "a reset stays here":
		src.Close()
	default:
		src.SetLinger(0)
		dst.SetLinger(0)
		src.Close()
		dst.Close()
	}
}

func (p *variantProxy) pump(dst, src *net.TCPConn, moved *atomic.Int64) error {
	if p.fault == "reads all it can" {
		all := &bytes.Buffer{}
		if _, err := io.Copy(all, src); err != nil {
			return err
		}
		_, err := all.WriteTo(dst)
		return err
	}
	buf := make([]byte, 32<<10)
	for {
		n, err := p.patient(src.SetReadDeadline, moved, func() (int, error) { return src.Read(buf) })
		for at := 0; at < n; {
			k, err := p.patient(dst.SetWriteDeadline, moved, func() (int, error) { return p.some(dst, buf[at:n]) })
			if at += k; err != nil {
				return err
			}
			if p.fault == "writes once" {
				break
			}
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// some writes what it can; with a fault it takes a part for the whole.
func (p *variantProxy) some(c *net.TCPConn, b []byte) (int, error) {
	if p.fault == "writes once" {
		return c.Write(b[:min(len(b), 20_000)])
	}
	return c.Write(b)
}

// patient repeats a call whose deadline passes while the other direction moves.
func (p *variantProxy) patient(deadline func(time.Time) error, moved *atomic.Int64, call func() (int, error)) (int, error) {
	idle := p.o.IdleTimeout
	switch p.fault {
	case "no idle timeout":
		idle = time.Hour
	case "asks all the time":
		idle = time.Microsecond
	}
	for {
		before := moved.Load()
		deadline(time.Now().Add(idle))
		n, err := call()
		moved.Add(int64(n))
		quiet := n == 0 && moved.Load() == before || p.fault == "each direction for itself" && n == 0
		if p.fault == "asks all the time" {
			quiet = false
		}
		if errors.Is(err, os.ErrDeadlineExceeded) {
			if quiet {
				return n, err
			}
			if n > 0 {
				return n, nil
			}
			continue
		}
		return n, err
	}
}

func (p *variantProxy) Shutdown(ctx context.Context) error {
	p.mu.Lock()
	p.ended = true
	if p.ln != nil {
		p.ln.Close()
	}
	p.mu.Unlock()
	ended := make(chan struct{})
	go func() { p.all.Wait(); close(ended) }()
	select {
	case <-ended:
		return nil
	case <-ctx.Done():
	}
	p.mu.Lock()
	for c := range p.open {
		if p.fault != "ends by a regular end" {
			c.(*net.TCPConn).SetLinger(0)
		}
		c.Close()
	}
	p.mu.Unlock()
	<-ended
	return ctx.Err()
}
