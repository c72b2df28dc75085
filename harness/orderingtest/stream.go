package orderingtest

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/asynclab/asynclab/harness/spec"
)

// stream is a buffer with a consumer that writes down what it sees. Like a
// bufio.Scanner it keeps its first failure, in err, and does nothing more.
type stream struct {
	judged // nil when it could not be made
	r      *spec.Run
	l      lab
	err    error

	now    time.Duration // what the buffer is told
	copies int           // messages pushed
	room   int           // messages that Deliver will take; below 0 without bound
	inside bool          // a callback runs

	// hooks, called in the callbacks; nil where a rule needs none
	onDeliver func(seq uint32)
	onLost    func(first uint32, n int)
	onRequest func(first uint32, n int)

	seen  []string // deliveries and losses since the last sees
	lost  run      // the last one of seen, while it is a loss
	asked []uint32 // numbers asked for since the last asks
}

// run is the numbers from first to last; n is 0 when there are none.
type run struct {
	first uint32
	n     int
}

func (g run) String() string {
	if g.n == 1 {
		return fmt.Sprint(g.first)
	}
	return fmt.Sprintf("%d..%d", g.first, g.first+uint32(g.n)-1)
}

// open makes a buffer with o, whose callbacks are the stream's own.
func open(r *spec.Run, l lab, o Options) *stream {
	s := &stream{r: r, l: l, room: -1}
	o.Deliver, o.Lost, o.Request = s.deliver, s.lose, s.request
	s.judged, s.err = l.New(o)
	if s.err != nil {
		s.err = spec.Fail("New to make a buffer", "it returned: %v", s.err)
	}
	return s
}

// fail keeps the first failure.
func (s *stream) fail(expected, happened string, args ...any) {
	if s.err == nil {
		s.err = spec.Fail(expected, happened, args...)
	}
}

// enter notes that a callback runs; its result ends that.
func (s *stream) enter(what string) func() {
	if s.inside {
		s.fail("one callback at a time", "%s was called inside another callback", what)
	}
	outer := s.inside
	s.inside = true
	return func() { s.inside = outer }
}

func (s *stream) deliver(seq uint32, m Message) bool {
	defer s.enter(fmt.Sprintf("Deliver(%d)", seq))()
	if m.Seq != seq {
		s.fail(fmt.Sprintf("Deliver(%d) to get the message that was pushed with this number", seq), "it got message %d", m.Seq)
	}
	if s.onDeliver != nil {
		s.onDeliver(seq)
	}
	if s.room == 0 {
		s.saw(fmt.Sprintf("full %d", seq))
		return false
	}
	s.room--
	s.saw(fmt.Sprint(seq))
	return true
}

func (s *stream) saw(what string) {
	if len(s.seen) > 5000 {
		s.fail("an end", "the callbacks are called again and again: %s", s.story())
		panic("the consumer was called more than 5,000 times: " + s.story())
	}
	s.seen = append(s.seen, what)
	s.lost = run{}
}

// lose joins calls that follow each other: the contract leaves that open.
func (s *stream) lose(first uint32, n int) {
	defer s.enter(fmt.Sprintf("Lost(%d, %d)", first, n))()
	if n <= 0 {
		s.fail("Lost for one number at least", "Lost(%d, %d)", first, n)
	}
	if s.lost.n > 0 && s.lost.first+uint32(s.lost.n) == first {
		s.lost.n += n
		s.seen[len(s.seen)-1] = "lost " + s.lost.String()
	} else {
		s.saw("lost " + run{first, n}.String())
		s.lost = run{first, n}
	}
	if s.onLost != nil {
		s.onLost(first, n)
	}
}

func (s *stream) request(first uint32, n int) {
	defer s.enter(fmt.Sprintf("Request(%d, %d)", first, n))()
	for k := range uint32(min(max(n, 0), 5000)) {
		s.asked = append(s.asked, first+k)
	}
	if s.onRequest != nil {
		s.onRequest(first, n)
	}
}

// at moves the time that the next calls tell.
func (s *stream) at(now time.Duration) *stream {
	s.now = now
	return s
}

