package retrytest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/asynclab/asynclab/harness/spec"
)

// Subject is what a lab shows to its judge.
type Subject[C any, F Future, S Server] struct {
	Backoff   func(base, limit time.Duration, random func() float64) Backoff
	Budget    func(ratio float64, reserve int) (Budget, error)
	Breaker   func(BreakerOptions) (Breaker, error)
	Latencies func(n int) (Latencies, error)

	New   func(Options) (C, error)
	Go    func(C, Request) F
	Do    func(context.Context, C, Request) ([]byte, error)
	Stats func(C) Stats
	Close func(C) error

	NewServer   func(ServerOptions) (S, error)
	ServerStats func(S) ServerStats
	Push        func(ctx context.Context, body []byte) error
	Errors      Errors
}

// client and server are a lab's, in the judge's words.
type client interface {
	Go(Request) Future
	Do(context.Context, Request) ([]byte, error)
	Stats() Stats
	Close() error
}

type server interface {
	Server
	Stats() ServerStats
}

// lab is a Subject without its concrete types.
type lab struct {
	Backoff   func(base, limit time.Duration, random func() float64) Backoff
	Budget    func(ratio float64, reserve int) (Budget, error)
	Breaker   func(BreakerOptions) (Breaker, error)
	Latencies func(n int) (Latencies, error)
	New       func(Options) (client, error)
	NewServer func(ServerOptions) (server, error)
	Push      func(ctx context.Context, body []byte) error
	Errors    Errors
}

var suite = spec.Suite[lab]{
	Lab:     "13",
	Probe:   probe,
	Rules:   slices.Concat(backoffRules, breakerRules, callRules, retryRules, hedgeRules, sessionRules, serverRules, keyRules, peerRules, togetherRules),
	Targets: targets,
}

// Test checks that s makes clients and servers that keep the contract.
func Test[C any, F Future, S Server](t *testing.T, s Subject[C, F, S]) { suite.Test(t, widen(s)) }

// Benchmark measures the targets of the lab.
func Benchmark[C any, F Future, S Server](b *testing.B, s Subject[C, F, S]) {
	suite.Benchmark(b, widen(s))
}

type wideClient[C any, F Future, S Server] struct {
	own C
	s   *Subject[C, F, S]
}

func (w wideClient[C, F, S]) Go(r Request) Future { return w.s.Go(w.own, r) }
func (w wideClient[C, F, S]) Do(ctx context.Context, r Request) ([]byte, error) {
	return w.s.Do(ctx, w.own, r)
}
func (w wideClient[C, F, S]) Stats() Stats { return w.s.Stats(w.own) }
func (w wideClient[C, F, S]) Close() error { return w.s.Close(w.own) }

type wideServer[S Server] struct {
	Server
	stats func() ServerStats
}

func (w wideServer[S]) Stats() ServerStats { return w.stats() }

func widen[C any, F Future, S Server](s Subject[C, F, S]) lab {
	return lab{Backoff: s.Backoff, Budget: s.Budget, Breaker: s.Breaker, Latencies: s.Latencies, Push: s.Push, Errors: s.Errors,
		New: func(o Options) (client, error) {
			c, err := s.New(o)
			if err != nil {
				return nil, err
			}
			return wideClient[C, F, S]{c, &s}, nil
		},
		NewServer: func(o ServerOptions) (server, error) {
			v, err := s.NewServer(o)
			if err != nil {
				return nil, err
			}
			return wideServer[S]{v, func() ServerStats { return s.ServerStats(v) }}, nil
		}}
}

// probe asks for what step 1 builds.
func probe(l lab) error {
	_, err := l.Budget(0.1, 10)
	return err
}

// name says err in the words of the contract.
func (l lab) name(err error) string {
	for text, known := range map[string]error{"ErrTimeout": l.Errors.Timeout, "ErrUnknown": l.Errors.Unknown, "ErrBusy": l.Errors.Busy,
		"ErrOpen": l.Errors.Open, "ErrFull": l.Errors.Full, "ErrTooLarge": l.Errors.TooLarge, "ErrClosed": l.Errors.Closed, "context.Canceled": context.Canceled} {
		if errors.Is(err, known) {
			return text
		}
	}
	if err == nil {
		return "nil"
	}
	if r := remote(nil); errors.As(err, &r) {
		return "RemoteError " + r.Remote()
	}
	return err.Error()
}

// remote is an error of the server's handler: a RemoteError.
type remote interface{ Remote() string }

func constant(f float64) func() float64 { return func() float64 { return f } }

// must compares a small thing.
func must[T comparable](what string, want, got T) error {
	if want != got {
		return spec.Fail(fmt.Sprintf("%s to be %v", what, want), "it is %v", got)
	}
	return nil
}
