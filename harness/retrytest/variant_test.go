package retrytest

import (
	"errors"
	"math"
	"math/rand/v2"
	"slices"
	"sync"
	"time"
)

// fault is one way in which a variant is wrong. It is a word for the reader; the
// code says what each does.
type fault string

func (f fault) is(name fault) bool { return f == name }

var (
	errTimeout  = timeout{}
	errUnknown  = errors.New("unknown")
	errBusy     = errors.New("busy")
	errOpen     = errors.New("open")
	errFull     = errors.New("full")
	errTooLarge = errors.New("too large")
	errClosed   = errors.New("closed")
)

// variantLab is a right lab in another style than the solution's, if f is "": the
// client has a timer for each thing to come and slices of attempts, the server a
// goroutine for each connection and one lock. With a fault it is a mutant.
func variantLab(f fault) lab {
	return lab{
		Backoff: func(base, limit time.Duration, random func() float64) Backoff {
			return vbackoff{f, base, limit, random}
		},
		Budget:    func(ratio float64, reserve int) (Budget, error) { return newVbudget(f, ratio, reserve) },
		Breaker:   func(o BreakerOptions) (Breaker, error) { return newVbreaker(f, o) },
		Latencies: func(n int) (Latencies, error) { return newVlatencies(f, n) },
		New:       func(o Options) (client, error) { return newVclient(f, o) },
		NewServer: func(o ServerOptions) (server, error) { return newVserver(f, o) },
		Push:      vpush,
		Errors:    Errors{errTimeout, errUnknown, errBusy, errOpen, errFull, errTooLarge, errClosed},
	}
}

type vbackoff struct {
	fault
	base, limit time.Duration
	random      func() float64
}

func (b vbackoff) Delay(n int) time.Duration {
	n = max(n, 0)
	if b.random == nil {
		b.random = rand.Float64
	}
	ceiling := math.Min(float64(b.limit), float64(b.base)*math.Pow(2, float64(n)))
	switch {
	case b.is("the wait grows by steps"):
		ceiling = math.Min(float64(b.limit), float64(b.base)*float64(n+1))
	case b.is("no cap"):
		ceiling = math.Min(math.MaxInt64, float64(b.base)*math.Pow(2, float64(n)))
	case b.is("shifts without looking"):
		ceiling = float64(min(b.limit, b.base<<n))
	case b.is("always the first backoff"):
		ceiling = float64(b.base)
	}
	switch {
	case b.is("no jitter"), b.is("the article"):
		return time.Duration(ceiling)
	case b.is("half of the jitter"):
		return time.Duration(ceiling/2 + b.random()*ceiling/2)
	}
	return time.Duration(b.random() * ceiling)
}

// vbudget counts in millionths under a lock.
type vbudget struct {
	fault
	mu         sync.Mutex
	have, full int64
	earn       int64
}

func newVbudget(f fault, ratio float64, reserve int) (*vbudget, error) {
	if (!(ratio >= 0) || ratio > 1 || reserve < 0) && !f.is("takes any options") {
		return nil, errors.New("bad budget")
	}
	b := &vbudget{fault: f, have: int64(reserve) * 1e6, full: int64(reserve) * 1e6, earn: int64(ratio*1e6 + 0.5)}
	if f.is("each first attempt earns a retry") {
		b.earn = 1e6
	}
	if f.is("no reserve") {
		b.have = 0
	}
	return b, nil
}

func (b *vbudget) Earn() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.have += b.earn
	if b.have > b.full && !b.is("good weather is saved up") {
		b.have = b.full
	}
}

func (b *vbudget) Spend() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.is("the budget is ignored") {
		return true
	}
	if b.have < 1e6 && !(b.is("spends the last fraction") && b.have > 0) {
		return false
	}
	b.have -= 1e6
	return true
}

// vbreaker keeps all outcomes of its window in a slice.
type vbreaker struct {
	fault
	o       BreakerOptions
	mu      sync.Mutex
	state   string
	period  uint64
	all     []bool
	until   time.Time
	probing int
	good    int
}