// push pushes numbers, all of which must be taken.
func (s *stream) push(seqs ...uint32) {
	for _, seq := range seqs {
		s.refuses(nil, seq)
	}
}

// refuses pushes a number and expects Push to return want.
func (s *stream) refuses(want error, seq uint32) {
	if s.err != nil {
		return
	}
	s.r.Step("at %v: Push %d", s.now, seq)
	if got := s.put(seq); got != want && s.err == nil {
		s.fail(fmt.Sprintf("Push(%d) to return %s", seq, s.l.name(want)), "it returned %s; the consumer saw: %s", s.l.name(got), s.story())
	}
}

// put pushes without a word.
func (s *stream) put(seq uint32) error {
	s.copies++
	return s.Push(s.now, seq, Message{Seq: seq, Copy: s.copies})
}

// advance tells the time.
func (s *stream) advance(now time.Duration) {
	if s.now = now; s.err == nil {
		s.r.Step("Advance to %v", now)
		s.Advance(now)
	}
}

// resume gives the consumer room for n messages, below 0 for all, and says so.
func (s *stream) resume(n int) {
	if s.room = n; s.err == nil {
		s.r.Step("at %v: Resume, with room for %s", s.now, amount(n))
		s.Resume(s.now)
	}
}

func (s *stream) close() {
	if s.err == nil {
		s.r.Step("Close")
		s.Close()
	}
}

func amount(n int) string {
	if n < 0 {
		return "all"
	}
	return fmt.Sprint(n)
}

// sees expects what the consumer saw since the last sees, as in
// "1 2 lost 3..5 6 full 7": deliveries, losses, and messages it had no room for.
func (s *stream) sees(want string) {
	if s.err != nil {
		return
	}
	if got := strings.Join(s.seen, " "); got != want {
		s.fail("the consumer to see: "+orNothing(want), "it saw: %s", orNothing(got))
	}
	s.seen, s.lost = s.seen[:0], run{}
}

// asks expects the numbers asked for since the last asks, in whatever calls and
// order, as in "1..3 5".
func (s *stream) asks(want string) {
	if s.err != nil {
		return
	}
	slices.Sort(s.asked)
	var runs []string
	for i := 0; i < len(s.asked); {
		g := run{s.asked[i], 1}
		for i++; i < len(s.asked) && s.asked[i] == g.first+uint32(g.n); i++ {
			g.n++
		}
		runs = append(runs, g.String())
	}
	if got := strings.Join(runs, " "); got != want {
		s.fail(fmt.Sprintf("at %v requests for: %s", s.now, orNothing(want)), "they were for: %s", orNothing(got))
	}
	s.asked = s.asked[:0]
}

// isNext expects Next to be want.
func (s *stream) isNext(want uint32) {
	if s.err == nil && s.Next() != want {
		s.fail(fmt.Sprintf("Next to be %d", want), "it is %d", s.Next())
	}
}

// sleeps expects that there is no deadline. why completes "no deadline, because
// ...".
func (s *stream) sleeps(why string) {
	if s.err != nil {
		return
	}
	if at, ok := s.Deadline(); ok {
		s.fail("no deadline, because "+why, "Deadline is %v", at)
	}
}

// wakes expects a deadline in the future, at due at the latest.
func (s *stream) wakes(due time.Duration) {
	if s.err != nil {
		return
	}
	at, ok := s.Deadline()
	switch {
	case !ok:
		s.fail(fmt.Sprintf("a deadline at %v at the latest", due), "there is none")
	case at > due:
		s.fail(fmt.Sprintf("a deadline at %v at the latest", due), "Deadline is %v, which is late", at)
	case at <= s.now:
		s.fail(fmt.Sprintf("a deadline later than %v, the last Advance", s.now), "Deadline is %v: a loop that waits for it would not wait", at)
	}
}

// story is what the consumer saw lately, shortened.
func (s *stream) story() string {
	if n := len(s.seen); n > 20 {
		return "... " + strings.Join(s.seen[n-20:], " ")
	}
	return orNothing(strings.Join(s.seen, " "))
}

func orNothing(s string) string {
	if s == "" {
		return "nothing"
	}
	return s
}
