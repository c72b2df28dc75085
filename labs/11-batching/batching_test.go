package batching

import (
	"net"
	"testing"

	judge "github.com/asynclab/asynclab/harness/batchingtest"
)

func Test(t *testing.T)      { judge.Test(t, mine) }
func Benchmark(b *testing.B) { judge.Benchmark(b, mine) }

var mine = judge.Subject[*Writer]{Full: ErrFull, TooLarge: ErrTooLarge, Closed: ErrClosed,
	Conn:  func(c net.Conn) judge.Sink { return Conn(c) },
	New:   func(s judge.Sink, o judge.Options) (*Writer, error) { return New(s, Options(o)) },
	Stats: func(w *Writer) judge.Stats { return judge.Stats(w.Stats()) }}
