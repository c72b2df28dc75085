package capstone

import (
	"testing"

	"github.com/asynclab/asynclab/harness/capstonetest"
)

func Test(t *testing.T)      { capstonetest.Test(t, "./cmd/asyncserver") }
func Benchmark(b *testing.B) { capstonetest.Benchmark(b, "./cmd/asyncserver") }
