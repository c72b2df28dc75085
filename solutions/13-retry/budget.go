package retry

import (
	"fmt"
	"math"
	"sync/atomic"
)

// Budget bounds retries by what was asked in the first place. Each first attempt
// earns a fraction of a token, each retry or hedge spends a whole one. So over
// any time
//
//	retries <= reserve + ratio * first attempts
//
// and a server that is down sees 1 + ratio times the load, whatever each caller
// would like (Google, "Site Reliability Engineering", chapter 22; gRPC's
// proposal A6). Its methods may be called from any goroutine.
type Budget struct {
	earn   int64        // of one first attempt, in millionths of a token
	full   int64        // the reserve: it starts with that, and holds no more
	tokens atomic.Int64 // in [0, full]
}

// token is the unit of Budget's arithmetic. Integers, because a tenth has no
// float64: a million of them are not a hundred thousand.
const token = 1_000_000

// NewBudget returns a full budget. ratio is what a first attempt earns, from 0
// to 1; reserve is how many retries may come at once after a quiet time, and so
// all that a client gets that asks once an hour. It refuses anything else.
func NewBudget(ratio float64, reserve int) (*Budget, error) {
	if !(ratio >= 0 && ratio <= 1) || reserve < 0 || reserve > math.MaxInt32 {
		return nil, fmt.Errorf("retry: a budget with ratio %v and reserve %d: ratio is from 0 to 1, reserve from 0 to %d", ratio, reserve, math.MaxInt32)
	}
	b := &Budget{earn: int64(math.Round(ratio * token)), full: int64(reserve) * token}
	b.tokens.Store(b.full)
	return b, nil
}

// Earn records a first attempt.
func (b *Budget) Earn() {
	for {
		have := b.tokens.Load()
		next := min(have+b.earn, b.full)
		if next == have || b.tokens.CompareAndSwap(have, next) {
			return
		}
	}
}

// Spend reports whether there may be one more retry, and takes a token for it.
// A refusal takes nothing.
func (b *Budget) Spend() bool {
	for {
		have := b.tokens.Load()
		if have < token {
			return false
		}
		if b.tokens.CompareAndSwap(have, have-token) {
			return true
		}
	}
}
