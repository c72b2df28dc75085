package orderingtest

import (
	"container/heap"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/asynclab/asynclab/harness/spec"
)

// weather is what a random run does to a stream.
type weather struct {
	name      string
	count     int           // numbers sent
	delay     time.Duration // each copy takes up to this long
	loss, dup float64       // probability for each copy
	slow      float64       // probability that Deliver has no room
	o         Options
}

// ledger sends a stream through a buffer in bad weather, and keeps the books:
// what was taken, when each number was first known to be missing, and what came
// of it. Numbers are counted from 0 here; seq is First plus that.
type ledger struct {
	judged
	weather
	r   *spec.Run
	l   lab
	rnd *rand.Rand
	err error

	now    time.Duration
	air    flight          // copies on their way
	born   []time.Duration // when each number was known to be missing; unknown before
	copies []int           // the copy of each number that was taken; 0 when none was
	head   int             // one more than the highest number taken
	next   int             // number that the consumer expects
	full   bool            // Deliver said so
	closed bool
	last   string // what was done last
	inPush bool

	pushed int // copies
	want   Stats
	books  bool // compare the counts, too
}

const unknown = time.Duration(-1)

// send runs the whole stream: everything is sent, one number a millisecond, and
// time goes on until nothing happens any more.
func send(r *spec.Run, l lab, w weather, seed uint64, books bool) error {
	b := &ledger{r: r, l: l, weather: w, rnd: rand.New(rand.NewPCG(seed, 7)), books: books}
	b.born, b.copies = make([]time.Duration, w.count), make([]int, w.count)
	for i := range b.born {
		b.born[i] = unknown
	}
	w.o.Deliver, w.o.Lost, w.o.Request = b.deliver, b.lost, b.request
	var err error
	if b.judged, err = l.New(w.o); err != nil {
		return spec.Fail("New to make a buffer", "it returned: %v", err)
	}
	b.o = w.o
	for i := range w.count {
		b.depart(i, time.Duration(i)*ms)
	}
	for b.err == nil && b.tick() {
		b.now += ms
	}
	b.end()
	if b.err != nil {
		r.Step("%s, number %d: %s", w.name, seed+1, b.last)
	}
	return b.err
}

// depart puts the copies of number i on their way.
func (b *ledger) depart(i int, at time.Duration) {
	for copies := 1; copies > 0; copies-- {
		if b.rnd.Float64() < b.dup {
			copies++
		}
		if b.rnd.Float64() >= b.loss {
			heap.Push(&b.air, arrival{at + time.Duration(b.rnd.Int64N(int64(b.delay)+1)), i})
		}
	}
}

// tick is one millisecond: the deadline, what arrives, the consumer. It returns
// false when nothing is left to happen.
func (b *ledger) tick() bool {
	if at, ok := b.Deadline(); ok && at <= b.now {
		b.do("Advance", func() { b.Advance(b.now) })
	}
	b.punctual()
	for len(b.air) > 0 && b.air[0].at <= b.now && b.err == nil {
		b.push(heap.Pop(&b.air).(arrival).number)
	}
	if b.err == nil && b.full && b.rnd.Float64() < 0.5 {
		b.full = false
		b.do("Resume", func() { b.Resume(b.now) })
	}
	_, waiting := b.Deadline()
	return len(b.air) > 0 || waiting || b.full
}

// punctual looks for a number that should have been given up: the buffer is
// advanced by its own deadlines, so here a late one shows.
func (b *ledger) punctual() {
	if b.err != nil || b.full || b.next >= b.head || b.o.GapTimeout == 0 || b.copies[b.next] != 0 {
		return
	}
	if due := b.born[b.next] + b.o.GapTimeout; b.now >= due {
		b.last = fmt.Sprintf("at %v: nothing but what Deadline asked for", b.now)
		b.fail(fmt.Sprintf("number %d to be given up at %v, when it had been missing for %v", b.seq(b.next), due, b.o.GapTimeout), "at %v it has not been", b.now)
	}
}

