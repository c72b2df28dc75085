package blocking

import (
	"testing"

	"github.com/asynclab/asynclab/harness/blockingtest"
)

func newServer(o blockingtest.Options) (*Server, error) { return New(Options(o)) }

func Test(t *testing.T)      { blockingtest.Test(t, newServer) }
func Benchmark(b *testing.B) { blockingtest.Benchmark(b, newServer) }
