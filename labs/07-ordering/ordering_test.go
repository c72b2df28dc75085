package ordering

import (
	"testing"

	judge "github.com/asynclab/asynclab/harness/orderingtest"
)

type subject = Buffer[judge.Message]

func Test(t *testing.T)      { judge.Test(t, mine) }
func Benchmark(b *testing.B) { judge.Benchmark(b, mine) }

var mine = judge.Subject[*subject]{Old: ErrOld, Duplicate: ErrDuplicate, Beyond: ErrBeyond, Closed: ErrClosed,
	Stats: func(b *subject) judge.Stats { return judge.Stats(b.Stats()) },
	New:   func(o judge.Options) (*subject, error) { return New(Options[judge.Message](o)) }}
