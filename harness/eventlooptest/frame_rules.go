package eventlooptest

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"runtime"
	"slices"

	"github.com/asynclab/asynclab/harness/spec"
)

const frameSection = "Step 2: bytes in"

var frameRules = []spec.Rule[New]{
	{
		Name: "FramesArriveWhole", Group: "frames", Points: 2, Section: frameSection,
		Why: "One read may bring many frames, and one frame may need many reads. Call back for each complete frame in what there is, and keep only the incomplete rest.",
		Hints: [3]string{
			"A read has brought 3 frames and a half. How often is OnMessage called, and what is kept?",
			"Parse in a loop, from where the last frame ended, until what is left is shorter than a header, or than the header and its payload.",
			"for { rest := data[n:]; if len(rest) < 4 { return n }; end := 4 + size(rest); if len(rest) < end { return n }; OnMessage(c, rest[4:end]); n += end }.",
		},
		Check: framesArriveWhole,
	},
	{
		Name: "FramesSplitAnywhere", Group: "frames", Points: 2, Section: frameSection,
		Why: "TCP knows no frames: it may cut anywhere, inside the 4 bytes of a length too. Whatever is incomplete is kept, and parsed again together with what comes next.",
		Hints: [3]string{
			"What does your parser do with 3 bytes of a header?",
			"It must consume nothing until a frame is complete, and keep all that it did not consume.",
			"keep(data[consumed:]) after each parse; before the next one, put it in front of the new bytes.",
		},
		Check: framesSplitAnywhere,
	},
	{
		Name: "HalfFramesDoNotMix", Group: "frames", Points: 2, Section: frameSection,
		Why: "One read buffer for all connections is right, as most of them are idle. But then the rest of a frame must be copied out of it before the next connection is read.",
		Hints: [3]string{
			"A's half frame is a slice of the loop's buffer. What is in there after B was read?",
			"A slice shares its memory. Copy what has to outlive the callback.",
			"c.in = append(c.in[:0], rest...) copies; c.in = rest does not.",
		},
		Check: halfFramesDoNotMix,
	},
	{
		Name: "OversizedFrameIsRefused", Group: "frames", Points: 2, Section: frameSection,
		Why: "A length is what a stranger says. Without a limit, 4 bytes make the loop collect 4 GB. Beyond MaxMessage the connection ends at once with an error, when the length has come and before its payload has; the other connections do not notice.",
		Hints: [3]string{
			"When do you know that a frame is too long: at its header or at its end?",
			"Compare the length with MaxMessage as soon as 4 bytes are there. Exactly MaxMessage is allowed.",
			"if size > l.opts.MaxMessage { close the connection, with an error that names both numbers, for OnClose }.",
		},
		Check: oversizedFrameIsRefused,
	},
	{
		Name: "ClaimsCostNothing", Group: "frames", Points: 1, Section: frameSection,
		Why: "A header that claims 64 MiB has cost its sender 4 bytes. Memory must grow with what has really arrived, or a hundred clients with one small packet each take 6 GB.",
		Hints: [3]string{
			"How large is the buffer you make when the header says 64 MiB and 100 bytes are there?",
			"append doubles: it holds at most about twice what has arrived.",
			"No make([]byte, size). c.in = append(c.in, data...), or grow by doubling and read behind it.",
		},
		Check: claimsCostNothing,
	},
	{
		Name: "OnDataKeepsTheRest", Group: "frames", Points: 2, Section: frameSection,
		Why: "Protocols with frames of their own (lab 15's WebSocket) parse in OnData. What they do not consume is theirs to see again, in front of what comes next; and it has a bound, or a frame without end fills the memory.",
		Hints: [3]string{
			"OnData was shown 10 bytes and returned 4. What is it shown next?",
			"Framing is one way to consume: let OnData and your frame parser have the same shape, func(c, data) consumed.",
			"n := OnData(c, data); keep(data[n:]); if the rest is longer than MaxMessage, close with an error.",
		},
		Check: onDataKeepsTheRest,
	},
	{
		Name: "CallbacksTakeTurns", Group: "frames", Points: 1, Section: frameSection,
		Why: "The promise that makes handlers simple: all callbacks run on the goroutine that called Run, one at a time, OnOpen first and OnClose last. No handler needs a lock against another.",
		Hints: [3]string{
			"On which goroutine does each of your callbacks run?",
			"Start no goroutine: everything happens inside Run.",
			"OnOpen where the connection is registered, OnMessage where it is read, OnClose in the one function that closes the descriptor.",
		},
		Check: callbacksTakeTurns,
	},
}