// do calls the buffer and looks at the books.
func (b *ledger) do(what string, call func()) {
	b.last = fmt.Sprintf("at %v: %s", b.now, what)
	call()
	b.audit("after " + what)
	if b.err == nil && !b.full && b.next < b.head && b.copies[b.next] != 0 {
		b.fail("everything to be delivered that is next, when the consumer has room", "after %s number %d waits, and it is next", what, b.seq(b.next))
	}
}

func (b *ledger) push(i int) {
	b.pushed++
	copy, next := b.pushed, b.next
	b.do(fmt.Sprintf("Push(%d)", b.seq(i)), func() {
		b.arrives(i, copy)
		b.inPush = true
		err := b.Push(b.now, b.seq(i), Message{Seq: b.seq(i), Copy: copy})
		b.inPush = false
		b.verdict(i, copy, next, err)
	})
}

// arrives notes a copy before it is pushed, because its Deliver comes inside
// Push; verdict takes the note back when it was not taken.
func (b *ledger) arrives(i, copy int) {
	if i >= b.next && b.copies[i] == 0 {
		b.copies[i] = copy
	}
}

// verdict checks what Push said of number i, which came when next was next. By
// now a window that slides has moved as far as the consumer let it.
func (b *ledger) verdict(i, copy, next int, err error) {
	want := error(nil)
	switch {
	case i < next:
		want = b.l.Old
		b.want.Old++
	case b.copies[i] != copy:
		want = b.l.Duplicate
		b.want.Duplicates++
	case i-b.next >= b.window():
		if b.o.Slide && !b.full {
			b.fail(fmt.Sprintf("%s to move the window, which slides: the consumer has room", b.last), "next is %d still, and the window %d", b.seq(b.next), b.window())
		}
		want = b.l.Beyond
		b.want.Refused++
		b.copies[i] = 0
	default:
		b.knows(i)
	}
	if err != want {
		b.fail(fmt.Sprintf("%s to return %s (next was %d)", b.last, b.l.name(want), b.seq(next)), "it returned %s", b.l.name(err))
	}
}

// knows notes that i was taken: what lies between it and the highest number
// before it is missing from now on.
func (b *ledger) knows(i int) {
	for ; b.head < i; b.head++ {
		if b.copies[b.head] == 0 && b.born[b.head] == unknown {
			b.born[b.head] = b.now
		}
	}
	b.head = max(b.head, i+1)
}

func (b *ledger) window() int {
	if b.o.Window == 0 {
		return 1024
	}
	return b.o.Window
}

func (b *ledger) deliver(seq uint32, m Message) bool {
	b.audit(fmt.Sprintf("in Deliver(%d)", seq))
	i := b.next
	switch {
	case b.full:
		b.fail("no Deliver before Resume when there was no room", "Deliver(%d) was called", seq)
	case i >= b.count || seq != b.seq(i):
		b.fail(fmt.Sprintf("number %d to be delivered or reported lost next", b.seq(i)), "Deliver(%d) was called", seq)
	case b.copies[i] == 0:
		b.fail("only what was taken to be delivered", "Deliver(%d) was called, which was not", seq)
	case m.Seq != seq || m.Copy != b.copies[i]:
		b.fail(fmt.Sprintf("Deliver(%d) to get the copy that was taken, the %dth message pushed", seq, b.copies[i]), "it got message %d, the %dth pushed", m.Seq, m.Copy)
	}
	if b.err != nil {
		return true
	}
	if b.rnd.Float64() < b.slow {
		b.full = true
		return false
	}
	b.next++
	b.want.Delivered++
	return true
}

func (b *ledger) lost(first uint32, n int) {
	if b.err != nil {
		return
	}
	if first != b.seq(b.next) || n < 1 || n > b.count-b.next {
		b.fail(fmt.Sprintf("number %d to be delivered or reported lost next", b.seq(b.next)), "Lost(%d, %d) was called", first, n)
		return
	}
	for i := b.next; i < b.next+n; i++ {
		b.mayLose(i)
	}
	b.next += n
	b.want.Lost += uint64(n)
	b.audit(fmt.Sprintf("in Lost(%d, %d)", first, n))
}

