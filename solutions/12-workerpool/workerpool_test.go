package workerpool

import (
	"errors"
	"testing"

	judge "github.com/asynclab/asynclab/harness/workerpooltest"
)

func Test(t *testing.T)      { judge.Test(t, mine) }
func Benchmark(b *testing.B) { judge.Benchmark(b, mine) }

var mine = judge.Subject[*Pool, *Future]{Full: ErrFull, Stopped: ErrStopped, Stop: (*Pool).Stop, StopNow: (*Pool).StopNow,
	New:    func(o judge.Options) (*Pool, error) { return New(Options(o)) },
	Submit: func(p *Pool, ctx judge.Context, t judge.Task) (*Future, error) { return p.Submit(ctx, t) },
	SubmitKeyed: func(p *Pool, ctx judge.Context, key string, t judge.Task) (*Future, error) {
		return p.SubmitKeyed(ctx, key, t)
	},
	TrySubmit: func(p *Pool, t judge.Task) (*Future, error) { return p.TrySubmit(t) },
	Stats:     func(p *Pool) judge.Stats { return judge.Stats(p.Stats()) },
	Panic: func(err error) (any, string, bool) {
		var p *PanicError
		if !errors.As(err, &p) {
			return nil, "", false
		}
		return p.Value, p.Stack, true
	}}