func framesArriveWhole(r *spec.Run, new New) error {
	d := newDiary(r)
	s, err := serve(r, new, d.options())
	if err != nil {
		return err
	}
	sizes := []int{0, 1, 2, 3, 4, 5, 100, 4091, 4092, 4093, 65531, 65532, 65533, 200_000, 1 << 20}
	c, err := dial(r, s.addr)
	if err != nil {
		return err
	}
	var sent [][]byte
	for i, n := range sizes {
		sent = append(sent, pattern(i, n))
	}
	r.Step("one client sends frames of %v bytes, each with its own write", sizes)
	for _, p := range sent {
		if err := c.send(p); err != nil {
			return err
		}
	}
	if err := d.waitMessages(c, sent...); err != nil {
		return err
	}
	r.Step("another sends 300 frames of 0 to 299 bytes with one write")
	if c, err = dial(r, s.addr); err != nil {
		return err
	}
	sent = nil
	for i := range 300 {
		sent = append(sent, pattern(i, i))
	}
	if err := c.send(sent...); err != nil {
		return err
	}
	if err := d.waitMessages(c, sent...); err != nil {
		return err
	}
	return appendsStayApart(r, new)
}

// appendsStayApart has a handler append to a message, which it may: behind it in
// the buffer lies the next frame.
func appendsStayApart(r *spec.Run, new New) error {
	d := newDiary(r)
	o := d.options()
	inner := o.OnMessage
	o.OnMessage = func(c Conn, msg []byte) {
		inner(c, msg)
		msg = append(msg, "!!!!!!!!"...)
		msg[len(msg)-1] = '?'
	}
	_, c, err := serveOne(r, new, o)
	if err != nil {
		return err
	}
	r.Step("three frames with one write, and OnMessage appends to what it is given")
	sent := [][]byte{[]byte("one"), []byte("two"), []byte("three")}
	if err := c.send(sent...); err != nil {
		return err
	}
	return d.waitMessages(c, sent...)
}

func framesSplitAnywhere(r *spec.Run, new New) error {
	d := newDiary(r)
	s, err := serve(r, new, d.options())
	if err != nil {
		return err
	}
	first, second := []byte("hello"), []byte("wide world")
	stream := appendFrame(appendFrame(nil, first), second)
	for cut := 1; cut < len(stream); cut++ {
		c, err := dial(r, s.addr)
		if err != nil {
			return err
		}
		r.Step("two frames, %d bytes in all, cut after byte %d", len(stream), cut)
		if err := c.pieces(stream[:cut], stream[cut:]); err != nil {
			return err
		}
		if err := d.waitMessages(c, first, second); err != nil {
			return err
		}
		c.Close()
	}
	c, err := dial(r, s.addr)
	if err != nil {
		return err
	}
	r.Step("the same, byte by byte")
	if err := c.pieces(slices.Collect(slices.Chunk(stream, 1))...); err != nil {
		return err
	}
	if err := d.waitMessages(c, first, second); err != nil {
		return err
	}
	large := pattern(1, 300_000)
	stream = appendFrame(nil, large)
	r.Step("a frame of 300,000 bytes in pieces of 50,001 bytes, and a small one behind it")
	if err := c.pieces(slices.Collect(slices.Chunk(appendFrame(stream, first), 50_001))...); err != nil {
		return err
	}
	return d.waitMessages(c, first, second, large, first)
}

// pieces writes each piece when the loop has read the one before.
func (c *client) pieces(pieces ...[]byte) error {
	for _, p := range pieces {
		if err := c.raw(p); err != nil {
			return err
		}
		if err := c.taken(); err != nil {
			return err
		}
	}
	return nil
}

func halfFramesDoNotMix(r *spec.Run, new New) error {
	d := newDiary(r)
	s, err := serve(r, new, d.options())
	if err != nil {
		return err
	}
	var clients []*client
	payload := func(i int) []byte { return bytes.Repeat([]byte{byte('A' + i)}, 100) }
	for i := range 3 {
		c, err := dial(r, s.addr)
		if err != nil {
			return err
		}
		r.Step("client %c sends half of its frame", 'A'+i)
		if err := c.pieces(appendFrame(nil, payload(i))[:50]); err != nil {
			return err
		}
		clients = append(clients, c)
	}
	for i, c := range clients {
		r.Step("client %c sends the other half", 'A'+i)
		if err := c.raw(appendFrame(nil, payload(i))[50:]); err != nil {
			return err
		}
		if err := d.waitMessages(c, payload(i)); err != nil {
			return err
		}
	}
	return nil
}

func oversizedFrameIsRefused(r *spec.Run, new New) error {
	const limit = 1000
	d := newDiary(r)
	o := d.options()
	o.MaxMessage = limit
	s, bystander, err := serveOne(r, new, o)
	if err != nil {
		return err
	}
	for i, size := range []uint32{limit + 1, limit + 1, 1 << 20, 1<<31 - 1, 1 << 31, 1<<32 - 1} {
		c, err := dial(r, s.addr)
		if err != nil {
			return err
		}
		ok := pattern(7, limit)
		r.Step("a frame of exactly MaxMessage = %d bytes, then a length of %d without a payload", limit, size)
		if err := c.send(ok); err != nil {
			return err
		}
		if err := d.waitMessages(c, ok); err != nil {
			return err
		}
		length := binary.BigEndian.AppendUint32(nil, size)
		if i == 1 {
			if err := c.pieces(length[:1], length[1:3]); err != nil { // and the last byte below
				return err
			}
			length = length[3:]
		}
		if err := c.raw(length); err != nil {
			return err
		}
		reason, late := d.waitClosed(c, fmt.Sprintf("announces a frame of %d bytes, with MaxMessage %d", size, limit))
		if late != nil {
			return late
		}
		if reason == nil {
			return spec.Fail("OnClose to get an error that says why", "it got nil")
		}
		if n := len(d.of(c).messages); n != 1 {
			return spec.Fail("no message for a frame that is too long", "%d came", n-1)
		}
		r.Step("the reason: %v", reason)
	}
	r.Step("another connection goes on")
	if err := bystander.send([]byte("still here")); err != nil {
		return err
	}
	return d.waitMessages(bystander, []byte("still here"))
}

