package pooling

import (
	"testing"

	judge "github.com/asynclab/asynclab/harness/poolingtest"
)

func Test(t *testing.T)      { judge.Test(t, mine) }
func Benchmark(b *testing.B) { judge.Benchmark(b, mine) }

var mine = judge.Subject[*Pool, *Buffer, FaultKind]{Get: (*Pool).Get, Trim: (*Pool).Trim, Check: (*Pool).Check,
	New: func(o judge.Options, onFault func(FaultKind, string, string)) (*Pool, error) {
		parts := func(f Fault) (FaultKind, string, string) { return f.Kind, f.Taken, f.Returned }
		return New(Options{MaxIdle: o.MaxIdle, Debug: o.Debug, OnFault: judge.Tell(onFault, parts)})
	},
	Leaks: func(p *Pool) (all []judge.Fault) {
		for _, f := range p.Leaks() {
			all = append(all, judge.Fault{Kind: int(f.Kind), Taken: f.Taken, Returned: f.Returned})
		}
		return all
	},
	Stats: func(p *Pool) judge.Stats { return judge.Stats(p.Stats()) }, Squares: Squares, Join: Join, AppendFrame: AppendFrame,
	ParseHeader: func(b []byte) (byte, uint32, bool) { h, ok := ParseHeader(b); return h.Kind, h.Size, ok }}
