package eventloop

import (
	"testing"

	"github.com/asynclab/asynclab/harness/eventlooptest"
)

func newLoop(o eventlooptest.Options[*Conn]) (*Loop, error) { return New(Options(o)) }

func Test(t *testing.T)      { eventlooptest.Test(t, newLoop) }
func Benchmark(b *testing.B) { eventlooptest.Benchmark(b, newLoop) }
