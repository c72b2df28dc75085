package reactor

import (
	"testing"

	"github.com/asynclab/asynclab/harness/reactortest"
)

func newReactor(o reactortest.Options[*Conn]) (*Reactor, error) { return New(Options(o)) }

func Test(t *testing.T)      { reactortest.Test(t, newReactor, NewWheel) }
func Benchmark(b *testing.B) { reactortest.Benchmark(b, newReactor, NewWheel) }
