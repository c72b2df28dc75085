package retry

import (
	"fmt"
	"sync"
	"time"
)

// BreakerOptions is the configuration of a [Breaker].
type BreakerOptions struct {
	Window int              // it judges by the last Window outcomes; 0 means 20
	Ratio  float64          // of failures among them that opens it; 0 means 0.5
	Open   time.Duration    // how long it stays open; 0 means 5 s
	Probes int              // tries at a time while half-open, and successes that close it; 0 means 1
	Now    func() time.Time // nil means time.Now
}

// Breaker keeps calls from a server that does not answer them: they fail at once
// instead of after a timeout, and the server gets the quiet that it needs (Nygard,
// "Release It!"). Its methods may be called from any goroutine.
//
//	         Window outcomes, of which
//	         Ratio failed                   Open has passed
//	closed ─────────────────────► open ────────────────────► half-open
//	   ▲                            ▲                         │     │
//	   │                            └── a probe failed ───────┘     │
//	   └────────────────── Probes probes succeeded ─────────────────┘
type Breaker struct {
	// Whenever mu is free:
	//   1. An outcome counts only in the period its pass is from. era counts periods.
	//   2. Half-open, probing <= Probes, and each of them will report.
	//   3. failed is the number of true in ring.

	o BreakerOptions // immutable after New, defaults filled in

	mu      sync.Mutex // guards the following
	state   breakerState
	era     uint64    // changes with state
	ring    []bool    // outcomes of this closed period, true for a failure
	next    int       // where in ring the next one goes, once it is full
	failed  int       // in ring
	until   time.Time // the end of an open period
	probing int       // probes that have not reported
	passed  int       // probes that succeeded in this half-open period
}

type breakerState int

const (
	closed breakerState = iota
	open
	halfOpen
)

// NewBreaker returns a closed breaker. It refuses negative numbers, and a Ratio
// above 1.
func NewBreaker(o BreakerOptions) (*Breaker, error) {
	if o.Window < 0 || !(o.Ratio >= 0 && o.Ratio <= 1) || o.Open < 0 || o.Probes < 0 {
		return nil, fmt.Errorf("retry: a breaker with Window %d, Ratio %v, Open %v, Probes %d: none may be negative, Ratio at most 1", o.Window, o.Ratio, o.Open, o.Probes)
	}
	o.Window = defaultTo(o.Window, 20)
	o.Ratio = defaultTo(o.Ratio, 0.5)
	o.Open = defaultTo(o.Open, 5*time.Second)
	o.Probes = defaultTo(o.Probes, 1)
	if o.Now == nil {
		o.Now = time.Now
	}
	return &Breaker{o: o, ring: make([]bool, 0, o.Window)}, nil
}

// Allow reports whether a call may go out now. If so, exactly one of Succeeded,
// Failed and Dropped must be called with pass when its outcome is known: a probe
// that never reports keeps its place for ever.
func (b *Breaker) Allow() (pass uint64, ok bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.tick()
	switch b.state {
	case open:
		return 0, false
	case halfOpen:
		if b.probing == b.o.Probes {
			return 0, false
		}
		b.probing++
	}
	return b.era, true
}

// Succeeded says that the server answered, be it with an error of its own.
func (b *Breaker) Succeeded(pass uint64) { b.report(pass, false) }

// Failed says that it did not: no answer in time, a lost connection.
func (b *Breaker) Failed(pass uint64) { b.report(pass, true) }

// Dropped says that the outcome counts for nothing: nobody waited for it, or the
// server was busy with others.
func (b *Breaker) Dropped(pass uint64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if pass == b.era && b.state == halfOpen {
		b.probing--
	}
}

// State is "closed", "open" or "half-open".
func (b *Breaker) State() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.tick()
	return [...]string{"closed", "open", "half-open"}[b.state]
}

// tick ends an open period whose time is over. mu is held.
func (b *Breaker) tick() {
	if b.state == open && !b.o.Now().Before(b.until) {
		b.enter(halfOpen)
	}
}

// enter begins a period. What is still under way belongs to an earlier one and
// will not count. mu is held.
func (b *Breaker) enter(s breakerState) {
	b.state = s
	b.era++
	b.ring, b.next, b.failed = b.ring[:0], 0, 0
	b.probing, b.passed = 0, 0
	if s == open {
		b.until = b.o.Now().Add(b.o.Open)
	}
}

func (b *Breaker) report(pass uint64, failure bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case pass != b.era:
	case b.state == halfOpen && failure:
		b.enter(open)
	case b.state == halfOpen:
		b.probing--
		if b.passed++; b.passed >= b.o.Probes {
			b.enter(closed)
		}
	case b.state == closed:
		b.record(failure)
	}
}

// record adds an outcome to the window, and opens when there are too many
// failures in a full one. mu is held.
func (b *Breaker) record(failure bool) {
	if len(b.ring) < b.o.Window {
		b.ring = append(b.ring, failure)
	} else {
		if b.ring[b.next] {
			b.failed--
		}
		b.ring[b.next] = failure
		b.next = (b.next + 1) % b.o.Window
	}
	if failure {
		b.failed++
	}
	if len(b.ring) == b.o.Window && float64(b.failed) >= b.o.Ratio*float64(b.o.Window) {
		b.enter(open)
	}
}

func defaultTo[T comparable](v, otherwise T) T {
	var zero T
	if v == zero {
		return otherwise
	}
	return v
}
