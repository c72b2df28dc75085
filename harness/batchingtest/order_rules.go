package batchingtest

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing/synctest"

	"github.com/asynclab/asynclab/harness/spec"
)

const (
	step1 = "Step 1: gather, and write what came together"
	step2 = "Step 2: short writes, and pieces"
	step3 = "Step 3: when to write"
	step4 = "Step 4: when the sink fails"
	step5 = "Step 5: a bound"
	step6 = "Step 6: the end"
)

var orderRules = []spec.Rule[lab]{
	{
		Name: "WritesInOrder", Group: "order", Points: 4, Section: step1,
		Why: "A stream is its order. Each writer's messages leave in the order in which it wrote them, each once, none inside another.",
		Hints: [3]string{
			"Two goroutines append to the batch at the same moment, and a third one takes it.",
			"One lock for the batch; one goroutine, and no other, that calls the sink.",
			"put: lock; filling.add(p); wake the goroutine; unlock. run: lock; b, filling = filling, spare; unlock; sink.Writev(b.pieces())",
		},
		Check: writesInOrder,
	},
	{
		Name: "CallerMayReuse", Group: "order", Points: 3, Section: step1,
		Why: "Write has returned, and the caller reads the next message into the same buffer. What was not copied by then is that message, twice.",
		Hints: [3]string{
			"Who owns p when Write has returned?",
			"The caller. Write must have copied it by then; WriteOwned need not.",
			"b.copied = append(b.copied, p...)",
		},
		Check: callerMayReuse,
	},
	{
		Name: "ShortWritesResume", Group: "order", Points: 4, Section: step2,
		Why: "writev takes what fits into the socket's buffer: often less than there is, and it may end in the middle of a message. Whoever goes on with the next batch has lost the rest; whoever begins again has doubled it.",
		Hints: [3]string{
			"The sink has taken 1000 of 3000 bytes. Which call comes next?",
			"Drop n bytes from the front of the pieces: whole ones, then a part of one. Go on until nothing is left.",
			"for len(rest) > 0 { n, err := sink.Writev(rest); rest = advance(rest, n) }",
		},
		Check: shortWrites,
	},
	{
		Name: "LargePiecesAreNotCopied", Group: "order", Points: 3, Section: step2,
		Why: "To copy 64 KiB costs more than a system call. A piece of its own costs 16 bytes of the iovec; many small pieces, on the other hand, cost more than their bytes. So: copy the small, refer to the large.",
		Hints: [3]string{
			"Is what the sink gets the caller's slice, or a copy of it?",
			"With WriteOwned, from 2 KiB on, a piece of its own between the bytes that were copied.",
			"segments []segment{at int, data []byte}; pieces: copied[from:s.at], s.data, ...; unlike those, small messages are one piece together",
		},
		Check: largePieces,
	},
	{
		Name: "PiecesAreBounded", Group: "order", Points: 2, Section: step2,
		Why: "writev with more than 1024 pieces is EINVAL: with many large messages a batch is simply never written.",
		Hints: [3]string{
			"What is IOV_MAX, and how many pieces has a batch of 3000 large messages?",
			"Give the sink 1024 at a time, and go on with the rest.",
			"sink.Writev(rest[:min(len(rest), 1024)])",
		},
		Check: piecesBounded,
	},
}

func writesInOrder(r *spec.Run, l lab) error {
	s := &sink{}
	w, err := open(r, l, s, Options{MaxBytes: 1000})
	if err != nil {
		return err
	}
	const writers, each = 6, 2000
	r.Step("%d goroutines write %d lines each", writers, each)
	var work sync.WaitGroup
	for g := range writers {
		work.Go(func() {
			for i := range each {
				w.Write(r.Context(), fmt.Appendf(nil, "%d %d\n", g, i), nil)
			}
		})
	}
	work.Wait()
	if err := w.Flush(r.Context()); err != nil {
		return spec.Fail("Flush to return nil", "it returned %s", l.name(err))
	}
	stream, _ := s.got()
	var next [writers]int
	for line := range strings.Lines(stream) {
		var g, i int
		if n, _ := fmt.Sscanf(line, "%d %d\n", &g, &i); n != 2 || g < 0 || g >= writers || i != next[g] {
			return spec.Fail("each goroutine's lines in order, each once and whole", "%q comes where line %d of goroutine %d should", line, next[min(max(g, 0), writers-1)], g)
		}
		next[g]++
	}
	for g, n := range next {
		if n != each {
			return spec.Fail(fmt.Sprintf("%d lines of each goroutine", each), "%d of goroutine %d", n, g)
		}
	}
	return s.orderly()
}

