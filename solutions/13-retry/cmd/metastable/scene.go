package main

import (
	"context"
	"net"
	"sync"
	"sync/atomic"
	"time"

	retry "github.com/asynclab/asynclab/solutions/13-retry"
)

const (
	length    = 20 * time.Second
	pulseFrom = 4 * time.Second
	pulseTo   = 5 * time.Second
	usual     = 160                    // calls a second
	pulse     = 640                    // calls a second, in the pulse
	service   = 5 * time.Millisecond   // of a call, one at a time: 200 a second
	patience  = 500 * time.Millisecond // of one attempt
	tries     = 4
	bin       = 500 * time.Millisecond
)

// scene is one way to try again, on a server of its own.
type scene struct {
	name  string
	play  func(c *retry.Client, good func())
	naive bool // no breaker either
	drops bool // the server knows what waits, and drops what is too late
	err   error

	calls, frames int
	good          [length / bin]atomic.Int64 // answers in time
}

// load is how many calls a second there are.
func load(at time.Duration) int {
	if at >= pulseFrom && at < pulseTo {
		return pulse
	}
	return usual
}

func (s *scene) run() error {
	addr, stop, err := s.serve()
	if err != nil {
		return err
	}
	defer stop()
	c, err := retry.New(s.options(addr))
	if err != nil {
		return err
	}
	defer c.Close()
	began := time.Now()
	good := func() {
		if at := time.Since(began) / bin; at < length/bin {
			s.good[at].Add(1)
		}
	}
	const step = 25 * time.Millisecond
	for at := time.Duration(0); at < length; at += step {
		time.Sleep(time.Until(began.Add(at)))
		for range load(at) * int(step/time.Millisecond) / 1000 {
			s.calls++
			s.play(c, good)
		}
	}
	s.frames = int(c.Stats().Sent)
	return nil
}

func (s *scene) options(addr string) retry.Options {
	o := retry.Options{
		Dial:          []retry.Dial{func(ctx context.Context) (net.Conn, error) { return (&net.Dialer{}).DialContext(ctx, "tcp", addr) }},
		Timeout:       tries * patience,
		Attempts:      tries,
		MaxPending:    100_000,
		BreakerWindow: 100, // half a second of calls: fewer would open it at a hiccup
		BreakerOpen:   time.Second,
	}
	if s.naive {
		o.Attempts, o.BreakerWindow = 1, 1<<30 // the loop is all there is
		return o
	}
	o.AttemptTimeout = patience
	return o
}

// naively is the loop that everybody writes: three more tries, at once. It gets a
// goroutine for each call, and no help of the client.
func naively(c *retry.Client, good func()) {
	go func() {
		for range tries {
			ctx, cancel := context.WithTimeout(context.Background(), patience)
			_, err := c.Do(ctx, retry.Request{Body: []byte("read")})
			cancel()
			if err == nil {
				good()
				return
			}
		}
	}()
}

// carefully leaves it to the client.
func carefully(c *retry.Client, good func()) {
	c.Go(retry.Request{Body: []byte("read"), Safe: true}).Then(nil, func(_ []byte, err error) {
		if err == nil {
			good()
		}
	})
}

// rate is the answers in time of a second, on average.
func (s *scene) rate(from, to time.Duration) float64 {
	var n int64
	for at := from / bin; at < to/bin; at++ {
		n += s.good[at].Load()
	}
	return float64(n) / (to - from).Seconds()
}

func (s *scene) amplification() float64 { return float64(s.frames) / float64(s.calls) }

// serve starts a server that works on one call at a time. If it drops, the calls
// wait in the server, which knows their deadlines; if not, in a queue behind it, as
// in most programs: work is work.
func (s *scene) serve() (addr string, stop func(), err error) {
	queue := make(chan func([]byte, error), 1_000_000)
	o := retry.ServerOptions{MaxRunning: 1_000_000, Handle: func(_ context.Context, _ []byte, reply func([]byte, error)) { queue <- reply }}
	if s.drops {
		o.MaxRunning, o.MaxWaiting = 1, 1_000_000
	}
	server, err := retry.NewServer(o)
	if err != nil {
		return "", nil, err
	}
	bound, err := server.Listen("127.0.0.1:0")
	if err != nil {
		return "", nil, err
	}
	var all sync.WaitGroup
	over := make(chan struct{})
	all.Go(func() { server.Run() })
	all.Go(func() { work(queue, over) })
	return bound.String(), func() {
		close(over)
		gone, cancel := context.WithCancel(context.Background())
		cancel()
		server.Shutdown(gone)
		all.Wait()
	}, nil
}

// work answers a call each service time, on a schedule: a sleep that is late is
// made up for, as long as there is something to do.
func work(queue chan func([]byte, error), over chan struct{}) {
	free := time.Now()
	for {
		select {
		case reply := <-queue:
			if now := time.Now(); free.Before(now.Add(-10 * service)) {
				free = now
			}
			free = free.Add(service)
			time.Sleep(time.Until(free))
			reply([]byte("done"), nil)
		case <-over:
			return
		}
	}
}
