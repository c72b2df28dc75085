// Package retrytest judges lab 13: a client that tries again, and the server that
// makes it safe.
//
// contract.go says what both must do, wire.go how they speak, the files of rules
// what is checked, targets.go what is measured, mutants_test.go which wrong ones
// must be refused. Clients are judged by a server that the judge plays, over
// net.Pipe, in a bubble where time is exact; servers over real sockets.
package retrytest

import (
	"context"
	"net"
	"time"
)

// Dial opens a connection to an endpoint.
type Dial = func(ctx context.Context) (net.Conn, error)

// Backoff is the wait before a retry: uniform between 0 and Base times 2^n, or
// Cap if that is less.
type Backoff interface{ Delay(n int) time.Duration }

// Budget bounds retries: over any time at most the reserve and a fraction of the
// first attempts.
type Budget interface {
	Earn()
	Spend() bool
}

// BreakerOptions is the configuration of a [Breaker].
type BreakerOptions struct {
	Window int              // it judges by the last Window outcomes; 0 means 20
	Ratio  float64          // of failures among them that opens it; 0 means 0.5
	Open   time.Duration    // how long it stays open; 0 means 5 s
	Probes int              // tries at a time while half-open, and successes that close it; 0 means 1
	Now    func() time.Time // nil means time.Now
}

// Breaker keeps calls from a server that fails.
type Breaker interface {
	Allow() (pass uint64, ok bool)
	Succeeded(pass uint64)
	Failed(pass uint64)
	Dropped(pass uint64) // nobody waited for the outcome
	State() string       // "closed", "open" or "half-open"
}

// Latencies knows the quantiles of the last latencies.
type Latencies interface {
	Observe(d time.Duration)
	Quantile(q float64) (d time.Duration, ok bool) // ok when the window is full
}

// Options is the configuration of a [Client]. The lab declares the same struct;
// its test file converts one into the other, so a difference is a compile error.
type Options struct {
	Dial []Dial // a function for each endpoint

	DialTimeout time.Duration // of a dial and its handshake; 0 means 5 s
	KeepAlive   time.Duration // silent so long, the server is asked; twice so long, the connection is given up; 0 means 15 s
	MaxMessage  int           // of a frame's payload; 0 means 1 MiB
	MaxPending  int           // calls without a result; 0 means 10,000

	Timeout        time.Duration // of a call that names none; 0 means 10 s
	AttemptTimeout time.Duration // of one attempt of a call that may be repeated; 0 means as long as the call
	Attempts       int           // of a call in all, its hedge not counted; 0 means 4

	BackoffBase  time.Duration  // 0 means 50 ms
	BackoffCap   time.Duration  // 0 means 2 s
	Rand         func() float64 // uniform in [0, 1)
	RetryRatio   float64        // 0 means 0.1
	RetryReserve int            // 0 means 10

	BreakerWindow int // of each endpoint, see BreakerOptions
	BreakerRatio  float64
	BreakerOpen   time.Duration
	BreakerProbes int

	HedgeQuantile float64 // 0 means never
	HedgeWindow   int     // 0 means 100

	OnPush  func(i int, body []byte) // each push once, in order
	OnReset func(i int)              // the session was forgotten
}

// Request is one call.
type Request struct {
	Body    []byte
	Key     string        // makes it repeatable, at the endpoint it went to
	Safe    bool          // may be done twice, and hedged, anywhere
	Timeout time.Duration // 0 means the client's
}

// Stats is what a client has done and holds.
type Stats struct {
	Calls      uint64
	Sent       uint64 // call frames handed to a connection
	Retries    uint64
	Hedges     uint64
	Denied     uint64 // retries and hedges without a token
	Resent     uint64 // of Sent, those again in a resumed session
	Stray      uint64 // answers nobody waited for
	Connects   uint64
	Pending    int
	Unanswered int // attempts that the client keeps
}

// Future is the result of a call.
type Future interface {
	Wait(ctx context.Context) ([]byte, error)
	Then(post func(func()) error, done func(body []byte, err error))
	Cancel()
}

// ServerOptions is the configuration of a [Server].
type ServerOptions struct {
	Handle func(ctx context.Context, body []byte, reply func(body []byte, err error))

	MaxMessage int // 0 means 1 MiB
	MaxRunning int // 0 means 1024
	MaxWaiting int // 0 means 1024, -1 none

	Keys   int           // 0 means 100,000
	KeyAge time.Duration // 0 means 10 minutes

	Sessions       int           // without a connection; 0 means 10,000
	SessionAge     time.Duration // 0 means a minute
	SessionPushes  int           // not acknowledged; 0 means 1024
	SessionAnswers int           // 0 means 10,000

	Now func() time.Time
}

// ServerStats is what a server has done and holds.
type ServerStats struct {
	Worked     uint64
	Duplicates uint64
	Expired    uint64
	Busy       uint64
	Running    int
	Waiting    int
	Keys       int
	Sessions   int
	Connected  int
}

// Server is the other side.
type Server interface {
	Listen(addr string) (net.Addr, error)
	Run() error
	Shutdown(ctx context.Context) error
}

// Errors are a lab's own.
type Errors struct{ Timeout, Unknown, Busy, Open, Full, TooLarge, Closed error }
