package zerocopy

import (
	"net"
	"testing"
	"time"

	judge "github.com/asynclab/asynclab/harness/zerocopytest"
)

func Test(t *testing.T)      { judge.Test(t, mine) }
func Benchmark(b *testing.B) { judge.Benchmark(b, mine) }

var mine = judge.Subject[*Server, *Proxy, *Sender]{
	Changed: ErrChanged, Closed: ErrClosed, Stalled: ErrStalled, Send: Send,
	New:       func(o judge.Options) (*Server, error) { return New(Options(o)) },
	NewProxy:  func(o judge.ProxyOptions) (*Proxy, error) { return NewProxy(ProxyOptions(o)) },
	NewSender: func(c *net.TCPConn, timeout time.Duration) (*Sender, error) { return NewSender(c, timeout) },
	Stats:     func(s *Sender) judge.SenderStats { return judge.SenderStats(s.Stats()) }}
