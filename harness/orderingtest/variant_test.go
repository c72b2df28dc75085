package orderingtest

import (
	"errors"
	"math"
	"slices"
	"sync"
	"time"
)

// fault is one way in which a variant is wrong. It is a word for the reader;
// the code below says what each does.
type fault string

var (
	errOld       = errors.New("old")
	errDuplicate = errors.New("duplicate")
	errBeyond    = errors.New("beyond")
	errClosed    = errors.New("closed")
)

// variant is a right buffer in another style than the solution's: a map of what
// waits, a sorted list with one entry and one timer for each missing number, and
// a deadline that is computed when it is asked for. With a fault it is a mutant.
type variant struct {
	o     Options
	fault fault
	n     Stats
	clock time.Duration

	next, head, floor uint32
	held              map[uint32]Message
	missing           []missing // by number
	kept              []Message // for faults that keep too much
	mu                sync.Mutex

	offering, busy, full, sliding, closed bool
}

// missing is a number that is waited for.
type missing struct {
	seq       uint32
	born, ask time.Duration
	wait      time.Duration
}

func variantLab(f fault) lab {
	return lab{Old: errOld, Duplicate: errDuplicate, Beyond: errBeyond, Closed: errClosed,
		New: func(o Options) (judged, error) { return newVariant(o, f) }}
}

func newVariant(o Options, f fault) (judged, error) {
	day := 24 * time.Hour
	if f != "checks nothing" {
		if o.Deliver == nil || o.Window < 0 || o.Window > 1<<20 || o.GapTimeout < 0 || o.GapTimeout > day || o.RetryAfter < 0 || o.RetryAfter > day {
			return nil, errors.New("bad options")
		}
	}
	if o.Window == 0 {
		o.Window = 1024
	}
	if f == "the window is rounded up" {
		w := 1
		for w < o.Window {
			w *= 2
		}
		o.Window = w
	}
	if f == "begins at 0" {
		o.First = 0
	}
	v := &variant{o: o, fault: f, next: o.First, head: o.First, held: map[uint32]Message{}}
	if f == "a goroutine for each" {
		go v.tick()
	}
	return v, nil
}

// tick is for the fault "a goroutine for each".
func (v *variant) tick() {
	for range time.NewTicker(time.Second).C {
	}
}

// older reports whether a comes before b.
func (v *variant) older(a, b uint32) bool {
	if v.fault == "compares the numbers" {
		return a < b
	}
	return a-b >= 1<<31
}

// slot is the key of what waits: the number itself, or, for a fault, a slot of a
// ring whose size is no power of two.
func (v *variant) slot(seq uint32) uint32 {
	if v.fault == "a ring of Window slots" {
		return seq % uint32(v.o.Window)
	}
	return seq
}

func (v *variant) waits(seq uint32) bool {
	_, ok := v.held[v.slot(seq)]
	return ok
}

func (v *variant) tell(now time.Duration) {
	if now > v.clock || v.fault == "time goes back" {
		v.clock = now
	}
}

// tellIn is tell, for faults of one method.
func (v *variant) tellIn(method string, now time.Duration) {
	switch v.fault {
	case fault("time goes back in " + method):
		v.clock = now
	case fault("tells no time in " + method):
	default:
		v.tell(now)
	}
}

func (v *variant) Push(now time.Duration, seq uint32, m Message) error {
	if v.fault == "holds a lock while it calls" {
		v.mu.Lock()
		defer v.mu.Unlock()
	}
	v.tell(now)
	if v.fault == "keeps what it delivered" {
		v.kept = append(v.kept, m)
	}
	if v.o.Slide && !v.closed && !v.older(seq, v.next) && int(seq-v.next) >= v.o.Window {
		closed := v.closed
		v.slide(seq) // a callback may close the stream
		if v.closed && !closed && v.fault == "a Push that slides sees no Close" {
			v.n.Received++
			v.n.Refused++
			return errBeyond
		}
	}
	if v.closed && v.fault != "takes after Close" {
		return errClosed
	}
	if err := v.judge(seq, m); err != nil {
		return err
	}
	v.n.Received++
	v.n.Pending++
	v.store(seq, m)
	if v.fault == "delivers with the next call" && len(v.held) < 2 {
		return nil
	}
	v.run()
	return nil
}

