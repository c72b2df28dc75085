package claims

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/asynclab/asynclab/harness/spec"
)

// spinning has one wait for a token of the article's limiter, and returns what
// share of a core that takes, in percent.
func spinning(ctx context.Context, quick bool) (Taken, error) {
	span := time.Second
	if quick {
		span = 100 * time.Millisecond
	}
	ctx, cancel := context.WithTimeout(ctx, span)
	defer cancel()
	l := limiter{rate: 10, last: time.Now()}
	before, began := cpu(), time.Now()
	for ctx.Err() == nil {
		l.wait(ctx)
	}
	took := time.Since(began)
	if err := context.Cause(ctx); !errors.Is(err, context.DeadlineExceeded) {
		return nil, err
	}
	return Taken{ownSpinning: spec.Sample{Value: 100 * float64(cpu()-before) / float64(took), Also: map[string]float64{"polls/s": float64(l.polls) / took.Seconds()}}}, nil
}

// limiter is the article's token bucket with a burst of 1, in our own code.
type limiter struct {
	mu     sync.Mutex // guards the following
	rate   float64    // tokens a second
	tokens float64
	last   time.Time
	polls  int
}

func (l *limiter) allow() (ok bool, deficit float64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	l.tokens = min(1, l.tokens+now.Sub(l.last).Seconds()*l.rate)
	l.last = now
	l.polls++
	if l.tokens < 1 {
		return false, 1 - l.tokens
	}
	l.tokens--
	return true, 0
}

// wait asks until it may go. The seconds it means to sleep become a Duration
// before they are multiplied: nothing.
func (l *limiter) wait(ctx context.Context) {
	for ctx.Err() == nil {
		ok, deficit := l.allow()
		if ok {
			return
		}
		time.Sleep(time.Duration(deficit/l.rate) * time.Second)
	}
}
