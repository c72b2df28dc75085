package partition

import (
	"testing"

	judge "github.com/asynclab/asynclab/harness/partitiontest"
)

type subject = Partition[judge.Message, judge.State]

func Test(t *testing.T)      { judge.Test(t, mine) }
func Benchmark(b *testing.B) { judge.Benchmark(b, mine) }

var mine = judge.Subject[*subject]{Full: ErrFull, Closed: ErrClosed, Stats: func(p *subject) judge.Stats { return judge.Stats(p.Stats()) },
	New: func(o judge.Options) (*subject, error) { return New(Options[judge.Message, judge.State](o)) }}
