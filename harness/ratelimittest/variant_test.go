package ratelimittest

import (
	"context"
	"errors"
	"math"
	"slices"
	"sync"
	"time"
)

// fault is one way in which a variant is wrong. It is a word for the reader;
// the code says what each does.
type fault string

var (
	errCount   = errors.New("bad count")
	errTooLong = errors.New("too long")
	errBad     = errors.New("bad options")
)

const month = 720 * time.Hour

// A variant is right in another style than the solution: buckets that leak, with
// a level and the time when it was right; one lock for each limiter; a list of
// those who wait, each with a timer of its own. With a fault it is a mutant.
func variantLab(f fault) lab {
	return lab{Count: errCount, TooLong: errTooLong, BucketSize: 16,
		Bucket: func(rate float64, burst int) (Take, error) {
			b, err := newVBucket(rate, burst, f)
			var mu sync.Mutex
			return func(now time.Duration, n int) bool {
				mu.Lock()
				defer mu.Unlock()
				return b.take(now, n)
			}, err
		},
		New:         func(o Options) (Limiter, error) { return newVLimiter(o, f) },
		Keyed:       func(o KeyedOptions) (Keyed, error) { return newVKeyed(o, f) },
		Adaptive:    func(o AdaptiveOptions) (Adaptive, error) { return newVAdaptive(o, f) },
		Concurrency: func(o ConcurrencyOptions) (Concurrency, error) { return newVConcurrency(o, f) },
		Middleware:  vMiddleware(f),
	}
}

// vbucket leaks: level is what was taken and has not flowed in again, at the
// time last, in sixteenths of a nanosecond.
type vbucket struct {
	fault       fault
	burst       int
	cost, depth int64 // of a token, of a burst
	level       int64
	last        time.Duration
}

func newVBucket(rate float64, burst int, f fault) (*vbucket, error) {
	bad := !(rate > 0 && rate <= 1e7 && burst >= 1 && float64(burst)/rate <= month.Seconds())
	switch {
	case f == "takes any options", f == "SetLimit takes any limit, in a change", f == "NewKeyed takes any limit, for a key":
		bad = false
	case f == "not a number is a rate":
		bad = rate <= 0 || rate > 1e7 || burst < 1 || float64(burst)/rate > month.Seconds()
	case f == "a bucket that takes a year to fill":
		bad = !(rate > 0 && rate <= 1e7 && burst >= 1)
	}
	if bad {
		return nil, errBad
	}
	b := &vbucket{fault: f, burst: burst, cost: int64(math.Round(16e9 / rate))}
	switch f {
	case "a token in whole nanoseconds":
		b.cost = int64(1e9/rate) * 16
	case "a token in rounded nanoseconds":
		b.cost = int64(math.Round(1e9/rate)) * 16
	case "a token is rounded down":
		b.cost = int64(16e9 / rate)
	case "a nanosecond early":
		b.cost -= 16
	}
	b.depth = b.cost * int64(burst)
	if f == "begins empty" {
		b.level = b.depth
	}
	return b, nil
}

func (b *vbucket) is(f fault) bool { return b.fault == f }

// leak brings the level up to now.
func (b *vbucket) leak(now time.Duration) {
	passed := int64(now-b.last) * 16
	switch {
	case passed < 0 && b.is("a clock that goes back fills it"):
		passed = -passed
	case passed < 0 && b.is("a clock that goes back is believed"):
		b.last = now
		return
	case passed < 0 && b.is("a clock that goes back costs tokens"):
		b.level -= passed
		return
	case passed < 0:
		return
	case b.is("whole milliseconds"):
		now = now.Truncate(time.Millisecond)
		passed = int64(now-b.last) * 16
	case b.is("a fixed window"):
		if passed >= b.depth {
			b.level, b.last = 0, now
		}
		return
	}
	b.last = now
	b.level -= passed
	if !b.is("idle time is saved up") {
		b.level = max(0, b.level)
	}
}

func (b *vbucket) take(now time.Duration, n int) bool {
	if !b.fits(n) {
		return false
	}
	b.leak(now)
	if b.level+int64(n)*b.cost > b.depth {
		if b.is("a refusal costs a token") {
			b.level += b.cost
		}
		if b.is("a refusal begins the wait anew") {
			b.level = b.depth
		}
		return false
	}
	b.level += int64(n) * b.cost
	return true
}

func (b *vbucket) fits(n int) bool {
	switch {
	case b.is("nothing may be asked for"):
		return n >= 0 && n <= b.burst
	case b.is("a negative count gives back"):
		return n != 0 && n <= b.burst
	case b.is("more than the burst may be asked for"):
		return n >= 1
	}
	return n >= 1 && n <= b.burst
}

func (b *vbucket) tokens() float64 { return float64(b.depth-b.level) / float64(b.cost) }

// due is when a claim may go that brought the level to what end says: an instant
// in sixteenths.
func (b *vbucket) due(end int64) time.Duration {
	if b.is("a delay is rounded down") {
		return time.Duration((end - b.depth) / 16)
	}
	return time.Duration((end - b.depth + 15) / 16)
}

