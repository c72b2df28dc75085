package workerpool

import (
	"errors"
	"testing"

	judge "github.com/asynclab/asynclab/harness/workerpooltest"
)

func Test(t *testing.T)      { judge.Test(t, mine) }
func Benchmark(b *testing.B) { judge.Benchmark(b, mine) }

var mine = judge.Subject[*Pool, *Future]{Full: ErrFull, Stopped: ErrStopped,
	Submit: (*Pool).Submit, SubmitKeyed: (*Pool).SubmitKeyed, TrySubmit: (*Pool).TrySubmit, Stop: (*Pool).Stop, StopNow: (*Pool).StopNow,
	New:   func(o judge.Options) (*Pool, error) { return New(Options(o)) },
	Stats: func(p *Pool) judge.Stats { return judge.Stats(p.Stats()) },
	Panic: func(err error) (any, string, bool) {
		var p *PanicError
		if errors.As(err, &p) {
			return p.Value, p.Stack, true
		}
		return nil, "", false
	}}