func claimsCostNothing(r *spec.Run, new New) error {
	const clients, claim, arrived = 64, 64 << 20, 1000
	d := newDiary(r)
	o := d.options()
	o.MaxMessage = claim
	s, err := serve(r, new, o)
	if err != nil {
		return err
	}
	before := heap()
	r.Step("%d clients announce a frame of 64 MiB each, and send %d bytes of it", clients, arrived)
	for range clients {
		c, err := dial(r, s.addr)
		if err != nil {
			return err
		}
		if err := c.raw(binary.BigEndian.AppendUint32(nil, claim)); err != nil {
			return err
		}
		if err := c.pieces(pattern(1, arrived)); err != nil {
			return err
		}
	}
	grown := heap() - before
	r.Step("the heap grew by %d KiB", grown>>10)
	if grown > 8<<20 {
		return spec.Fail("memory for what has arrived, not for what is claimed", "the heap grew by %d MiB for %d KiB received", grown>>20, clients*arrived>>10)
	}
	return nil
}

// heap returns the bytes of live objects, after a collection.
func heap() int64 {
	runtime.GC()
	runtime.GC() // what a sync.Pool held goes with the second
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

func onDataKeepsTheRest(r *spec.Run, new New) error {
	const limit = 1000
	d := newDiary(r)
	o := d.options()
	o.OnMessage, o.MaxMessage = nil, limit
	o.OnData = func(c Conn, data []byte) int {
		if len(data) > 0 && data[0] == '?' {
			return 0 // wants more, always
		}
		lines := bytes.LastIndexByte(data, '\n') + 1
		if lines > 4 {
			lines = 4 // "abc\n": one line at a time, where there are more
		}
		d.message(c, data)
		return lines
	}
	s, c, err := serveOne(r, new, o)
	if err != nil {
		return err
	}
	r.Step("OnData consumes one line of 4 bytes at a time. Send %q, %q, %q", "ab", "c\nd", "ef\n")
	if err := c.pieces([]byte("ab"), []byte("c\nd"), []byte("ef\n")); err != nil {
		return err
	}
	if err := d.waitMessages(c, []byte("ab"), []byte("abc\nd"), []byte("def\n")); err != nil {
		return err
	}
	endless, err := dial(r, s.addr)
	if err != nil {
		return err
	}
	r.Step("another client sends %d bytes of which OnData consumes nothing, with MaxMessage %d", limit, limit)
	if err := endless.pieces(bytes.Repeat([]byte("?"), limit)); err != nil {
		return err
	}
	if d.of(endless).closed > 0 {
		return spec.Fail("MaxMessage unconsumed bytes to be allowed", "the connection was closed: %v", d.of(endless).err)
	}
	r.Step("and one byte more")
	endless.Write([]byte("?"))
	reason, late := d.waitClosed(endless, "leaves more than MaxMessage bytes unconsumed")
	if late == nil && reason == nil {
		return spec.Fail("OnClose to get an error that says why", "it got nil")
	}
	return late
}

func callbacksTakeTurns(r *spec.Run, new New) error {
	d := newDiary(r)
	var t turns
	o := d.options()
	inner := o
	o.OnOpen = func(c Conn) { defer t.enter()(); inner.OnOpen(c) }
	o.OnMessage = func(c Conn, msg []byte) { defer t.enter()(); inner.OnMessage(c, msg) }
	o.OnClose = func(c Conn, err error) { defer t.enter()(); inner.OnClose(c, err) }
	l, err := new(o)
	if err != nil {
		return err
	}
	addr, err := l.Listen("127.0.0.1:0")
	if err != nil {
		return err
	}
	r.Go(func() error { t.expect(goroutine()); return l.Run() })
	r.Cleanup(func() { go forced(l) })
	const clients = 20
	r.Step("%d clients send 100 frames each and leave", clients)
	var all []*client
	for range clients {
		c, err := dial(r, addr.String())
		if err != nil {
			return err
		}
		all = append(all, c)
		for i := range 100 {
			if err := c.send([]byte{byte(i)}); err != nil {
				return err
			}
		}
		c.Close()
	}
	for _, c := range all {
		if _, err := d.waitClosed(c, "has left"); err != nil {
			return err
		}
		if n := len(d.of(c).messages); n != 100 {
			return spec.Fail("100 messages before OnClose", "%d", n)
		}
	}
	if err := t.verdict(); err != nil {
		return err
	}
	return d.orderly()
}
