package poolingtest

import (
	"io"
	"net"
	"runtime"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
	"github.com/asynclab/asynclab/harness/meter"
	"github.com/asynclab/asynclab/harness/spec"
)

// collections has a live echo server take a buffer for each message, from make
// and from the pool, and compares how often the garbage collector ran.
func collections(r *spec.Run, l lab) (spec.Sample, error) {
	p, err := open(l, Options{})
	if err != nil {
		return spec.Sample{}, err
	}
	made, slow, err := echoes(r, func() ([]byte, func()) { return fresh(4096), func() {} })
	if err != nil {
		return spec.Sample{}, err
	}
	pooled, fast, err := echoes(r, func() ([]byte, func()) {
		b := p.Get(4096)
		return b.Bytes(), b.Release
	})
	if err != nil {
		return spec.Sample{}, err
	}
	micro := func(h *hdrhistogram.Histogram) float64 { return float64(h.ValueAtQuantile(99)) / 1e3 }
	return spec.Sample{Value: float64(made) / float64(max(1, pooled)), Also: map[string]float64{
		"with make": float64(made), "with the pool": float64(pooled), "P99 with make, µs": micro(slow), "P99 with the pool, µs": micro(fast)}}, nil
}

// echoes runs a server with a connection, 40,000 messages of 1000 bytes through
// it, and counts the collections. The latencies are open loop: a message is sent
// each 25 µs, whatever became of the ones before.
func echoes(r *spec.Run, get func() ([]byte, func())) (cycles uint32, latencies *hdrhistogram.Histogram, err error) {
	const messages, size, pause = 40_000, 1000, 25 * time.Microsecond
	client, server, err := pair()
	if err != nil {
		return 0, nil, err
	}
	defer client.Close()
	defer server.Close()
	r.Go(func() error { return serve(server, get) })
	latencies = meter.NewHistogram()
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	began := time.Now()
	r.Go(func() error {
		msg := make([]byte, size)
		for i := range messages {
			if early := time.Until(began.Add(time.Duration(i) * pause)); early > 100*time.Microsecond {
				time.Sleep(early) // a little early is better than late
			}
			if _, err := client.Write(msg); err != nil {
				return err
			}
		}
		return nil
	})
	client.SetReadDeadline(time.Now().Add(30 * time.Second))
	answer := make([]byte, size)
	for i := range messages {
		if _, err := io.ReadFull(client, answer); err != nil {
			return 0, nil, spec.Fail("the echo of each message", "message %d of %d: %v", i, messages, err)
		}
		latencies.RecordValue(int64(max(0, time.Since(began.Add(time.Duration(i)*pause)))))
	}
	runtime.ReadMemStats(&after)
	return after.NumGC - before.NumGC, latencies, nil
}

// serve echoes, with a buffer of its own for each read.
func serve(c net.Conn, get func() ([]byte, func())) error {
	for {
		data, release := get()
		n, err := c.Read(data[:1000])
		if err == nil {
			_, err = c.Write(data[:n])
		}
		release()
		if err != nil {
			return nil // the client has what it came for
		}
	}
}

// pair is a connection over loopback.
func pair() (client, server net.Conn, err error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, nil, err
	}
	defer l.Close()
	if client, err = net.Dial("tcp", l.Addr().String()); err != nil {
		return nil, nil, err
	}
	server, err = l.Accept()
	return client, server, err
}
