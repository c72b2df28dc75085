package retrytest

import (
	"bufio"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/asynclab/asynclab/harness/meter"
	"github.com/asynclab/asynclab/harness/spec"
)

var targets = []spec.Target[lab]{
	{
		Name: "outage-goodput", Title: "answers in time while one of two servers answers nothing, of what the other one can serve", Points: 5, Section: "Targets",
		Why:  "Half of the service is gone, and twice what the rest can bear is asked of it. What it can do, it should do for somebody who waits.",
		Unit: "of-capacity", Goal: spec.AtLeast, Bound: 0.9,
		Hints: [3]string{
			"Where do calls go while one endpoint is silent, and what do refusals do to your breaker?",
			"Its breaker opens after a window of timeouts, and everything goes to the other one. That one refuses half of it: a refusal is no failure, or its breaker opens as well.",
			"See CallsGoAround and BreakerGuardsCalls.",
		},
		Measure: func(r *spec.Run, l lab) (spec.Sample, error) {
			o, err := runOutage(r, l)
			return spec.Sample{Value: o.goodput, Also: map[string]float64{"frames/call": o.amplification, "answers": o.answers, "capacity": o.capacity}}, err
		},
	},
	{
		Name: "amplification", Title: "frames sent for each call, in the same outage", Points: 5, Section: "Targets",
		Why:  "Retries are paid by a server that has too little already.",
		Unit: "frames/call", Goal: spec.AtMost, Bound: 1.1,
		Hints: [3]string{
			"Which frames does your client send beside first attempts?",
			"Retries and hedges, each for a token. The budget here is 0.09, and a reserve of 10.",
			"See BudgetHoldsRetries and HedgesAreBudgeted.",
		},
		Measure: func(r *spec.Run, l lab) (spec.Sample, error) {
			o, err := runOutage(r, l)
			return spec.Sample{Value: o.amplification, Also: map[string]float64{"goodput": o.goodput}}, err
		},
	},
	{
		Name: "pipelining", Title: "CPU time of a call, one at a time, by yours with 128 under way", Points: 4, Section: "Targets",
		Why:  "Many calls in one write are many answers in one read, on both sides. That is more than a factor of convenience.",
		Unit: "x-one-at-a-time", Goal: spec.AtLeast, Bound: 4,
		Hints: [3]string{
			"How many system calls does a call of yours cost?",
			"Let the writer take all that has gathered, and take the lock once for all frames of a read.",
			"make profile LAB=13 shows the lines.",
		},
		Measure: pipelining,
	},
	{
		Name: "allocations", Title: "allocations of the client for a call and its answer", Points: 4, Section: "Targets",
		Why:  "A call is a record that waits. Timers, closures and channels for each of them are what makes a client slow.",
		Unit: "allocations/call", Goal: spec.AtMost, Bound: 3,
		Hints: [3]string{
			"What do you make for a call, beside its future, its channel and the answer's body?",
			"Put the first attempt and the alarms into the future, link lists through it, and have one timer for all alarms.",
			"type Future struct { deadline, next alarm; first attempt; ... }",
		},
		Measure: allocations,
	},
}

// outage is what came of two servers, of which one is silent.
type outage struct{ goodput, amplification, answers, capacity float64 }

// runOutage asks 2000 calls a second, for two seconds, of two servers that can
// serve 1000 each, one of which answers nothing.
func runOutage(r *spec.Run, l lab) (outage, error) {
	healthy, silent := &backend{alive: true}, &backend{}
	c, err := l.New(Options{Dial: []Dial{healthy.dial, silent.dial}, Timeout: time.Second, AttemptTimeout: 200 * time.Millisecond,
		BackoffBase: 10 * time.Millisecond, BackoffCap: 100 * time.Millisecond, RetryRatio: 0.09, RetryReserve: 10,
		BreakerWindow: 20, BreakerOpen: 500 * time.Millisecond})
	if err != nil {
		return outage{}, err
	}
	defer c.Close()
	if err := r.Until("both connections", func() bool { return c.Stats().Connects == 2 }); err != nil {
		return outage{}, err
	}
	stop := make(chan struct{})
	var work sync.WaitGroup
	work.Go(func() { healthy.work(stop) })
	var good atomic.Int64
	const pulse, perPulse, pulses = 5 * time.Millisecond, 10, 400
	began := time.Now()
	for i := range pulses {
		time.Sleep(time.Until(began.Add(time.Duration(i) * pulse)))
		for range perPulse {
			c.Go(Request{Body: []byte("read"), Safe: true}).Then(nil, func(_ []byte, err error) {
				if err == nil {
					good.Add(1)
				}
			})
		}
	}
	close(stop)
	work.Wait()
	answers, slots := float64(good.Load()), float64(healthy.slots.Load())
	frames := float64(healthy.frames.Load() + silent.frames.Load())
	return outage{answers / slots, frames / (perPulse * pulses), answers, slots}, nil
}

