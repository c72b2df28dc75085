package claims

import (
	"context"
	"errors"
	"net"
	"runtime"
	"sync"
	"time"

	"github.com/asynclab/asynclab/harness/load"
	"github.com/asynclab/asynclab/harness/spec"
)

// echoes loads an echo server with a goroutine for each connection, once with a
// new buffer of 4 KiB for each message and once with the article's pool.
func echoes(ctx context.Context, quick bool) (Taken, error) {
	pool := sync.Pool{New: func() any { return make([]byte, 4096) }}
	buffers := map[string]func() ([]byte, func()){
		ownMake: func() ([]byte, func()) { return fresh(4096), func() {} },
		ownPool: func() ([]byte, func()) {
			b := pool.Get().([]byte)
			//lint:ignore SA6002 as the article does it: each Put allocates a slice's header
			return b, func() { pool.Put(b) }
		},
	}
	taken := Taken{}
	for key, get := range buffers {
		sample, err := echoCost(ctx, get, quick)
		if err != nil {
			return nil, err
		}
		taken[key] = sample
	}
	return taken, nil
}

// fresh is on the heap: nobody knows its size before.
//
//go:noinline
func fresh(n int) []byte { return make([]byte, n) }

// echoCost is echoes for each second of this process's CPU time; the clients are
// another process.
func echoCost(ctx context.Context, get func() ([]byte, func()), quick bool) (spec.Sample, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return spec.Sample{}, err
	}
	var work sync.WaitGroup
	defer func() { l.Close(); work.Wait() }()
	work.Go(func() { echo(l, get, &work) })
	c := load.Config{Addr: l.Addr().String(), Conns: 200, Payload: 1000, Window: 2 * time.Second, Core: lastCore()}
	if quick {
		c.Conns, c.Window, c.Warmup = 20, 200*time.Millisecond, 50*time.Millisecond
	}
	var begin, end time.Duration
	runtime.GC()
	r, err := load.Spawn(ctx, c, load.Hooks{Window: func() { begin = cpu() }, Done: func() { end = cpu() }})
	if err := errors.Join(err, r.Faults.Err()); err != nil {
		return spec.Sample{}, err
	}
	return spec.Sample{Value: float64(r.Messages) / max((end-begin).Seconds(), 0.01), Latency: r.Latency, Also: map[string]float64{"p99 ms": float64(r.P99) / 1000}}, nil
}

// lastCore counts from 1; 0 where there is only one.
func lastCore() int {
	if n := runtime.NumCPU(); n > 1 {
		return n
	}
	return 0
}

func echo(l net.Listener, get func() ([]byte, func()), work *sync.WaitGroup) {
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		work.Go(func() {
			defer c.Close()
			for answer(c, get) == nil {
			}
		})
	}
}

// answer echoes what one Read brings, with a buffer of its own.
func answer(c net.Conn, get func() ([]byte, func())) error {
	b, release := get()
	defer release()
	n, err := c.Read(b)
	if err != nil {
		return err
	}
	_, err = c.Write(b[:n])
	return err
}
