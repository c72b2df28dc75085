package websockettest

import (
	"bytes"
	"fmt"
	"runtime"
	"testing"

	"github.com/asynclab/asynclab/harness/spec"
)

var targets = []spec.Target[lab]{
	{
		Name: "parse-4k", Title: "masked frames of 4 KiB parsed per CPU second, against gorilla/websocket", Points: 5, Section: "Targets",
		Why:  "Of a large frame the mask is nearly all the work: each byte is read, turned and written once. Whoever does it a byte at a time, or copies the payload before it is delivered, shows here.",
		Unit: "gorillas", Goal: spec.AtLeast, Bound: 0.8,
		Hints: [3]string{
			"How many bytes does one turn of your unmasking loop take?",
			"8 at a time with encoding/binary is a load, an XOR and a store; four of these in one turn of the loop leave the loop itself nearly free.",
			"for len(p) >= 32 { xor8(p[:8], wide); xor8(p[8:16], wide); xor8(p[16:24], wide); xor8(p[24:32], wide); p = p[32:] }, and deliver data[n:end] where it lies.",
		},
		Measure: func(r *spec.Run, l lab) (spec.Sample, error) { return against(r, l, 4096, 100_000) },
	},
	{
		Name: "parse-64", Title: "masked frames of 64 bytes parsed per CPU second, against gorilla/websocket", Points: 5, Section: "Targets",
		Why:  "A chat's messages are short: what each costs is the head, the checks, the call of OnMessage, and whatever you allocate. At 64 bytes the payload itself is nothing.",
		Unit: "gorillas", Goal: spec.AtLeast, Bound: 2.5,
		Hints: [3]string{
			"What happens for each frame besides reading six bytes of head?",
			"A struct that escapes to the heap, a bytes.Reader, a read of the head in three parts, a copy of the payload.",
			"Parse from the slice by index, one look at len(data) for each form of the head; nothing on the way takes an interface or returns an error that was made for it.",
		},
		Measure: func(r *spec.Run, l lab) (spec.Sample, error) { return against(r, l, 64, 1_000_000) },
	},
	{
		Name: "echo-allocs", Title: "allocations of an echoed message: parsed, delivered and sent", Points: 3, Section: "Targets",
		Why:  "A frame that lies whole in the buffer is delivered from there, and its echo is put together in a buffer that was there before. What is left to allocate is nothing.",
		Unit: "allocations/message", Goal: spec.AtMost, Bound: 0.02,
		Hints: [3]string{
			"Where does the frame that Send puts together come from?",
			"A sync.Pool of *[]byte, or one buffer for all connections of a loop: the transport has copied it when Write returns.",
			"buf := scratch.Get().(*[]byte); frame := append(appendHead((*buf)[:0], op, len(p)), p...); Write(frame); *buf = frame; scratch.Put(buf).",
		},
		Measure: echoAllocations,
	},
	{
		Name: "broadcast-bytes", Title: "bytes allocated for each of 1,000 members who get one message of 4 KiB", Points: 3, Section: "Targets",
		Why:  "A message to a room is encoded once: 4 KiB for all, so 4 or 5 bytes for each. Encoding it for each member would be 4 MiB, and with ten rooms a collector that never rests.",
		Unit: "bytes/member", Goal: spec.AtMost, Bound: 16,
		Hints: [3]string{
			"What does SendFrame make before it calls Write?",
			"Nothing: the frame is whole, and nobody changes it.",
			"func (c *Conn) SendFrame(frame []byte) error { if c.state != open { return ErrClosed }; _, err := c.transport.Write(frame); return err }.",
		},
		Measure: broadcastBytes,
	},
}

// echoAllocations has frames of 100 and of 1,000 bytes echoed.
func echoAllocations(r *spec.Run, l lab) (spec.Sample, error) {
	const frames, rounds = 100, 500
	sent := new(tally)
	c := l.New(&Options[Conn]{OnMessage: func(c Conn, text bool, p []byte) { c.Send(text, p) }}, sent)
	give(c, usual.bytes(), 1000)
	var batch []byte
	for i := range frames / 2 {
		batch = append(batch, in(bin(pattern(i, 1000)), text("hello, wide world, this is a text of some length"))...)
	}
	data := make([]byte, len(batch))
	before := sent.writes
	per := testing.AllocsPerRun(rounds, func() {
		copy(data, batch) // Data has unmasked it in place
		c.Data(data)
	}) / frames
	if echoed := sent.writes - before; echoed != (rounds+1)*frames { // one more, to warm up
		return spec.Sample{}, fmt.Errorf("%d messages came in, %d echoes went out", (rounds+1)*frames, echoed)
	}
	return spec.Sample{Value: per}, nil
}

// tally is a transport that takes everything, and counts.
type tally struct {
	deaf
	writes int
	bytes  int64
}

func (t *tally) Write(p []byte) (int, error) {
	t.writes++
	t.bytes += int64(len(p))
	return len(p), nil
}

// broadcastBytes prepares messages and gives each to all members of a room.
func broadcastBytes(r *spec.Run, l lab) (spec.Sample, error) {
	const members, messages, size = 1000, 200, 4096
	sent, room := new(tally), make([]Conn, members)
	for i := range room {
		room[i] = l.New(&Options[Conn]{}, sent)
		give(room[i], usual.bytes(), 1000)
	}
	payload := bytes.Repeat([]byte("b"), size)
	before, written := allocated(), sent.bytes
	for range messages {
		frame := l.Prepare(nil, true, payload)
		for _, c := range room {
			if err := c.SendFrame(frame); err != nil {
				return spec.Sample{}, err
			}
		}
	}
	per := float64(allocated()-before) / (members * messages)
	if got, want := sent.bytes-written, int64(members*messages*(size+4)); got != want {
		return spec.Sample{}, fmt.Errorf("%d bytes were written, where %d are right", got, want)
	}
	return spec.Sample{Value: per}, nil
}

// allocated is the bytes that were ever allocated.
func allocated() uint64 {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.TotalAlloc
}
