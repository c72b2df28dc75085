package retry

import (
	"context"
	"testing"
	"time"

	judge "github.com/asynclab/asynclab/harness/retrytest"
)

func Test(t *testing.T)      { judge.Test(t, mine) }
func Benchmark(b *testing.B) { judge.Benchmark(b, mine) }

var mine = judge.Subject[*Client, *Future, *Server]{Close: (*Client).Close, Push: Push, Errors: judge.Errors{Timeout: ErrTimeout, Unknown: ErrUnknown, Busy: ErrBusy, Open: ErrOpen, Full: ErrFull, TooLarge: ErrTooLarge, Closed: ErrClosed},
	Backoff:     func(base, limit time.Duration, r func() float64) judge.Backoff { return Backoff{base, limit, r} },
	Budget:      func(r float64, n int) (judge.Budget, error) { return NewBudget(r, n) },
	Breaker:     func(o judge.BreakerOptions) (judge.Breaker, error) { return NewBreaker(BreakerOptions(o)) },
	Latencies:   func(n int) (judge.Latencies, error) { return NewLatencies(n) },
	New:         func(o judge.Options) (*Client, error) { return New(Options(o)) },
	Go:          func(c *Client, r judge.Request) *Future { return c.Go(Request(r)) },
	Do:          func(x context.Context, c *Client, r judge.Request) ([]byte, error) { return c.Do(x, Request(r)) },
	Stats:       func(c *Client) judge.Stats { return judge.Stats(c.Stats()) },
	NewServer:   func(o judge.ServerOptions) (*Server, error) { return NewServer(ServerOptions(o)) },
	ServerStats: func(s *Server) judge.ServerStats { return judge.ServerStats(s.Stats()) }}
