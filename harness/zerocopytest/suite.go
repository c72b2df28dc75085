package zerocopytest

import (
	"net"
	"slices"
	"testing"
	"time"

	"github.com/asynclab/asynclab/harness/spec"
)

// Subject is what a lab shows to its judge.
type Subject[S, P Server, Z Sender] struct {
	Send      Send
	New       func(Options) (S, error)
	NewProxy  func(ProxyOptions) (P, error)
	NewSender func(c *net.TCPConn, timeout time.Duration) (Z, error)
	Stats     func(Z) SenderStats

	Changed, Closed, Stalled error // the lab's ErrChanged and so on
}

// lab is a Subject without its concrete types.
type lab struct {
	Send      Send
	New       func(Options) (Server, error)
	NewProxy  func(ProxyOptions) (Server, error)
	NewSender func(c *net.TCPConn, timeout time.Duration) (counting, error)

	Changed, Closed, Stalled error
}

// counting is a Sender that has told its counts.
type counting interface {
	Sender
	Stats() SenderStats
}

var suite = spec.Suite[lab]{
	Lab:     "09",
	Probe:   probe,
	Rules:   slices.Concat(sendRules, changeRules, answerRules, refuseRules, waitRules, proxyRules, pinnedRules),
	Targets: targets,
}

// Test checks that s keeps the contract.
func Test[S, P Server, Z Sender](t *testing.T, s Subject[S, P, Z]) { suite.Test(t, widen(s)) }

// Benchmark measures the targets of the lab.
func Benchmark[S, P Server, Z Sender](b *testing.B, s Subject[S, P, Z]) {
	suite.Benchmark(b, widen(s))
}

// counted is Z with its counts in the judge's words.
type counted[Z Sender] struct {
	Sender
	own   Z
	stats func(Z) SenderStats
}

func (c counted[Z]) Stats() SenderStats { return c.stats(c.own) }

func widen[S, P Server, Z Sender](s Subject[S, P, Z]) lab {
	return lab{
		Send: s.Send, Changed: s.Changed, Closed: s.Closed, Stalled: s.Stalled,
		New:      server(s.New),
		NewProxy: server(s.NewProxy),
		NewSender: func(c *net.TCPConn, timeout time.Duration) (counting, error) {
			z, err := s.NewSender(c, timeout)
			if err != nil {
				return nil, err // not z: a nil *Sender in an interface is not nil
			}
			return counted[Z]{Sender: z, own: z, stats: s.Stats}, nil
		},
	}
}

func server[O any, S Server](new func(O) (S, error)) func(O) (Server, error) {
	return func(o O) (Server, error) {
		s, err := new(o)
		if err != nil {
			return nil, err
		}
		return s, nil
	}
}

// probe sends nothing at all, which a skeleton cannot do either.
func probe(l lab) error {
	f, err := numbered(1)
	if err != nil {
		return err
	}
	defer f.Close()
	a, b, err := connected(0)
	if err != nil {
		return err
	}
	defer a.Close()
	defer b.Close()
	_, err = l.Send(a, f, 0, 1, bySendfile)
	return err
}