// judge returns why a message is not taken.
func (v *variant) judge(seq uint32, m Message) error {
	refused := func(count *uint64, err error) error {
		v.n.Received++
		*count++
		return err
	}
	switch {
	case v.older(seq, v.next):
		switch {
		case v.fault == "delivers old numbers" && !v.full:
			v.o.Deliver(seq, m)
		case v.fault == "takes a late one when others wait" && v.n.Pending > 0:
			return nil
		case v.fault == "keeps silent about old numbers":
			return refused(&v.n.Old, nil)
		}
		return refused(&v.n.Old, errOld)
	case v.beyond(seq):
		if v.fault == "refusals are not counted" {
			return errBeyond
		}
		return refused(&v.n.Refused, errBeyond)
	case v.waits(seq) && !(v.fault == "takes a copy of what it offers" && v.offering && seq == v.next):
		if v.fault == "a duplicate replaces the first" {
			v.held[v.slot(seq)] = m
		}
		if v.fault == "a duplicate counts as old" {
			return refused(&v.n.Old, errDuplicate)
		}
		return refused(&v.n.Duplicates, errDuplicate)
	case v.fault == "gives up behind a full consumer" && slices.ContainsFunc(v.missing, func(g missing) bool { return g.seq == seq && v.expired(g) }):
		return refused(&v.n.Old, errOld)
	}
	return nil
}

func (v *variant) beyond(seq uint32) bool {
	d := int(seq - v.next)
	switch v.fault {
	case "no bound":
		return false
	case "bounds the count":
		return len(v.held) >= v.o.Window-1 && seq != v.next
	case "the window is one too large":
		return d > v.o.Window
	case "a backlog has no bound":
		return d >= v.o.Window && !v.full
	}
	return d >= v.o.Window
}

// store keeps m, and notes what is missing before it.
func (v *variant) store(seq uint32, m Message) {
	v.held[v.slot(seq)] = m
	if v.fault == "every arrival starts the wait anew" {
		v.anew(func(missing) bool { return true })
	}
	if v.older(seq, v.head) {
		if v.fault == "a split gap starts anew" {
			v.anew(func(g missing) bool { return v.older(g.seq, seq) })
		}
		v.missing = slices.DeleteFunc(v.missing, func(g missing) bool { return g.seq == seq })
		return
	}
	for ; v.head != seq; v.head++ {
		v.missing = append(v.missing, v.lacks(v.head))
	}
	v.head++
}

func (v *variant) lacks(seq uint32) missing {
	if v.fault == "has room for few gaps" && len(v.missing) >= v.o.Window/4 {
		v.missing = v.missing[1:]
	}
	g := missing{seq: seq, born: v.clock, ask: math.MaxInt64, wait: 2 * v.o.RetryAfter}
	if v.o.RetryAfter > 0 && v.o.Request != nil {
		g.ask = v.clock + v.o.RetryAfter
	}
	if v.fault == "a gap is born at a full millisecond" {
		g.born = g.born.Truncate(ms)
	}
	if v.fault == "asks at once" {
		g.ask = v.clock
	}
	if v.fault == "starts its own timer" {
		time.AfterFunc(v.o.GapTimeout, func() { v.Advance(v.clock + v.o.GapTimeout) })
	}
	return g
}

func (v *variant) anew(which func(missing) bool) {
	for i := range v.missing {
		if which(v.missing[i]) {
			v.missing[i].born = v.clock
		}
	}
}

