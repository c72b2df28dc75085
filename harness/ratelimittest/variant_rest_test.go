package ratelimittest

import (
	"errors"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"time"
)

// vkeyed keeps one map, and looks at all of it once in a fill time.
type vkeyed struct {
	fault fault
	o     KeyedOptions
	now   func() time.Duration

	mu    sync.Mutex // guards the following
	keys  map[uint64]*vbucket
	crowd *vbucket
	swept time.Duration
}

func newVKeyed(o KeyedOptions, f fault) (*vkeyed, error) {
	limit := f
	if f == "NewKeyed takes any limit" {
		limit += ", for a key"
	}
	crowd, err := newVBucket(o.Rate, o.Burst, limit)
	if err != nil || o.MaxKeys < 0 {
		return nil, errBad
	}
	if o.MaxKeys == 0 {
		o.MaxKeys = 1 << 20
	}
	k := &vkeyed{fault: f, o: o, now: vclock(o.Now), keys: map[uint64]*vbucket{}, crowd: crowd}
	k.swept = k.now()
	return k, nil
}

func (k *vkeyed) is(f fault) bool { return k.fault == f }

// bucket is that of key; with make it is remembered from now on.
func (k *vkeyed) bucket(key uint64, make bool) *vbucket {
	if k.is("one bucket for all") {
		return k.crowd
	}
	if b := k.keys[key]; b != nil {
		return b
	}
	if len(k.keys) >= k.o.MaxKeys {
		switch {
		case k.is("no bound on keys"):
		case k.is("another key makes room"):
			for other := range k.keys {
				delete(k.keys, other)
				break
			}
		default:
			return k.crowd
		}
	}
	b, _ := newVBucket(k.o.Rate, k.o.Burst, k.fault)
	b.last = k.now()
	if make {
		k.keys[key] = b
	}
	return b
}

// sweep forgets the keys whose buckets are full.
func (k *vkeyed) sweep() {
	now := k.now()
	fill := time.Duration(k.crowd.depth)
	if k.is("forgets late") {
		fill = fill * 5 / 2
	}
	if (now-k.swept)*16 < fill || k.is("never forgets a key") {
		return
	}
	k.swept = now
	if len(k.keys) > 0 && !k.is("a large map keeps its size") {
		defer func() {
			small := make(map[uint64]*vbucket, len(k.keys))
			maps.Copy(small, k.keys)
			k.keys = small
		}()
	}
	for key, b := range k.keys {
		b.leak(now)
		if b.level == 0 || k.is("forgets all at a time") {
			delete(k.keys, key)
		}
	}
}

func (k *vkeyed) Allow(key uint64) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.sweep()
	b := k.bucket(key, true)
	if b == k.crowd && k.is("who is too many is allowed") {
		return true
	}
	if b == k.crowd && k.is("who is too many is refused") {
		return false
	}
	return b.take(k.now(), 1)
}

func (k *vkeyed) Delay(key uint64) time.Duration {
	k.mu.Lock()
	defer k.mu.Unlock()
	b, now := k.bucket(key, k.is("a question makes a key")), k.now()
	b.leak(now)
	if k.is("Delay knows no crowd") && b == k.crowd {
		return 0
	}
	if k.is("Delay knows no key") {
		return 0
	}
	return max(0, b.due(int64(now)*16+b.level+b.cost)-now)
}

func (k *vkeyed) Len() int {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.sweep()
	return len(k.keys)
}

// vadaptive keeps the samples of a window and sorts them.
type vadaptive struct {
	fault fault
	o     AdaptiveOptions
	now   func() time.Duration
	lim   *vlimiter

	mu      sync.Mutex // guards the following
	rate    float64
	samples []time.Duration
	ends    time.Duration
}