// vclaim is one who waits or has reserved.
type vclaim struct {
	n        int
	end      int64 // when the bucket is full again, up to this claim
	reserved bool
	moved    chan struct{} // of capacity 1: look at end again
}

type vlimiter struct {
	fault fault
	now   func() time.Duration

	mu     sync.Mutex // guards the following
	b      *vbucket
	claims []*vclaim // in the order of coming
	waited []*vclaim // for a fault
	epoch  int       // changes of the limit
}

func vclock(now func() time.Duration) func() time.Duration {
	if now != nil {
		return now
	}
	began := time.Now()
	return func() time.Duration { return time.Since(began) }
}

func newVLimiter(o Options, f fault) (*vlimiter, error) {
	b, err := newVBucket(o.Rate, o.Burst, f)
	if err != nil {
		return nil, err
	}
	return &vlimiter{fault: f, now: vclock(o.Now), b: b}, nil
}

func (v *vlimiter) is(f fault) bool { return v.fault == f }

func (v *vlimiter) Allow() bool { return v.AllowN(1) }

func (v *vlimiter) AllowN(n int) bool {
	if v.is("who meets another is refused") {
		if !v.mu.TryLock() {
			return false
		}
		defer v.mu.Unlock()
		return v.b.take(v.now(), n)
	}
	if v.is("no lock") {
		return v.b.take(v.now(), n)
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.b.take(v.now(), n)
}

func (v *vlimiter) Tokens() float64 {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.b.leak(v.now())
	if v.is("debts are not told") {
		return max(0, v.b.tokens())
	}
	if v.is("whole tokens are told") {
		return math.Floor(v.b.tokens())
	}
	if v.is("Tokens takes one") {
		defer v.b.take(v.now(), 1)
	}
	return v.b.tokens()
}

func (v *vlimiter) Delay(n int) time.Duration {
	v.mu.Lock()
	defer v.mu.Unlock()
	if !v.b.fits(n) {
		if v.is("an impossible count has no delay") {
			return 0
		}
		return month
	}
	now := v.now()
	v.b.leak(now)
	end := int64(now)*16 + v.b.level + int64(n)*v.b.cost
	if v.is("Delay takes them") {
		v.b.level += int64(n) * v.b.cost
	}
	return max(0, v.b.due(end)-now)
}

// claim takes n tokens that come in longest or earlier, and puts a claim into
// the line if they are not there yet.
func (v *vlimiter) claim(n int, longest time.Duration, reserved bool) (c *vclaim, delay time.Duration, err error) {
	if !v.b.fits(n) && !(v.is("Wait takes any count") && !reserved) && !(v.is("Reserve takes any count") && reserved) {
		return nil, 0, errCount
	}
	now := v.now()
	v.b.leak(now)
	cost := int64(n) * v.b.cost
	end := int64(now)*16 + v.b.level + cost
	delay = max(0, v.b.due(end)-now)
	if delay > longest {
		if v.is("what is refused is taken") {
			v.b.level += cost
		}
		return nil, 0, errTooLong
	}
	if !(reserved && v.is("Reserve looks only")) {
		v.b.level += cost
	}
	if delay == 0 {
		return nil, 0, nil
	}
	if !v.is("remembers what was reserved") {
		v.claims = slices.DeleteFunc(v.claims, func(o *vclaim) bool { return o.reserved && v.b.due(o.end) <= now })
	}
	c = &vclaim{n: n, end: end, reserved: reserved, moved: make(chan struct{}, 1)}
	if len(v.claims) > 0 && v.is("the last in the line goes first") {
		c.end, v.claims[0].end = v.claims[0].end, c.end
		v.claims[0].retime()
	}
	v.claims = append(v.claims, c)
	return c, delay, nil
}

// retime has the waiter look at its end again.
func (c *vclaim) retime() {
	select {
	case c.moved <- struct{}{}:
	default:
	}
}

func (v *vlimiter) Wait(ctx context.Context, n int) error {
	if err := ctx.Err(); err != nil && !v.is("an ended context is not looked at") {
		return err
	}
	if v.is("takes when it wakes up") {
		return v.takeLate(ctx, n)
	}
	longest := month
	if deadline, ok := ctx.Deadline(); ok && !v.is("a deadline is not looked at") {
		longest = min(longest, time.Until(deadline))
	}
	v.mu.Lock()
	c, delay, err := v.claim(n, longest, false)
	v.mu.Unlock()
	if c == nil {
		return err
	}
	done := ctx.Done()
	if v.is("a context cannot end a wait") {
		done = nil
	}
	for {
		switch {
		case v.is("polls"):
			delay = min(delay, time.Millisecond)
		case v.is("sleeps whole milliseconds"):
			delay = delay.Truncate(time.Millisecond) + time.Millisecond
		case v.is("sleeps a little longer"):
			delay += delay / 100
		}
		timer := time.NewTimer(delay)
		select {
		case <-timer.C:
		case <-c.moved:
		case <-done:
			timer.Stop()
			return v.leave(ctx, c)
		}
		timer.Stop()
		v.mu.Lock()
		delay = v.b.due(c.end) - v.now()
		if delay <= 0 && v.is("remembers who has waited") {
			v.waited = append(v.waited, c)
		}
		if delay <= 0 {
			v.drop(c)
			v.mu.Unlock()
			return nil
		}
		v.mu.Unlock()
	}
}

// takeLate is a fault: it sleeps first and takes then, if nobody was quicker.
func (v *vlimiter) takeLate(ctx context.Context, n int) error {
	for {
		if v.AllowN(n) {
			return nil
		}
		if d := v.Delay(n); d == month {
			return errCount
		}
		select {
		case <-time.After(v.Delay(n)):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (v *vlimiter) drop(c *vclaim) int {
	i := slices.Index(v.claims, c)
	v.claims = slices.Delete(v.claims, i, i+1)
	return i
}

// leave takes c out of the line, unless its time has come.
func (v *vlimiter) leave(ctx context.Context, c *vclaim) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	now := v.now()
	v.b.leak(now)
	place := v.drop(c)
	behind := v.claims[place:]
	promised := slices.ContainsFunc(behind, func(o *vclaim) bool { return o.reserved && v.b.due(o.end) > now })
	cost := int64(c.n) * v.b.cost
	if v.is("moves up past a promise") {
		promised = false
	}
	if v.is("who leaves in its turn loses it") && v.b.due(c.end) <= now {
		return ctx.Err()
	}
	switch {
	case promised, v.is("who leaves gives nothing back"), v.is("room is made at the end only") && len(behind) > 0:
		return ctx.Err()
	case v.is("who leaves gives back twice"):
		v.b.level -= cost
	}
	v.b.level = max(0, v.b.level-cost)
	if v.is("those behind stay where they are") {
		return ctx.Err()
	}
	for _, o := range behind {
		o.end -= cost
		o.retime()
	}
	return ctx.Err()
}

func (v *vlimiter) Reserve(n int) (time.Duration, func(), error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	longest := month
	if v.is("reserves any time ahead") {
		longest = math.MaxInt64
	}
	c, delay, err := v.claim(n, longest, true)
	if err != nil {
		if v.is("a refusal has no cancel") {
			return 0, nil, err
		}
		return 0, func() {}, err
	}
	if c == nil {
		if !v.is("what was used is given back") {
			return 0, func() {}, nil
		}
		c = &vclaim{n: n, end: int64(v.now())*16 + v.b.level}
	}
	epoch, done := v.epoch, false
	return delay, func() {
		v.mu.Lock()
		defer v.mu.Unlock()
		now := v.now()
		v.b.leak(now)
		used := v.b.due(c.end) <= now && !v.is("what was used is given back")
		if done && !v.is("cancel works twice") || v.epoch != epoch && !v.is("cancel works after a change") || used {
			return
		}
		done = true
		if last := int64(now)*16+v.b.level == c.end; last || v.is("cancel gives back from the middle") || v.is("cancel works twice") || v.is("what was used is given back") {
			v.b.level = max(0, v.b.level-int64(n)*v.b.cost)
			v.claims = slices.DeleteFunc(v.claims, func(o *vclaim) bool { return o == c })
		}
	}, nil
}

func (v *vlimiter) SetLimit(rate float64, burst int) error {
	f := v.fault
	if v.is("SetLimit takes any limit") {
		f += ", in a change"
	}
	next, err := newVBucket(rate, burst, f)
	if err != nil {
		return err
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	now := v.now()
	if !v.is("a change counts from the last look") {
		v.b.leak(now)
	}
	old := *v.b
	if v.is("the burst stays") {
		next.burst, next.depth = old.burst, next.cost*int64(old.burst)
	}
	tokens := old.tokens()
	next.last = old.last
	switch {
	case v.is("a change lets others in between"):
		v.mu.Unlock()
		time.Sleep(time.Microsecond)
		v.mu.Lock()
	case v.is("a smaller burst takes more"):
		tokens -= float64(max(0, old.burst-burst))
	case v.is("a change forgets what is reserved"):
		tokens = max(0, tokens)
	case v.is("a larger burst comes full"):
		tokens += float64(max(0, burst-old.burst))
	case v.is("a change fills it"):
		tokens = float64(burst)
	case v.is("a change empties it"):
		tokens = 0
	}
	tokens = min(tokens, float64(burst))
	convert := func(tokens float64) int64 {
		if v.is("a change rounds down") {
			return int64((float64(burst) - tokens) * float64(next.cost))
		}
		return int64(math.Ceil((float64(burst) - tokens) * float64(next.cost)))
	}
	next.level = convert(tokens)
	v.b = next
	v.epoch++
	if v.is("a change does not reach who waits") {
		return nil
	}
	for _, c := range v.claims {
		owed := float64(old.depth-(c.end-int64(now)*16)) / float64(old.cost)
		c.end = int64(now)*16 + convert(owed)
		c.retime()
	}
	return nil
}