func (v *variant) expired(g missing) bool {
	timeout := v.o.GapTimeout
	switch {
	case timeout == 0 || v.fault == "no gap is ever skipped":
		return false
	case v.fault == "skips a nanosecond early":
		timeout--
	case v.fault == "skips a millisecond late":
		timeout += ms
	}
	return v.clock >= g.born+timeout
}

// run delivers and gives up, until next has to be waited for.
func (v *variant) run() {
	if v.busy && v.fault != "delivers inside Deliver" {
		return
	}
	v.busy = true
	defer func() { v.busy = false }()
	for delivered := 0; ; delivered++ {
		m, here := v.held[v.slot(v.next)]
		switch {
		case v.full && v.fault != "offers with every Push":
			return
		case here:
			if v.offer(m); v.fault == "delivers one and stops" || v.fault == "forgets what a callback pushed" && v.head != v.next && delivered == 0 && len(v.held) == 2 {
				return
			}
		case len(v.missing) > 0 && v.hopeless(v.missing[0]):
			if v.giveUp(); v.fault == "gives up one number for each Advance" {
				return
			}
		case v.sliding && !v.closed && v.next == v.head && v.older(v.next, v.floor):
			v.leap()
		default:
			return
		}
	}
}

// hopeless reports whether g, which is next, is not waited for any longer.
func (v *variant) hopeless(g missing) bool {
	if v.fault == "slides over a whole gap" && v.sliding && v.older(v.next, v.floor) && g.born == v.missing[0].born {
		return true
	}
	return v.closed && v.fault != "Close waits for gaps" || v.sliding && v.older(g.seq, v.floor) || v.expired(g)
}

func (v *variant) offer(m Message) {
	v.offering = true
	early := v.fault == "counts before Deliver has taken it"
	if early {
		v.n.Delivered, v.n.Pending = v.n.Delivered+1, v.n.Pending-1
	}
	taken := v.o.Deliver(v.next, m)
	v.offering = false
	if !taken && v.fault != "forgets what was refused" {
		if early {
			v.n.Delivered, v.n.Pending = v.n.Delivered-1, v.n.Pending+1
		}
		v.full = true
		return
	}
	if !early {
		v.n.Delivered, v.n.Pending = v.n.Delivered+1, v.n.Pending-1
	}
	delete(v.held, v.slot(v.next))
	v.next++
}

// giveUp loses the numbers from next on that are missing and hopeless.
func (v *variant) giveUp() {
	n := 0
	for n < len(v.missing) && v.missing[n].seq == v.next+uint32(n) && v.hopeless(v.missing[n]) {
		n++
		if v.fault == "gives up one number for each Advance" {
			break
		}
	}
	v.missing = v.missing[n:]
	switch v.fault {
	case "skips one too many":
		delete(v.held, v.slot(v.next+uint32(n)))
		n++
	case "skips all gaps at once":
		for i := range v.missing {
			v.missing[i].born = math.MinInt64 / 2
		}
	case "a skip starts the other waits anew":
		v.anew(func(missing) bool { return true })
	}
	v.lose(n)
}

func (v *variant) lose(n int) {
	first := v.next
	v.next += uint32(n)
	if v.fault != "counts losses late" {
		v.n.Lost += uint64(n)
	}
	if v.o.Lost != nil {
		v.o.Lost(first, n)
	}
	if v.fault == "counts losses late" {
		v.n.Lost += uint64(n)
	}
}

func (v *variant) slide(seq uint32) {
	if v.fault == "never slides" || v.busy || v.full && v.fault != "slides under a full consumer" {
		return
	}
	v.floor = seq - uint32(v.o.Window) + 1
	switch v.fault {
	case "slides to the new number":
		v.floor = seq
	case "slides over what waits":
		for v.next != v.floor && v.next != v.head {
			v.forget(v.next)
			v.lose(1)
		}
	case "slides under a full consumer":
		v.full = false
	}
	v.sliding = true
	v.run()
	v.sliding = false
}

