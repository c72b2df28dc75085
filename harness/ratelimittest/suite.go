package ratelimittest

import (
	"slices"
	"testing"

	"github.com/asynclab/asynclab/harness/spec"
)

// Subject is what a lab shows to its judge.
type Subject[L Limiter, K Keyed, A Adaptive, C Concurrency] struct {
	Bucket      func(rate float64, burst int) (Take, error)
	BucketSize  uintptr // of one bucket, without what buckets share
	New         func(Options) (L, error)
	Keyed       func(KeyedOptions) (K, error)
	Adaptive    func(AdaptiveOptions) (A, error)
	Concurrency func(ConcurrencyOptions) (C, error)
	Middleware  Middleware

	Count, TooLong error // the lab's ErrCount, ErrTooLong
}

// lab is a Subject without its concrete types.
type lab struct {
	Bucket         func(rate float64, burst int) (Take, error)
	BucketSize     uintptr
	New            func(Options) (Limiter, error)
	Keyed          func(KeyedOptions) (Keyed, error)
	Adaptive       func(AdaptiveOptions) (Adaptive, error)
	Concurrency    func(ConcurrencyOptions) (Concurrency, error)
	Middleware     Middleware
	Count, TooLong error
}

var suite = spec.Suite[lab]{
	Lab:     "06",
	Probe:   probe,
	Rules:   slices.Concat(bucketRules, limiterRules, changeRules, waitRules, reserveRules, keyedRules, adaptiveRules, concurrencyRules, httpRules),
	Targets: targets,
}

// Test checks that s keeps the contract.
func Test[L Limiter, K Keyed, A Adaptive, C Concurrency](t *testing.T, s Subject[L, K, A, C]) {
	suite.Test(t, widen(s))
}

// Benchmark measures the targets of the lab.
func Benchmark[L Limiter, K Keyed, A Adaptive, C Concurrency](b *testing.B, s Subject[L, K, A, C]) {
	suite.Benchmark(b, widen(s))
}

func widen[L Limiter, K Keyed, A Adaptive, C Concurrency](s Subject[L, K, A, C]) lab {
	return lab{Bucket: s.Bucket, BucketSize: s.BucketSize, Middleware: s.Middleware, Count: s.Count, TooLong: s.TooLong,
		New:         func(o Options) (Limiter, error) { return as[Limiter](s.New(o)) },
		Keyed:       func(o KeyedOptions) (Keyed, error) { return as[Keyed](s.Keyed(o)) },
		Adaptive:    func(o AdaptiveOptions) (Adaptive, error) { return as[Adaptive](s.Adaptive(o)) },
		Concurrency: func(o ConcurrencyOptions) (Concurrency, error) { return as[Concurrency](s.Concurrency(o)) },
	}
}

// as is v as an I. With an error it is nil: a nil pointer in an interface is
// not.
func as[I any](v any, err error) (wide I, _ error) {
	if err != nil {
		return wide, err
	}
	return v.(I), nil
}

func probe(l lab) error {
	_, err := l.New(Options{Rate: 1, Burst: 1})
	return err
}

// name says err in the words of the contract.
func (l lab) name(err error) string {
	switch err {
	case nil:
		return "nil"
	case l.Count:
		return "ErrCount"
	case l.TooLong:
		return "ErrTooLong"
	}
	return err.Error()
}