func newVbreaker(f fault, o BreakerOptions) (*vbreaker, error) {
	if (o.Window < 0 || !(o.Ratio >= 0) || o.Ratio > 1 || o.Open < 0 || o.Probes < 0) && !f.is("takes any options") {
		return nil, errors.New("bad breaker")
	}
	if o.Window == 0 {
		o.Window = 20
	}
	if o.Ratio == 0 {
		o.Ratio = 0.5
	}
	if o.Open == 0 {
		o.Open = 5 * time.Second
	}
	if o.Probes == 0 {
		o.Probes = 1
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	return &vbreaker{fault: f, o: o, state: "closed"}, nil
}

func (b *vbreaker) look() {
	if b.state == "open" && !b.o.Now().Before(b.until) && !b.is("stays open") {
		b.become("half-open")
	}
}

func (b *vbreaker) become(state string) {
	if state == "open" && !(b.is("an open period is not begun anew") && b.state == "half-open") {
		b.until = b.o.Now().Add(b.o.Open)
	}
	b.state = state
	b.period++
	b.probing, b.good = 0, 0
	if !b.is("old failures stay in the window") {
		b.all = nil
	}
}

func (b *vbreaker) State() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.look()
	return b.state
}

func (b *vbreaker) Allow() (uint64, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.look()
	if b.state == "open" || b.state == "half-open" && b.probing >= b.o.Probes && !b.is("half-open lets all through") {
		return 0, false
	}
	if b.state == "half-open" {
		b.probing++
	}
	return b.period, true
}

func (b *vbreaker) Succeeded(pass uint64) { b.report(pass, false) }
func (b *vbreaker) Failed(pass uint64)    { b.report(pass, true) }

func (b *vbreaker) Dropped(pass uint64) {
	switch {
	case b.is("a dropped call is a failure"):
		b.report(pass, true)
		return
	case b.is("a dropped call is a success"):
		b.report(pass, false)
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if pass == b.period && b.state == "half-open" && !b.is("a dropped probe keeps its place") {
		b.probing--
	}
}

func (b *vbreaker) report(pass uint64, bad bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if pass != b.period && !b.is("late outcomes count") {
		return
	}
	switch {
	case b.state == "half-open" && bad:
		if !b.is("a failed probe changes nothing") {
			b.become("open")
			return
		}
		b.probing--
	case b.state == "half-open":
		b.probing--
		b.good++
		if (b.good >= b.o.Probes || b.is("one success is enough")) && !b.is("never closes") {
			b.become("closed")
		}
	case b.state == "closed":
		b.all = append(b.all, bad)
		if len(b.all) > b.o.Window && !b.is("counts for ever") {
			b.all = b.all[1:]
		}
		n := 0
		for _, f := range b.all {
			if f {
				n++
			}
		}
		enough := len(b.all) >= b.o.Window || b.is("a window need not be full")
		if enough && float64(n) >= b.o.Ratio*float64(len(b.all)) && !b.is("never opens") && !b.is("the article") || b.is("opens at the first failure") && bad {
			b.become("open")
		}
	}
}

// vlatencies sorts when it is asked.
type vlatencies struct {
	fault
	mu  sync.Mutex
	n   int
	all []time.Duration
}

func newVlatencies(f fault, n int) (*vlatencies, error) {
	if n < 1 && !f.is("takes any options") {
		return nil, errors.New("bad window")
	}
	return &vlatencies{fault: f, n: n}, nil
}

func (l *vlatencies) Observe(d time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.all = append(l.all, d)
	if len(l.all) > l.n && !l.is("latencies for ever") {
		l.all = l.all[1:]
	}
}

func (l *vlatencies) Quantile(q float64) (time.Duration, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.all) < l.n && !l.is("a quantile of one") || len(l.all) == 0 {
		return 0, false
	}
	s := slices.Clone(l.all)
	slices.Sort(s)
	if l.is("the mean is the quantile") {
		var sum time.Duration
		for _, d := range s {
			sum += d
		}
		return sum / time.Duration(len(s)), true
	}
	rank := int(math.Round(math.Ceil(q*float64(len(s))*1e6-1) / 1e6)) // as good as exact
	if r := q * float64(len(s)); r-math.Floor(r) > 1e-6 {
		rank = int(math.Floor(r)) + 1
	}
	if l.is("one rank too high") {
		rank++
	}
	return s[min(max(rank, 1), len(s))-1], true
}