// mayLose checks that number i is missing, and was waited for. A window that
// slides may shorten the wait.
func (b *ledger) mayLose(i int) {
	switch {
	case b.copies[i] != 0:
		b.fail("only what is missing to be reported lost", "Lost for %d, which was taken", b.seq(i))
	case b.closed || b.inPush && b.o.Slide:
	case b.born[i] == unknown:
		b.fail("only what a later message has shown to be missing to be reported lost", "Lost for %d: nothing behind it has come", b.seq(i))
	case b.o.GapTimeout == 0 || b.now < b.born[i]+b.o.GapTimeout:
		b.fail(fmt.Sprintf("number %d to be waited for until %v", b.seq(i), b.born[i]+b.o.GapTimeout), "Lost for it at %v", b.now)
	}
}

func (b *ledger) request(first uint32, n int) {
	b.want.Requested += uint64(n)
	for k := range n {
		i := int(first-b.o.First) + k
		if i >= b.count || i < b.next || b.copies[i] != 0 {
			b.fail("requests only for what is missing", "Request(%d, %d) when next is %d", first, n, b.seq(b.next))
			return
		}
		b.depart(i, b.now)
	}
}

// end closes the stream and gives the consumer all the room it needs.
func (b *ledger) end() {
	if b.err != nil {
		return
	}
	b.closed = true
	b.do("Close", b.Close)
	for b.err == nil && b.full {
		b.full = false
		b.do("Resume after Close", func() { b.Resume(b.now) })
	}
	if b.err == nil && b.next != b.head {
		b.fail(fmt.Sprintf("all numbers before %d, the end, to be delivered or reported lost", b.seq(b.head)), "it ended at %d", b.seq(b.next))
	}
}

// audit compares the counts with the books. Inside Push the message that is
// pushed may or may not be counted yet, so there only the equations hold.
func (b *ledger) audit(when string) {
	if !b.books || b.err != nil {
		return
	}
	got := b.Stats()
	if got.Received != got.Delivered+uint64(got.Pending)+got.Old+got.Duplicates+got.Refused {
		b.fail("Received = Delivered + Pending + Old + Duplicates + Refused at every instant", "%s: %+v", when, got)
	} else if far := uint64(b.Next() - b.o.First); got.Delivered+got.Lost != far {
		b.fail(fmt.Sprintf("Delivered + Lost to be %d, how far Next has come", far), "%s: %+v", when, got)
	} else if got.Delivered != b.want.Delivered || got.Lost != b.want.Lost {
		b.fail(fmt.Sprintf("Delivered %d and Lost %d", b.want.Delivered, b.want.Lost), "%s: %+v", when, got)
	} else if !b.inPush && (got.Received != uint64(b.pushed) || got.Old != b.want.Old || got.Duplicates != b.want.Duplicates || got.Refused != b.want.Refused || got.Requested != b.want.Requested) {
		b.fail(fmt.Sprintf("Received %d, Old %d, Duplicates %d, Refused %d, Requested %d", b.pushed, b.want.Old, b.want.Duplicates, b.want.Refused, b.want.Requested), "%s: %+v", when, got)
	}
}

func (b *ledger) seq(i int) uint32 { return b.o.First + uint32(i) }

func (b *ledger) fail(expected, happened string, args ...any) {
	if b.err == nil {
		b.err = spec.Fail(expected, happened, args...)
	}
}

// arrival is a copy of a number that is on its way.
type arrival struct {
	at     time.Duration
	number int
}

// flight is a heap by time, then number.
type flight []arrival

func (f flight) Len() int { return len(f) }
func (f flight) Less(i, j int) bool {
	return f[i].at < f[j].at || f[i].at == f[j].at && f[i].number < f[j].number
}
func (f flight) Swap(i, j int) { f[i], f[j] = f[j], f[i] }
func (f *flight) Push(x any)   { *f = append(*f, x.(arrival)) }
func (f *flight) Pop() any {
	last := (*f)[len(*f)-1]
	*f = (*f)[:len(*f)-1]
	return last
}