// backend is a server of the judge's that serves a call each millisecond, lets 50
// wait, and refuses the others; or takes all and answers nothing.
type backend struct {
	alive  bool
	frames atomic.Int64 // calls that came
	slots  atomic.Int64 // calls it could have served

	mu    sync.Mutex // guards the following
	conn  net.Conn
	queue []uint64
}

func (b *backend) dial(context.Context) (net.Conn, error) {
	mine, theirs := net.Pipe()
	go b.serve(mine)
	return theirs, nil
}

func (b *backend) serve(conn net.Conn) {
	defer conn.Close()
	in := bufio.NewReader(conn)
	if _, err := readFrame(in); err != nil {
		return
	}
	b.mu.Lock()
	b.conn = conn
	b.mu.Unlock()
	conn.Write(frame{kind: welcome, id: 1}.encode())
	for {
		f, err := readFrame(in)
		if err != nil {
			return
		}
		if f.kind != call {
			continue
		}
		b.frames.Add(1)
		if !b.alive {
			continue
		}
		b.mu.Lock()
		full := len(b.queue) == 50
		if !full {
			b.queue = append(b.queue, f.id)
		}
		b.mu.Unlock()
		if full {
			go conn.Write(frame{kind: reply, id: f.id, status: busy}.encode())
		}
	}
}

func (b *backend) work(stop chan struct{}) {
	const slot = time.Millisecond
	began := time.Now()
	for {
		select {
		case <-stop:
			return
		case <-time.After(time.Until(began.Add(time.Duration(b.slots.Load()+1) * slot))):
		}
		b.slots.Add(1)
		b.mu.Lock()
		var id uint64
		if len(b.queue) > 0 {
			id, b.queue = b.queue[0], b.queue[1:]
		}
		conn := b.conn
		b.mu.Unlock()
		if id != 0 {
			conn.Write(frame{kind: reply, id: id, body: "ok"}.encode())
		}
	}
}

const window, measured = 128, 50_000

// pipelined makes n calls, window of them at a time.
func pipelined(r *spec.Run, c client, n int) error {
	body := []byte("a question of some 40 bytes, as they come")
	var under [window]Future
	for i := range n + window {
		if f := under[i%window]; f != nil {
			got, err := f.Wait(r.Context())
			if err != nil || len(got) != len(body) {
				return spec.Fail("an answer of as many bytes as the question", "it has %d bytes, %v", len(got), err)
			}
			under[i%window] = nil
		}
		if i < n {
			under[i%window] = c.Go(Request{Body: body})
		}
	}
	return nil
}

// pipelining compares the CPU time of a call. Client and server are in it, on
// both sides.
func pipelining(r *spec.Run, l lab) (spec.Sample, error) {
	m, _, err := open(r, l, ServerOptions{Handle: echo, Now: time.Now})
	if err != nil {
		return spec.Sample{}, err
	}
	c, err := l.New(Options{Dial: []Dial{func(ctx context.Context) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "tcp", m.addr)
	}}})
	if err != nil {
		return spec.Sample{}, err
	}
	defer c.Close()
	if err := pipelined(r, c, 1000); err != nil {
		return spec.Sample{}, err
	}
	var ratios, mine, base []float64
	for range 3 {
		a, err := timed(measured, func() error { return pipelined(r, c, measured) })
		if err != nil {
			return spec.Sample{}, err
		}
		b, err := timed(measured/5, func() error { return oneAtATime(m, measured/5) })
		if err != nil {
			return spec.Sample{}, err
		}
		ratios, mine, base = append(ratios, b/a), append(mine, a), append(base, b)
	}
	return spec.Sample{Value: median(ratios), Also: map[string]float64{"ns/call": median(mine), "one at a time ns/call": median(base)}}, nil
}

