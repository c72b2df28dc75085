package queue

import (
	"bytes"
	"container/heap"
	"context"
	"fmt"
	"path/filepath"
	"time"
)

// A lease is a record that was delivered and is not done.
//
//	          Receive               Nack, or Visibility is over
//	new ----------------> held -----------------------------------+
//	                       ^ |                                    v
//	                       | +--- Ack ---> done       attempts left? --no--> buried ---> done
//	                       |                                    | yes
//	                       +------- Backoff is over --- waiting <+
type lease struct {
	record  Record
	attempt int       // the one that is held, or has failed
	held    bool      // by a consumer; otherwise waiting
	buried  bool      // on its way to the dead letters, and not in line
	due     time.Time // the end of Visibility, or of Backoff
	place   int       // in line
}

// line is a heap of leases: the one that is due first, of several the oldest
// record.
type line []*lease

func (h line) Len() int { return len(h) }
func (h line) Less(i, j int) bool {
	if !h[i].due.Equal(h[j].due) {
		return h[i].due.Before(h[j].due)
	}
	return h[i].record.Offset < h[j].record.Offset
}
func (h line) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].place, h[j].place = i, j
}
func (h *line) Push(x any) {
	l := x.(*lease)
	l.place = len(*h)
	*h = append(*h, l)
}
func (h *line) Pop() any {
	last := len(*h) - 1
	l := (*h)[last]
	(*h)[last] = nil
	*h = (*h)[:last]
	return l
}

// deliver makes a lease its consumer's. mu is held.
func (g *Group) deliver(l *lease, now time.Time) *Delivery {
	if l.attempt > 0 {
		g.stats.Redelivered++
	}
	g.stats.Delivered++
	l.attempt++
	l.held, l.due = true, now.Add(g.opt.Visibility)
	heap.Fix(&g.line, l.place)
	r := l.record
	// A copy: the consumer may write into it, and the record may be needed again.
	return &Delivery{r.Offset, r.Time, bytes.Clone(r.Key), bytes.Clone(r.Value), l.attempt}
}

// failed ends an attempt at the time at. mu is held.
func (g *Group) failed(l *lease, at time.Time) {
	wait := g.opt.Backoff
	for i := 1; i < l.attempt && wait < g.opt.MaxBackoff; i++ {
		wait *= 2
	}
	if l.attempt >= g.opt.MaxAttempts {
		wait = 0 // nobody will try again
	}
	l.held, l.due = false, at.Add(min(wait, g.opt.MaxBackoff))
	heap.Fix(&g.line, l.place)
	g.wake()
}

// wake has every Receive look again. mu is held.
func (g *Group) wake() {
	close(g.changed)
	g.changed = make(chan struct{})
}

// Ack says that these records are done. It returns nil when that is on the disk:
// they are never delivered again, after no crash. Several at once, and several
// Acks at the same time, cost one fsync together.
//
// It returns ErrStale when one of them is somebody else's by now, or never was
// delivered, which does not keep it from the others; nil for one that was done
// before. After another error
// a record may come again after the next Open.
func (g *Group) Ack(ds ...Delivery) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closed {
		return ErrClosed
	}
	var stale error
	for _, d := range ds {
		l, err := g.owned(d)
		if err != nil {
			stale = err
		}
		if l != nil {
			heap.Remove(&g.line, l.place)
			g.finish(l)
			g.stats.Acked++
		}
	}
	if err := g.save(); err != nil {
		return err
	}
	return stale
}

// Nack says that this attempt has failed: the record comes again after Backoff,
// or becomes a dead letter before Nack returns. It returns nil when that is on the
// disk: the attempt counts after a crash, too. It returns ErrStale when it was
// somebody else's or done already.
func (g *Group) Nack(d Delivery) error {
	g.mu.Lock()
	if g.closed {
		g.mu.Unlock()
		return ErrClosed
	}
	l, err := g.owned(d)
	if err == nil && (l == nil || !l.held) {
		err = fmt.Errorf("%w: offset %d", ErrStale, d.Offset)
	}
	if err != nil {
		g.mu.Unlock()
		return err
	}
	g.failed(l, time.Now())
	if l.attempt >= g.opt.MaxAttempts {
		heap.Remove(&g.line, l.place)
		l.buried = true
		g.mu.Unlock()
		return g.bury(l)
	}
	defer g.mu.Unlock()
	return g.save()
}

// owned is the lease of a delivery, nil when the record is done. A delivery
// whose time is over is still its consumer's until the record is delivered
// again. mu is held.
func (g *Group) owned(d Delivery) (*lease, error) {
	l := g.leases[d.Offset]
	switch {
	case d.Offset < g.committed || g.done[d.Offset]:
		return nil, nil
	case l == nil || l.buried || l.attempt != d.Attempt:
		return nil, fmt.Errorf("%w: offset %d, attempt %d", ErrStale, d.Offset, d.Attempt)
	}
	return l, nil
}

// finish makes a lease, which is not in line any more, done. mu is held.
func (g *Group) finish(l *lease) {
	if len(g.leases) >= g.opt.MaxInFlight {
		g.wake()
	}
	delete(g.leases, l.record.Offset)
	g.done[l.record.Offset] = true
	g.advance()
}

// advance raises committed as far as everything is done. mu is held.
func (g *Group) advance() {
	for g.done[g.committed] {
		delete(g.done, g.committed)
		g.committed++
	}
}

const deadDir = "dead"

// openDead opens the log of a group's dead letters. What retention the log has
// is not theirs.
func (l *Log) openDead(name string) (*Log, error) {
	dir := filepath.Join(l.dir, deadDir)
	if err := l.opt.FS.Mkdir(dir); err != nil {
		return nil, err
	}
	if err := l.opt.FS.SyncDir(l.dir); err != nil {
		return nil, err
	}
	o := l.opt
	o.RetainBytes, o.RetainAge = 0, 0
	o.MaxPending = max(o.MaxPending, perRecord+MaxRecord)
	return Open(filepath.Join(dir, name), o)
}

// bury puts a record whose attempts are spent with the dead letters, and then
// counts it as done: in this order, so that a crash in between leaves it in both
// logs and not in none.
func (g *Group) bury(l *lease) error {
	_, err := g.dead.Append(context.Background(), l.record.Key, l.record.Value)
	g.mu.Lock()
	defer g.mu.Unlock()
	l.buried = false
	if err != nil {
		l.due = time.Now().Add(g.opt.Backoff)
		heap.Push(&g.line, l)
		g.wake()
		return fmt.Errorf("put away dead letter %d of group %s: %w", l.record.Offset, g.name, err)
	}
	g.finish(l)
	g.stats.Dead++
	return g.save()
}