func newVAdaptive(o AdaptiveOptions, f fault) (*vadaptive, error) {
	def := func(v *float64, d float64) {
		if *v == 0 {
			*v = d
		}
	}
	def(&o.Start, o.Min)
	def(&o.Quantile, 0.9)
	def(&o.Increase, o.Max/100)
	def(&o.Decrease, 0.8)
	if o.Window == 0 {
		o.Window = time.Second
	}
	if o.MinSamples == 0 {
		o.MinSamples = 20
	}
	ok := o.Min > 0 && o.Min <= o.Start && o.Start <= o.Max && o.Max <= 1e7 && o.Target > 0 && o.Quantile > 0 && o.Quantile <= 1 &&
		o.Window >= time.Millisecond && o.MinSamples > 0 && o.Increase > 0 && o.Decrease > 0 && o.Decrease < 1
	if f == "adapts with any options" {
		ok = true
	}
	if f == "adapts with what is not a number" {
		ok = !(o.Min <= 0 || o.Min > o.Start || o.Start > o.Max || o.Max > 1e7 || o.Target <= 0 || o.Quantile <= 0 || o.Quantile > 1 ||
			o.Window < time.Millisecond || o.MinSamples < 1 || o.Increase <= 0 || o.Decrease <= 0 || o.Decrease >= 1)
	}
	if _, err := newVBucket(o.Min, o.Burst, f); err != nil && f != "its floor is no rate" {
		return nil, errBad
	}
	lim, err := newVLimiter(Options{Rate: o.Start, Burst: o.Burst, Now: o.Now}, f)
	if !ok || err != nil {
		return nil, errBad
	}
	a := &vadaptive{fault: f, o: o, now: vclock(o.Now), lim: lim, rate: o.Start}
	a.ends = a.now() + o.Window
	return a, nil
}

func (a *vadaptive) is(f fault) bool { return a.fault == f }

func (a *vadaptive) Allow() bool { return a.lim.Allow() }

func (a *vadaptive) Rate() float64 {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.rate
}

func (a *vadaptive) Observe(latency time.Duration) {
	latency = min(max(0, latency), time.Hour)
	a.mu.Lock()
	defer a.mu.Unlock()
	now := a.now()
	enough := len(a.samples) >= a.o.MinSamples && !(a.is("enough is one too few") && len(a.samples) == a.o.MinSamples) || a.is("a few samples are enough") && len(a.samples) > 0
	if now >= a.ends && enough || a.is("each sample decides") && len(a.samples) > 0 {
		steps := 1
		if a.is("a decision for each window that has passed") {
			steps += int((now - a.ends) / a.o.Window)
		}
		for range steps {
			a.decide()
		}
		a.samples = nil
		a.ends = now + a.o.Window
	}
	a.samples = append(a.samples, latency)
}

func (a *vadaptive) decide() {
	slices.Sort(a.samples)
	n := len(a.samples)
	at := a.samples[min(n-1, int(a.o.Quantile*float64(n)))]
	switch {
	case a.is("the slowest decides"):
		at = a.samples[n-1]
	case a.is("the mean decides"):
		var sum time.Duration
		for _, s := range a.samples {
			sum += s / time.Duration(n)
		}
		at = sum
	case a.is("the fastest decides"):
		at = a.samples[0]
	}
	switch {
	case at > a.o.Target && a.is("down by a step"):
		a.rate -= a.o.Increase
	case at > a.o.Target:
		a.rate *= a.o.Decrease
	case a.is("up by a factor"):
		a.rate *= 1.1
	default:
		a.rate += a.o.Increase
	}
	if !a.is("no floor") {
		a.rate = max(a.o.Min, a.rate)
	}
	if !a.is("no ceiling") {
		a.rate = min(a.o.Max, a.rate)
	}
	if !a.is("the rate is not used") {
		a.lim.SetLimit(a.rate, a.o.Burst)
	}
}

// vconcurrency counts its windows, and looks for its base in every hundredth and
// the one after.
type vconcurrency struct {
	fault fault
	o     ConcurrencyOptions

	mu            sync.Mutex // guards the following
	limit, inside int
	peak, n       int
	failed        bool
	fastest, base time.Duration
	windows, full int // full: the limit, while base is measured with half of it
}

func newVConcurrency(o ConcurrencyOptions, f fault) (*vconcurrency, error) {
	for v, d := range map[*int]int{&o.Min: 1, &o.Low: 3, &o.High: 6} {
		if *v == 0 {
			*v = d
		}
	}
	if o.Start == 0 {
		o.Start = o.Min
	}
	if (o.Min < 1 || o.Min > o.Start || o.Start > o.Max || o.Low < 1 || o.Low > o.High) && f != "limits with any options" {
		return nil, errBad
	}
	return &vconcurrency{fault: f, o: o, limit: o.Start}, nil
}

func (c *vconcurrency) is(f fault) bool { return c.fault == f }