// oneAtATime is the client that everybody writes first: a write, a read.
func oneAtATime(m *room, n int) error {
	conn, err := net.Dial("tcp", m.addr)
	if err != nil {
		return err
	}
	defer conn.Close()
	in, buf := bufio.NewReader(conn), make([]byte, 4096)
	read := func() error {
		if _, err := io.ReadFull(in, buf[:4]); err != nil {
			return err
		}
		_, err := io.ReadFull(in, buf[:binary.BigEndian.Uint32(buf)])
		return err
	}
	if _, err := conn.Write(frame{kind: hello, status: 1}.encode()); err != nil {
		return err
	}
	if err := read(); err != nil {
		return err
	}
	b := frame{kind: call, left: 10_000, body: "a question of some 40 bytes, as they come"}.encode()
	for i := range uint64(n) {
		binary.BigEndian.PutUint64(b[5:], i+1)
		binary.BigEndian.PutUint64(b[13:], i+1)
		if _, err := conn.Write(b); err != nil {
			return err
		}
		if err := read(); err != nil {
			return err
		}
		if id := binary.BigEndian.Uint64(buf[1:]); id != i+1 {
			return fmt.Errorf("an answer to %d instead of %d", id, i+1)
		}
	}
	return nil
}

func median(all []float64) float64 {
	slices.Sort(all)
	return all[len(all)/2]
}

// timed is the CPU time for each of n in nanoseconds.
func timed(n int, f func() error) (float64, error) {
	runtime.GC()
	before, err := meter.Self()
	if err != nil {
		return 0, err
	}
	if err := f(); err != nil {
		return 0, err
	}
	after, err := meter.Self()
	return float64(before.Until(after).CPU()) / float64(n), err
}

func allocations(r *spec.Run, l lab) (spec.Sample, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return spec.Sample{}, err
	}
	defer listener.Close()
	go func() {
		conn, err := listener.Accept()
		if err == nil {
			defer conn.Close()
			answerAll(conn)
		}
	}()
	c, err := l.New(Options{Dial: []Dial{func(ctx context.Context) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "tcp", listener.Addr().String())
	}}})
	if err != nil {
		return spec.Sample{}, err
	}
	defer c.Close()
	var before, after runtime.MemStats
	for range 2 { // the first time is for what is made once
		runtime.ReadMemStats(&before)
		if err := pipelined(r, c, measured); err != nil {
			return spec.Sample{}, err
		}
		runtime.ReadMemStats(&after)
	}
	return spec.Sample{Value: float64(after.Mallocs-before.Mallocs) / measured}, nil
}

// answerAll answers calls without allocating anything.
func answerAll(conn net.Conn) {
	in, out, buf := bufio.NewReaderSize(conn, 64<<10), bufio.NewWriterSize(conn, 64<<10), make([]byte, 64<<10)
	for greeted := false; ; {
		if in.Buffered() == 0 && out.Flush() != nil {
			return
		}
		if _, err := io.ReadFull(in, buf[:4]); err != nil {
			return
		}
		n := int(binary.BigEndian.Uint32(buf))
		if n > len(buf)-4 {
			return
		}
		if _, err := io.ReadFull(in, buf[4:4+n]); err != nil {
			return
		}
		switch {
		case !greeted:
			greeted = true
			out.Write(frame{kind: welcome, id: 1}.encode())
		case buf[4] == call && n >= 22:
			body := buf[26+int(buf[25]) : 4+n]
			binary.BigEndian.PutUint32(buf, uint32(10+len(body)))
			buf[4] = reply
			buf[13] = done // behind the id, which stays
			out.Write(buf[:14])
			out.Write(body)
		}
	}
}
