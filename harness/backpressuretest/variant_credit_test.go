package backpressuretest

import (
	"context"
	"errors"
	"slices"
	"sync"
)

const most = 1<<31 - 1

// variantCredit is a right credit in another style: a condition that all who
// wait look at, and tickets for their order.
type variantCredit struct {
	fault fault

	mu     sync.Mutex // guards the following
	cond   *sync.Cond
	left   int
	line   []*int // whoever waits, the first one first
	closed bool
}

func newVariantCredit(n int, f fault) (Credit, error) {
	if n == 0 && f == "credit 0 is refused" {
		return nil, errors.New("no credit")
	}
	if (n < 0 || n > most) && f != "credit checks nothing" {
		return nil, errors.New("bad credit")
	}
	c := &variantCredit{fault: f, left: n}
	c.cond = sync.NewCond(&c.mu)
	return c, nil
}

func (c *variantCredit) is(f fault) bool { return c.fault == f }

func (c *variantCredit) Acquire(ctx context.Context, n int) error {
	if (n < 1 || n > most) && !c.is("credit checks nothing") {
		return errors.New("bad n")
	}
	if !c.is("credit cannot be given up") {
		defer context.AfterFunc(ctx, func() {
			c.mu.Lock()
			defer c.mu.Unlock()
			c.cond.Broadcast()
		})()
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	ticket := &n
	if c.is("a small acquire passes a large one") {
		for !c.closed && n > c.left && ctx.Err() == nil {
			c.cond.Wait()
		}
		if c.closed || n > c.left {
			return c.why(ctx)
		}
		c.left -= n
		return nil
	}
	c.line = append(c.line, ticket)
	if c.is("takes what is there") {
		n -= min(n, c.left)
		c.left = max(0, c.left-*ticket)
	}
	for {
		first := c.line[0] == ticket
		switch {
		case c.closed && !c.is("Close leaves who wants credit"), first && n <= c.left, ctx.Err() != nil && !c.is("credit cannot be given up"):
			granted := !c.closed && first && n <= c.left
			if granted || !c.is("who gives up credit stays in the line") {
				c.line = slices.DeleteFunc(c.line, func(t *int) bool { return t == ticket })
			}
			c.cond.Broadcast()
			if granted && ctx.Err() != nil && c.is("credit that came is lost") {
				c.left -= n
				return ctx.Err()
			}
			if !granted {
				if c.is("giving up costs credit") && !c.closed {
					c.left = max(0, c.left-n)
				}
				return c.why(ctx)
			}
			if !c.is("credit is spent twice") {
				c.left -= n
			}
			return nil
		}
		c.cond.Wait()
	}
}

func (c *variantCredit) why(ctx context.Context) error {
	if c.closed {
		return errClosed
	}
	return ctx.Err()
}

func (c *variantCredit) TryAcquire(n int) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if n < 1 || c.closed || n > c.left || len(c.line) > 0 && !c.is("TryAcquire passes who waits") {
		return false
	}
	c.left -= n
	return true
}

func (c *variantCredit) Grant(n int) error {
	if n < 1 && !c.is("credit checks nothing") {
		return errors.New("bad grant")
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.closed && c.is("a grant after Close is an error"):
		return errClosed
	case c.closed && c.is("a grant after Close counts"):
		c.left += n
		return nil
	case c.closed:
		return nil
	case n > most-c.left && c.is("an overflow is cut off"):
		c.left = most
		return nil
	case n > most-c.left && c.is("an overflow is added all the same"):
		c.left += n
		return errOverflow
	case n > most-c.left && c.is("credit wraps around"):
		c.left = int(int32(c.left + n))
		return nil
	case n > most-c.left:
		return errOverflow
	}
	c.left += n
	if c.is("a grant wakes one") {
		c.cond.Signal()
		return nil
	}
	c.cond.Broadcast()
	return nil
}

func (c *variantCredit) Available() int {
	if !c.is("Available has no lock") {
		c.mu.Lock()
		defer c.mu.Unlock()
	}
	return c.left
}

func (c *variantCredit) Close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed = true
	c.cond.Broadcast()
}

// variantWindow is a right window in another style: totals that only grow.
type variantWindow struct {
	fault fault
	limit int

	mu                         sync.Mutex // guards the following
	granted, arrived, consumed int        // totals since the beginning
	told                       int        // of consumed, what was granted again
}

func newVariantWindow(limit int, f fault) (Window, error) {
	if (limit < 1 || limit > most) && f != "a window checks nothing" {
		return nil, errors.New("bad limit")
	}
	return &variantWindow{fault: f, limit: limit, granted: limit}, nil
}

func (w *variantWindow) is(f fault) bool { return w.fault == f }

func (w *variantWindow) Arrive(n int) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if n < 1 && !w.is("a window checks nothing") {
		return errors.New("bad arrival")
	}
	sum := w.arrived+n > w.granted && w.is("an overrun overflows")
	if n > w.granted-w.arrived && !w.is("an overrun overflows") || sum {
		switch {
		case w.is("an overrun is kept"):
			w.arrived += n
			return errOverrun
		case !w.is("an overrun is not seen"):
			return errOverrun
		}
	}
	w.arrived += n
	return nil
}

func (w *variantWindow) Consume(n int) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if n < 1 && !w.is("a window checks nothing") {
		return 0, errors.New("bad consumption")
	}
	if n > w.arrived-w.consumed && !w.is("consumes what is not there") {
		return 0, errOverrun
	}
	w.consumed += n
	grant := w.consumed - w.told
	least := (w.limit + 1) / 2
	switch {
	case w.is("grants each message"):
		least = 1
	case w.is("grants when all is consumed"):
		least = w.limit
	case w.is("grants half, rounded down"):
		least = max(1, w.limit/2)
	case w.is("grants above half"):
		least = w.limit/2 + 1
	case w.is("never grants again"):
		least = most
	}
	if grant < least {
		return 0, nil
	}
	if w.is("grants one half only") {
		grant = least
	}
	if w.is("grants the limit each time") {
		w.told = w.consumed
		w.granted += w.limit
		return w.limit, nil
	}
	w.told += grant
	if w.is("grants and forgets") {
		return grant, nil
	}
	w.granted += grant
	return grant, nil
}

func (w *variantWindow) Queued() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.arrived - w.consumed
}

func (w *variantWindow) Granted() int {
	if !w.is("Granted has no lock") {
		w.mu.Lock()
		defer w.mu.Unlock()
	}
	return w.granted - w.arrived
}
