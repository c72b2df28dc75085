package ratelimit

import (
	"testing"
	"time"
	"unsafe"

	judge "github.com/asynclab/asynclab/harness/ratelimittest"
)

func Test(t *testing.T)      { judge.Test(t, mine) }
func Benchmark(b *testing.B) { judge.Benchmark(b, mine) }

var mine = judge.Subject[*Limiter, *Keyed[uint64], *Adaptive, *Concurrency]{Count: ErrCount, TooLong: ErrTooLong,
	Bucket: func(rate float64, burst int) (judge.Take, error) {
		l, err := NewLimit(rate, burst)
		b := new(Bucket)
		return func(now time.Duration, n int) bool { return b.Take(&l, now, n) }, err
	}, BucketSize: unsafe.Sizeof(Bucket{}), Middleware: Middleware,
	New:         func(o judge.Options) (*Limiter, error) { return New(Options(o)) },
	Keyed:       func(o judge.KeyedOptions) (*Keyed[uint64], error) { return NewKeyed[uint64](KeyedOptions(o)) },
	Adaptive:    func(o judge.AdaptiveOptions) (*Adaptive, error) { return NewAdaptive(AdaptiveOptions(o)) },
	Concurrency: func(o judge.ConcurrencyOptions) (*Concurrency, error) { return NewConcurrency(ConcurrencyOptions(o)) }}
