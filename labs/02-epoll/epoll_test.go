package epoll

import (
	"testing"

	"github.com/asynclab/asynclab/harness/epolltest"
)

func newServer(o epolltest.Options) (*Server, error) { return New(Options(o)) }

func Test(t *testing.T)      { epolltest.Test(t, newServer) }
func Benchmark(b *testing.B) { epolltest.Benchmark(b, newServer) }
