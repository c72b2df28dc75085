package websockettest

import (
	"runtime"
	"testing"

	"github.com/asynclab/asynclab/harness/spec"
)

var memoryRules = []spec.Rule[lab]{
	{
		Name: "ClaimsCostNothing", Group: "memory", Points: 2, Section: messageSection,
		Why: "A head that announces 64 MiB has cost its sender 14 bytes. Memory may follow what has arrived, never what is claimed, or a thousand such heads are the end of the server.",
		Hints: [3]string{
			"What do you allocate when you have read a head?",
			"Nothing: append the payload as it comes, and let the buffer grow with it.",
			"c.message = append(c.message, piece...) in place of make([]byte, size).",
		},
		Check: claimsCostNothing,
	},
	{
		Name: "PayloadIsConsumedAsItComes", Group: "memory", Points: 1, Section: controlSection,
		Why: "What Data leaves unconsumed the loop has to keep, show again, and bound. An incomplete head is 13 bytes at most, a control frame 131; the payload of a message is yours as soon as it is there.",
		Hints: [3]string{
			"What do you return while a frame's payload is incomplete?",
			"Consume the head, remember what is missing, and take what comes until nothing is missing.",
			"n := min(len(data), c.missing); gather(data[:n]); c.missing -= n; return n.",
		},
		Check: payloadIsConsumedAsItComes,
	},
	{
		Name: "WholeFramesCostNoAllocation", Group: "memory", Points: 2, Section: messageSection,
		Why: "Nearly every message is one frame that lies whole in the read buffer. Unmask it there and give OnMessage a slice of it: at 500,000 messages a second each allocation is a collector that never rests.",
		Hints: [3]string{
			"What is made anew for each frame?",
			"Unmask in place and pass data[n:end] on. Copy only what is incomplete. A struct whose address goes into an interface or a closure is an allocation.",
			"go test -run WholeFrames -memprofile mem.out -memprofilerate 1, then go tool pprof -sample_index=alloc_objects -top mem.out.",
		},
		Check: wholeFramesCostNoAllocation,
	},
	{
		Name: "IdleConnectionsHoldNoBuffer", Group: "memory", Points: 1, Section: messageSection,
		Why: "Of 100,000 connections nearly all are idle. A connection whose request and messages are dealt with holds its struct, and no buffer that a burst has made large.",
		Hints: [3]string{
			"What does a connection still refer to when its last message is delivered?",
			"The request's text and fields, the buffer of the last fragmented message, a bufio.Reader.",
			"message := c.message; c.message = nil; deliver(message). The request is a local variable of the handshake.",
		},
		Check: idleConnectionsHoldNoBuffer,
	},
}

// deaf is a transport that takes everything and keeps nothing.
type deaf struct{}

func (deaf) Write(p []byte) (int, error) { return len(p), nil }
func (deaf) Close() error                { return nil }
func (deaf) Abort(error)                 {}

// give hands p to c in pieces, and keeps nothing itself.
func give(c Conn, p []byte, size int) {
	var rest []byte
	for len(p) > 0 {
		n := min(size, len(p))
		data := append(rest, p[:n]...)
		p = p[n:]
		rest = append([]byte(nil), data[c.Data(data):]...)
	}
}

func claimsCostNothing(r *spec.Run, l lab) error {
	const conns, claim, arrived = 64, 64 << 20, 1000
	o := &Options[Conn]{MaxMessage: claim}
	whole := append(usual.bytes(), frame{op: opBinary, claim: claim}.appendHead(nil)...)
	whole = append(whole, pattern(1, arrived)...)
	fragmented := append(usual.bytes(), in(bin(pattern(1, arrived)).part())...)
	fragmented = append(fragmented, frame{op: opContinuation, claim: claim / 2}.appendHead(nil)...)
	before := heap()
	r.Step("%d connections get the head of a frame of up to 64 MiB each, and %d bytes of payload", 2*conns, arrived)
	var held []Conn
	for range conns {
		for _, p := range [][]byte{whole, fragmented} {
			c := l.New(o, deaf{})
			give(c, p, 700)
			held = append(held, c)
		}
	}
	grown := heap() - before
	r.Step("the heap grew by %d KiB", grown>>10)
	runtime.KeepAlive(held)
	if grown > 8<<20 {
		return spec.Fail("memory for what has arrived, not for what is claimed", "the heap grew by %d MiB for %d KiB received", grown>>20, 2*conns*arrived>>10)
	}
	return nil
}

