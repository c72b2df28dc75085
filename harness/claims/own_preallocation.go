package claims

import (
	"context"
	"runtime"
	"time"

	"github.com/asynclab/asynclab/harness/spec"
)

// preallocation compares 10,000 results appended to nil with 10,000 appended to
// what has room for them, a thousand times in turns.
func preallocation(ctx context.Context, quick bool) (Taken, error) {
	turns := 1000
	if quick {
		turns = 50
	}
	const results, lot = 10_000, 10
	var grown, made time.Duration
	for range turns / lot {
		grown += fill(lot, results, func() []int { return nil })
		made += fill(lot, results, func() []int { return make([]int, 0, results) })
		if err := ctx.Err(); err != nil {
			return nil, err
		}
	}
	per := func(d time.Duration) float64 { return float64(d) / float64(turns) }
	return Taken{ownPrealloc: spec.Sample{Value: per(grown) / per(made), Also: map[string]float64{"append ns": per(grown), "make ns": per(made)}}}, nil
}

func fill(lot, results int, begin func() []int) time.Duration {
	before := cpu()
	for range lot {
		s := begin()
		for i := range results {
			s = append(s, i*i)
		}
		runtime.KeepAlive(s) // or the allocation would be left out
	}
	return cpu() - before
}