// forget drops what is known of seq.
func (v *variant) forget(seq uint32) {
	if v.waits(seq) {
		delete(v.held, v.slot(seq))
		v.n.Pending--
	}
	v.missing = slices.DeleteFunc(v.missing, func(g missing) bool { return g.seq == seq })
}

func (v *variant) leap() {
	n := int(v.floor - v.next)
	if v.fault == "leaps step by step" {
		n = 1
	}
	v.head = v.next + uint32(n)
	v.lose(n)
}

func (v *variant) Advance(now time.Duration) {
	if v.tellIn("Advance", now); v.busy {
		return
	}
	if v.fault == "asks before it gives up" {
		v.request()
	}
	v.run()
	v.request()
	v.run()
}

// request asks for each number that is due, in runs.
func (v *variant) request() {
	v.busy = true
	defer func() { v.busy = false }()
	var due []uint32
	for i := range v.missing {
		g := &v.missing[i]
		if v.closed && v.fault != "asks after Close" {
			break
		}
		if v.clock < g.ask || v.expired(*g) && v.fault != "asks before it gives up" && v.fault != "asks for what has expired" || v.full && v.fault == "asks nobody while the consumer is full" || v.fault == "asks for the first gap only" && g.seq-v.next > 2 {
			continue
		}
		due = append(due, g.seq)
		v.later(g)
	}
	for len(due) > 0 {
		if v.waits(due[0]) && v.fault != "asks for what a callback has brought" {
			due = due[1:]
			continue
		}
		n := 1
		for n < len(due) && due[n] == due[0]+uint32(n) && !v.waits(due[n]) {
			n++
		}
		if v.fault == "asks for everything up to the last" {
			n = int(due[len(due)-1]-due[0]) + 1
		}
		v.n.Requested += uint64(n)
		v.o.Request(due[0], n)
		due = due[min(n, len(due)):]
	}
}

// later finds the time of the next request for g.
func (v *variant) later(g *missing) {
	from := v.clock
	if v.fault == "makes up for requests that were late" {
		from = g.ask
	}
	g.ask = from + g.wait
	switch v.fault {
	case "asks at regular times":
		g.ask = from + v.o.RetryAfter
	case "the wait has no bound":
		g.wait *= 2
	default:
		g.wait = min(2*g.wait, 64*v.o.RetryAfter)
	}
}

func (v *variant) Deadline() (time.Duration, bool) {
	if v.fault == "a tick every 100 ms" {
		return v.clock + 100*ms, true
	}
	at := time.Duration(math.MaxInt64)
	for _, g := range v.missing {
		if v.expired(g) && v.fault != "a deadline that has passed" {
			continue
		}
		due := g.ask
		if v.o.GapTimeout > 0 {
			due = min(due, g.born+v.o.GapTimeout)
		}
		if at = min(at, due); v.fault == "the deadline of the last gap" {
			at = due
		}
	}
	if v.fault == "a deadline for every stream" && at == math.MaxInt64 && v.o.GapTimeout > 0 {
		at = v.clock + v.o.GapTimeout
	}
	return at, at != math.MaxInt64 && !v.closed
}

func (v *variant) Resume(now time.Duration) {
	v.tellIn("Resume", now)
	if v.busy && v.fault == "Resume in a callback is lost" {
		return
	}
	v.full = false
	switch v.fault {
	case "Resume waits for the next Push":
		return
	case "Resume offers one":
		if m, here := v.held[v.slot(v.next)]; here {
			v.offer(m)
		}
		return
	}
	v.run()
}

func (v *variant) Next() uint32 { return v.next }

func (v *variant) Stats() Stats { return v.n }

func (v *variant) Close() {
	v.closed = true
	switch {
	case v.fault == "Close throws away":
		clear(v.held)
		v.missing, v.head = nil, v.next
	case v.fault == "Close forgets a full consumer" && v.full:
		clear(v.held)
		v.missing, v.head = nil, v.next
	}
	v.run()
}