// heap is the bytes of live objects, after a collection.
func heap() int64 {
	runtime.GC()
	runtime.GC() // what a sync.Pool held goes with the second
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

func payloadIsConsumedAsItComes(r *spec.Run, l lab) error {
	s, err := opened(l, Options[Conn]{})
	if err != nil {
		return err
	}
	p := pattern(1, 500_000)
	r.Step("a frame of %d bytes, 1,000 at a time", len(p))
	whole := in(bin(p))
	for at := 0; at < len(whole); at += 1000 {
		s.feed(whole[at:min(at+1000, len(whole))])
		if len(s.rest) > 0 {
			return spec.Fail("every byte of a payload to be consumed", "of the first %d bytes of the frame, Data has left %d", min(at+1000, len(whole)), len(s.rest))
		}
	}
	if err := s.expect(message(false, p)); err != nil {
		return err
	}
	r.Step("heads and a ping, byte by byte")
	for _, f := range []frame{bin(p), bin(p[:200]), ping(string(p[:125]))} {
		bytes := in(f)
		for i := range min(len(bytes), 140) {
			s.feed(bytes[i : i+1])
			if limit := 131; len(s.rest) > limit || f.op == opBinary && len(s.rest) > 13 {
				return spec.Fail("an incomplete head (13 bytes) or control frame (131) to be left and no more", "%d bytes were left", len(s.rest))
			}
		}
		if f.op == opBinary {
			s.feed(bytes[min(len(bytes), 140):])
		}
	}
	return s.expect(message(false, p), message(false, p), message(false, p[:200]), "sent pong "+show(p[:125]))
}

func wholeFramesCostNoAllocation(r *spec.Run, l lab) error {
	const perRun = 100
	messages := 0
	c := l.New(&Options[Conn]{OnMessage: func(Conn, bool, []byte) { messages++ }}, deaf{})
	give(c, usual.bytes(), 1000)
	var batch []byte
	for i := range perRun / 2 {
		batch = append(batch, in(bin(pattern(i, 64)), text("hello, wide world, this is a text of some length"))...)
	}
	data := make([]byte, len(batch))
	r.Step("%d whole frames in one piece, 200 times", perRun)
	per := testing.AllocsPerRun(200, func() {
		copy(data, batch) // Data has unmasked it in place
		c.Data(data)
	}) / perRun
	if messages != 201*perRun { // AllocsPerRun runs once more, to warm up
		return spec.Fail("a message for each frame", "%d frames, %d messages", 201*perRun, messages)
	}
	r.Step("%.2f allocations per message", per)
	if per > 0.009 {
		return spec.Fail("no allocation for a frame that lies whole in the buffer", "%.2f per message", per)
	}
	return nil
}

func idleConnectionsHoldNoBuffer(r *spec.Run, l lab) error {
	const conns, bound = 500, 1024
	p := append(usual.filled(4000).bytes(), in(text("hello"), bin(pattern(1, 20_000)), bin(pattern(2, 10_000)).part(), next("the end"), ping("x"))...)
	held := make([]Conn, conns)
	o := &Options[Conn]{}
	r.Step("%d connections get a request of 4,000 bytes, a large message and a fragmented one, and are idle", conns)
	before := heap()
	for i := range held {
		held[i] = l.New(o, deaf{})
		give(held[i], p, 1460)
	}
	per := (heap() - before) / conns
	runtime.KeepAlive(held)
	r.Step("%d bytes of heap for each", per)
	if per > bound {
		return spec.Fail("at most 1 KiB of heap for an idle connection", "each holds %d bytes", per)
	}
	return nil
}
