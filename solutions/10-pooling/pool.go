// Package pooling lends buffers and takes them back.
//
// A server that makes a buffer for each message has the garbage collector work
// at the rate of the messages. A [Pool] keeps buffers that came back, by size,
// up to a bound, and lends them again. A [Buffer] can have several owners, so
// that one copy of a message serves everybody it is broadcast to; the last one
// to let go gives it back. In debug mode a pool finds those who give back twice,
// use what they have given back, or forget to.
package pooling

import (
	"fmt"
	"sync/atomic"
)

// Options is the configuration of a [Pool].
type Options struct {
	// MaxIdle bounds the bytes that wait in the pool to be lent again, all
	// sizes together. 0 means 64 MiB. New refuses a negative value.
	MaxIdle int

	// Debug has the pool look for mistakes of its users. Then no buffer is
	// lent twice, Get and the last Release take a stack each, and a buffer that
	// was given back is filled with [Poison].
	Debug bool

	// OnFault is told what Debug has found, on the goroutine that made the
	// mistake or, for a buffer that was written to after it was given back, on
	// that of Check, or of the Release after which Check would not look at it
	// any more. It may use the pool. nil means that each is a panic.
	OnFault func(f Fault)
}

// A Pool lends buffers. Make one with [New]. Any goroutine may call its methods.
type Pool struct {
	// Between calls: idle is the sum of the sizes of all buffers in classes,
	// and at most MaxIdle.

	opt     Options // immutable
	classes [classes]class
	idle    atomic.Int64 // bytes; taken before a buffer is stored, given back after it was taken

	counts counts
	debug  *watch // nil without Debug
}

// New returns an empty pool. It refuses a negative MaxIdle.
func New(o Options) (*Pool, error) {
	if o.MaxIdle < 0 {
		return nil, fmt.Errorf("pooling: MaxIdle %d: use 0 for the default", o.MaxIdle)
	}
	if o.MaxIdle == 0 {
		o.MaxIdle = 64 << 20
	}
	p := &Pool{opt: o}
	if o.Debug {
		p.debug = newWatch(o.OnFault)
	}
	return p, nil
}

// Get lends a buffer with n bytes, whose content is whatever was there before.
// The caller is its owner, until it calls Release once. A negative n panics.
//
// From the second lending of a buffer on it allocates nothing. Above [MaxSize]
// the pool makes a buffer of exactly n bytes, and will not keep it.
func (p *Pool) Get(n int) *Buffer {
	if n < 0 {
		panic(fmt.Sprintf("pooling: Get(%d): give 0 or more", n))
	}
	b := p.find(n)
	b.n = n
	b.owners.Store(1)
	if p.debug != nil {
		p.debug.lent(b)
	}
	return b
}

// find takes a buffer from its class, or makes one.
func (p *Pool) find(n int) *Buffer {
	if n > MaxSize {
		p.counts.oversize.Add(1)
		return &Buffer{pool: p, class: none, all: make([]byte, n)}
	}
	c := classOf(n)
	if b := p.classes[c].take(); b != nil {
		p.idle.Add(-int64(len(b.all)))
		return b
	}
	p.counts.misses.Add(1)
	return &Buffer{pool: p, class: c, all: make([]byte, sizeOf(c))}
}

// put stores b, if that is allowed, and otherwise leaves it to the garbage
// collector.
func (p *Pool) put(b *Buffer) {
	if p.debug != nil {
		p.debug.returned(b)
		p.counts.gone.Add(1)
		return // it is never lent again, so that a late use can be told from another's
	}
	size := int64(len(b.all))
	if b.class == none || !p.reserve(size) {
		p.counts.gone.Add(1)
		p.counts.dropped.Add(1)
		return
	}
	p.classes[b.class].store(b)
}

// reserve takes size bytes of MaxIdle, if they are there.
func (p *Pool) reserve(size int64) bool {
	if p.idle.Add(size) <= int64(p.opt.MaxIdle) {
		return true
	}
	p.idle.Add(-size)
	return false
}

// Trim gives the garbage collector all that waits to be lent again.
func (p *Pool) Trim() {
	for c := range p.classes {
		for b := p.classes[c].take(); b != nil; b = p.classes[c].take() {
			p.idle.Add(-int64(len(b.all)))
			p.counts.dropped.Add(1)
			p.counts.trimmed.Add(1)
		}
	}
}