func callerMayReuse(r *spec.Run, l lab) error {
	return r.Bubble(func(r *spec.Run) error {
		s := &sink{gate: make(chan struct{})}
		w, err := open(r, l, s, Options{})
		if err != nil {
			return err
		}
		r.Step("write 50 messages from one buffer of 4 KiB that changes after each Write, while the sink is busy")
		var want []byte
		own := make([]byte, 4096)
		for i := range 50 {
			copy(own, letters(i, len(own)))
			want = append(want, own...)
			if err := w.Write(r.Context(), own, nil); err != nil {
				return spec.Fail("Write to return nil", "it returned %s", l.name(err))
			}
			clear(own)
		}
		return drain(r, l, w, s, string(want))
	})
}

// drain lets the sink take all, and compares. Only in a bubble.
func drain(r *spec.Run, l lab, w judged, s *sink, want string) error {
	flushed := r.Go(func() error { return w.Flush(r.Context()) })
	for {
		synctest.Wait()
		select {
		case err := <-flushed:
			if err != nil {
				return spec.Fail("Flush to return nil", "it returned %s", l.name(err))
			}
			return s.holds(want)
		case s.gate <- struct{}{}:
		}
	}
}

func shortWrites(r *spec.Run, l lab) error {
	for seed := range uint64(20) {
		rnd, part := rand.New(rand.NewPCG(seed, 11)), rand.New(rand.NewPCG(seed, 12))
		s := &sink{took: func(_, size int) (int, error) { return 1 + part.IntN(size), nil }}
		w, err := open(r, l, s, Options{MaxBytes: 10_000})
		if err != nil {
			return err
		}
		r.Step("seed %d: 100 messages of up to 5000 bytes; the sink takes a part each time", seed)
		var want []byte
		var told fates
		for i := range 100 {
			p := letters(i, 1+int(rnd.Uint32()%5000))
			want = append(want, p...)
			write := w.Write
			if i%2 == 0 {
				write = w.WriteOwned
			}
			if err := write(r.Context(), p, told.done(l, i)); err != nil {
				return spec.Fail("Write to return nil", "it returned %s", l.name(err))
			}
		}
		if err := w.Flush(r.Context()); err != nil {
			return spec.Fail("Flush to return nil", "it returned %s", l.name(err))
		}
		if err := s.holds(string(want)); err != nil {
			return err
		}
		if n := strings.Count(told.all(), "nil"); n != 100 {
			return spec.Fail("100 writers to be told nil", "%d were", n)
		}
	}
	return nil
}

func largePieces(r *spec.Run, l lab) error {
	return r.Bubble(func(r *spec.Run) error {
		s := &sink{keep: true, gate: make(chan struct{})}
		w, err := open(r, l, s, Options{})
		if err != nil {
			return err
		}
		r.Step("while the sink is busy: 100 small ones, a WriteOwned of 8 KiB, 100 small ones, a WriteOwned of 100 bytes, a Write of 8 KiB")
		var want []byte
		put := func(write func(context.Context, []byte, func(error)) error, p []byte) {
			want = append(want, p...)
			write(r.Context(), p, nil)
		}
		put(w.Write, []byte("first"))
		synctest.Wait()
		large, copied := letters(1, 8192), letters(2, 8192)
		for i := range 200 {
			if i == 100 {
				put(w.WriteOwned, large)
			}
			put(w.WriteOwned, letters(i, 20))
		}
		put(w.WriteOwned, letters(3, 100))
		put(w.Write, copied)
		if err := drain(r, l, w, s, string(want)); err != nil {
			return err
		}
		_, calls := s.got()
		if len(calls) != 2 || calls[1].count != 3 {
			return spec.Fail("a second call of the sink with 3 pieces: small ones, the large one, the rest", "there were %d calls, the last with %d pieces", len(calls), calls[len(calls)-1].count)
		}
		if &calls[1].pieces[1][0] != &large[0] {
			return spec.Fail("a large message that the writer owns not to be copied", "the sink got a copy")
		}
		if &calls[1].pieces[2][0] == &copied[0] || bytes.Contains(calls[1].pieces[0], large) {
			return spec.Fail("what Write is given to be copied", "the sink got the caller's own")
		}
		return nil
	})
}

func piecesBounded(r *spec.Run, l lab) error {
	return r.Bubble(func(r *spec.Run) error {
		s := &sink{gate: make(chan struct{})}
		w, err := open(r, l, s, Options{MaxBytes: 16 << 20, MaxPending: 16 << 20})
		if err != nil {
			return err
		}
		r.Step("3000 messages of 2 KiB that the writer owns, while the sink is busy")
		var want []byte
		for i := range 3000 {
			p := letters(i, 2048)
			want = append(want, p...)
			w.WriteOwned(r.Context(), p, nil)
		}
		return drain(r, l, w, s, string(want))
	})
}
