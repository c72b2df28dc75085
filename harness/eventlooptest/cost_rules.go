package eventlooptest

import (
	"runtime"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"github.com/asynclab/asynclab/harness/spec"
)

const costSection = "Step 8: what a message and a connection cost"

var costRules = []spec.Rule[New]{
	{
		Name: "NoAllocationPerMessage", Group: "cost", Points: 2, Section: costSection,
		Why: "At 500,000 messages a second, one allocation each is a garbage collector that never rests. In steady state everything is there already: the read buffer, the queue, the lists.",
		Hints: [3]string{
			"What is made anew for each message, each event, each turn?",
			"Payloads are slices of the read buffer. Queues come from a sync.Pool and go back when empty. Lists are swapped and cut to [:0], not made.",
			"go test -run NoAllocation -memprofile mem.out -memprofilerate 1, then go tool pprof -sample_index=alloc_objects -top mem.out.",
		},
		Check: noAllocationPerMessage,
	},
	{
		Name: "IdleConnectionsHoldNoBuffer", Group: "cost", Points: 2, Section: costSection,
		Why: "Of 100,000 connections nearly all are idle. A buffer of 4 KB each is 400 MB of nothing; a burst that leaves its memory behind is worse, as no test shows it and no month passes without one.",
		Hints: [3]string{
			"Which memory belongs to a connection while nothing is on its way?",
			"Read into one buffer of the loop. Keep a tail only while there is one, a queue only while something is queued.",
			"if len(rest) == 0 { c.in = nil }; when the queue is written, put its buffer into the pool, or drop it if it has grown large.",
		},
		Check: idleConnectionsHoldNoBuffer,
	},
}

func noAllocationPerMessage(r *spec.Run, new New) error {
	const messages = 100_000
	per, err := allocationsPerMessage(r, new, messages)
	if err != nil {
		return err
	}
	r.Step("%.4f allocations per message", per)
	// The race detector makes sync.Pool throw away one in four, so here a right
	// loop is seen to allocate a little. The target allocs-per-message, taken
	// without it, is exact.
	if per >= 0.9 {
		return spec.Fail("less than one allocation per message", "%.2f, over %d messages on a warm connection", per, messages)
	}
	return nil
}

// allocationsPerMessage echoes on one connection, 16 frames at a time. The
// client allocates nothing.
func allocationsPerMessage(r *spec.Run, new New, messages int) (float64, error) {
	const depth = 16
	s, err := serve(r, new, Options[Conn]{OnMessage: func(c Conn, msg []byte) { c.Send(msg) }})
	if err != nil {
		return 0, err
	}
	p, err := newPinger(s.addr)
	if err != nil {
		return 0, err
	}
	r.Cleanup(p.close)
	p.depth(depth)
	r.Step("one connection is warmed up, then echoes %d frames of 64 bytes, %d at a time", messages, depth)
	if err := p.rounds(200); err != nil {
		return 0, err
	}
	runtime.GC()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	if err := p.rounds(messages / depth); err != nil {
		return 0, err
	}
	runtime.ReadMemStats(&after)
	return float64(after.Mallocs-before.Mallocs) / float64(messages), nil
}

// idleConnectionsHoldNoBuffer counts what connections cost that have seen
// large frames in both directions and are idle now.
func idleConnectionsHoldNoBuffer(r *spec.Run, new New) error {
	const conns, size, bound = 100, 256 << 10, 2048
	var e echo
	s, err := serve(r, new, Options[Conn]{OnMessage: e.message})
	if err != nil {
		return err
	}
	var pingers []*pinger
	r.Step("%d clients connect and have one small echo each", conns)
	for range conns {
		p, err := newPinger(s.addr)
		if err != nil {
			return err
		}
		r.Cleanup(p.close)
		if err := p.rounds(1); err != nil {
			return err
		}
		pingers = append(pingers, p)
	}
	large := appendFrame(nil, pattern(1, size))
	back := make([]byte, len(large))
	r.Step("each echoes a frame of 256 KiB; then all are idle")
	before := heap()
	for _, p := range pingers {
		small, smallBack := p.out, p.back
		p.out, p.back = large, back
		if err := r.Call("an echo of 256 KiB", func() error { return p.rounds(1) }); err != nil {
			return err
		}
		p.out, p.back = small, smallBack
	}
	per := (heap() - before) / conns
	r.Step("%d bytes per connection more than before the burst", per)
	if per > bound {
		return spec.Fail("idle connections to give back what a burst needed", "each holds %d bytes more than before it", per)
	}
	return holdNoBuffer(r, new)
}

// holdNoBuffer compares the heap with and without idle connections.
func holdNoBuffer(r *spec.Run, new New) error {
	const conns, bound = 300, 2048
	var messages atomic.Int64
	s, err := serve(r, new, Options[Conn]{OnMessage: func(Conn, []byte) { messages.Add(1) }})
	if err != nil {
		return err
	}
	r.Step("%d clients connect to a fresh loop, each sends one small frame and is silent", conns)
	fds, err := sockets(r, conns)
	if err != nil {
		return err
	}
	hello := appendFrame(nil, []byte("hello"))
	before := heap()
	for _, fd := range fds {
		if err := connect(fd, s.addr); err != nil {
			return err
		}
		if _, err := unix.Write(fd, hello); err != nil {
			return err
		}
	}
	if err := r.Until("OnMessage for each", func() bool { return messages.Load() == conns }); err != nil {
		return err
	}
	per := (heap() - before) / conns
	r.Step("%d bytes per idle connection", per)
	if per > bound {
		return spec.Fail("at most 2 KiB of heap for an idle connection", "each costs %d bytes", per)
	}
	return nil
}
