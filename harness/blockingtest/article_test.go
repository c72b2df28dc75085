package blockingtest

import (
	"context"
	"net"
	"sync"
)

// article is the article's blocking model, in our own code: accept, a
// goroutine for each connection, read up to 4 KB, write it back. It has no
// deadline and no limit; its Shutdown is the least that lets it be tested.
type article struct {
	mu   sync.Mutex
	ln   net.Listener
	work sync.WaitGroup
	down bool
}

func newArticle(Options) (Server, error) { return &article{}, nil }

func (a *article) Serve(ln net.Listener) error {
	a.mu.Lock()
	a.ln = ln
	a.mu.Unlock()
	for {
		c, err := ln.Accept()
		if err != nil {
			a.mu.Lock()
			down := a.down
			a.mu.Unlock()
			if down {
				return nil
			}
			continue
		}
		a.work.Add(1)
		go a.handle(c)
	}
}

func (a *article) handle(c net.Conn) {
	defer a.work.Done()
	defer c.Close()
	buf := make([]byte, 4096)
	for {
		n, err := c.Read(buf)
		if err != nil {
			return
		}
		if _, err := c.Write(buf[:n]); err != nil {
			return
		}
	}
}

func (a *article) Shutdown(ctx context.Context) error {
	a.mu.Lock()
	a.down = true
	if a.ln != nil {
		a.ln.Close()
	}
	a.mu.Unlock()
	ended := make(chan struct{})
	go func() { a.work.Wait(); close(ended) }()
	select {
	case <-ended:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