func (c *vconcurrency) Acquire() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.inside > c.limit || c.inside == c.limit && !c.is("one more gets in") {
		return false
	}
	c.inside++
	c.peak = max(c.peak, c.inside)
	return true
}

func (c *vconcurrency) Release(latency time.Duration, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.inside <= 0 && !c.is("a Release too many is taken") {
		panic("Release without Acquire")
	}
	if ok || !c.is("who failed stays in") {
		c.inside--
	}
	c.n++
	c.failed = c.failed || !ok
	if !ok && c.is("a failure is a measurement") && (c.fastest == 0 || latency < c.fastest) {
		c.fastest = max(latency, 1)
	}
	if latency < 0 && c.is("a negative latency counts") {
		c.fastest = 1
	}
	if ok && (latency > 0 || c.is("a latency of 0 counts")) && (c.fastest == 0 || latency < c.fastest) {
		c.fastest = max(latency, 1)
	}
	least := 16
	if c.is("a window of one") {
		least = 1
	}
	if c.n < max(least, c.limit) {
		return
	}
	if c.measured() {
		return
	}
	if c.base == 0 || c.fastest > 0 && c.fastest < c.base || c.is("the base is the last window's") {
		c.base = c.fastest
	}
	met := 2*c.peak >= c.limit || c.is("rises with nobody there")
	switch {
	case c.failed && c.is("failures cost nothing"):
	case c.failed && c.is("a failure halves it"):
		c.limit /= 2
	case c.failed:
		c.limit = c.limit * 3 / 4
	case c.fastest == 0:
	default:
		queue := float64(c.limit) * (1 - float64(c.base)/float64(c.fastest))
		if queue > float64(c.o.High) && !c.is("never falls") {
			c.limit--
		} else if queue < float64(c.o.Low) && met || c.is("never falls") && met {
			c.limit++
		}
	}
	switch {
	case c.is("no highest limit"):
		c.limit = max(c.o.Min, c.limit)
	case c.is("no lowest limit"):
		c.limit = min(c.limit, c.o.Max)
	default:
		c.limit = min(max(c.o.Min, c.limit), c.o.Max)
	}
	if c.windows++; c.windows == 100 && !c.is("never looks for its base again") {
		c.full, c.limit = c.limit, max(c.o.Min, c.limit/2)
	}
	c.begin()
}

func (c *vconcurrency) begin() {
	peak := c.inside
	if c.is("who was here once is here for ever") {
		peak = max(peak, c.peak)
	}
	c.n, c.fastest, c.failed, c.peak = 0, 0, false, peak
}

// measured ends a window in which base is looked for, and reports whether it was
// one.
func (c *vconcurrency) measured() bool {
	if c.full == 0 {
		return false
	}
	if c.windows++; c.windows > 101 || c.failed {
		c.limit, c.full, c.windows = c.full, 0, 0
		if c.fastest > 0 && (c.fastest < c.base || !c.is("its base only falls")) {
			c.base = c.fastest
		}
		if c.failed {
			c.limit = max(c.o.Min, c.limit*3/4)
		}
	}
	c.begin()
	return true
}

func (c *vconcurrency) Limit() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.limit
}

func (c *vconcurrency) InFlight() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.inside
}

func vMiddleware(f fault) Middleware {
	return func(ask func(r *http.Request) (bool, time.Duration), next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			ok, retry := ask(r)
			if f == "asks twice" {
				ok, retry = ask(r)
			}
			if ok {
				if f == "Retry-After for those who pass" {
					w.Header().Set("Retry-After", "1")
				}
				next.ServeHTTP(w, r)
				return
			}
			seconds := max(1, int((retry+time.Second-1)/time.Second))
			switch f {
			case "Retry-After is rounded down":
				seconds = max(1, int(retry/time.Second))
			case "Retry-After may be 0":
				seconds = int((retry + time.Second - 1) / time.Second)
			case "Retry-After in milliseconds":
				seconds = int(retry / time.Millisecond)
			}
			if f != "no Retry-After" {
				w.Header().Set("Retry-After", strconv.Itoa(seconds))
			}
			if f == "answers 503" {
				http.Error(w, errors.New("busy").Error(), http.StatusServiceUnavailable)
				return
			}
			http.Error(w, "too many requests", http.StatusTooManyRequests)
			if f == "serves all the same" {
				next.ServeHTTP(w, r)
			}
		})
	}
}
