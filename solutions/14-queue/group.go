package queue

import (
	"container/heap"
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"time"
)

// ErrStale says that the record is not the caller's any more: its time was over,
// and it was handed to somebody else, or given up.
var ErrStale = errors.New("queue: the delivery is over, and the record is somebody else's: finish faster, or raise Visibility")

// GroupOptions is the configuration of a [Group].
type GroupOptions struct {
	// Visibility is how long a consumer has for a record before that counts
	// as a failed attempt. 0 means 30 s.
	Visibility time.Duration

	// Backoff is how long a record waits after its first failed attempt, until
	// it is delivered again; twice as long after each further one, up to
	// MaxBackoff. 0 means not at all. MaxBackoff 0 means a minute.
	Backoff, MaxBackoff time.Duration

	// MaxAttempts is how often a record is delivered before it becomes a dead
	// letter. 0 means 5.
	MaxAttempts int

	// MaxInFlight bounds the records that were delivered and are not done:
	// with a consumer, or waiting for their next attempt. 0 means 1024.
	MaxInFlight int
}

// A Delivery is a record that a consumer has for a while.
type Delivery struct {
	Offset  int64
	Time    time.Time
	Key     []byte
	Value   []byte
	Attempt int // from 1 on
}

// A Group hands each record of a log to one of its consumers, until one has
// acknowledged it: at least once, by lease. Get one from [Log.Group]; it ends
// with its log. Its methods may be called from any goroutine.
type Group struct {
	// Every offset is in exactly one place:
	//   below committed, or in done     acknowledged, or a dead letter
	//   in leases                       delivered, and neither
	//   the others                      not delivered yet
	// committed is as high as it can be: it is not in done. It never falls.
	// What an Ack has returned nil for is in the group's file.

	log  *Log         // immutable, as the next four
	name string       //
	path string       // of its file
	opt  GroupOptions // without zeros
	dead *Log         //

	mu        sync.Mutex // guards the following; taken before the log's
	committed int64
	done      map[int64]bool
	leases    map[int64]*lease
	line      line     // the leases by the time at which something is due
	ready     []Record // read, and not delivered yet
	cursor    int64    // the offset to read on from
	attempts  map[int64]int
	changed   chan struct{} // closed, and made anew, when a Receive should look again
	closed    bool
	stats     GroupStats

	saver sync.Cond // of mu; see save
	file  versions
}

var groupName = regexp.MustCompile(`^[A-Za-z0-9_-][A-Za-z0-9._-]{0,99}$`)

// Group returns the group with this name, which is made, and durable, when it is
// not there yet; a new one begins with the oldest record that is kept. A second
// call with the same options returns the same group. The name has letters,
// digits, and . _ - inside.
func (l *Log) Group(name string, o GroupOptions) (*Group, error) {
	o, err := o.filled()
	if err != nil {
		return nil, err
	}
	if !groupName.MatchString(name) || strings.HasSuffix(name, unfinished) {
		return nil, fmt.Errorf("queue: %q cannot name a group: use up to 100 letters, digits, and . _ -", name)
	}
	l.grouping.Lock()
	defer l.grouping.Unlock()
	l.mu.Lock()
	g, closing := l.groups[name], l.closing
	l.mu.Unlock()
	switch {
	case closing:
		return nil, ErrClosed
	case g != nil && g.opt != o:
		return nil, fmt.Errorf("queue: group %s is open with other options: %+v", name, g.opt)
	case g != nil:
		return g, nil
	}
	if g, err = l.openGroup(name, o); err != nil {
		return nil, fmt.Errorf("open group %s: %w", name, err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.groups[name] = g // if Close has begun meanwhile, it waits for us
	return g, nil
}

func (l *Log) openGroup(name string, o GroupOptions) (*Group, error) {
	g := &Group{log: l, name: name, path: filepath.Join(l.dir, groupsDir, name), opt: o, done: map[int64]bool{},
		leases: map[int64]*lease{}, attempts: map[int64]int{}, changed: make(chan struct{})}
	g.saver.L = &g.mu
	if err := g.load(); err != nil {
		return nil, err
	}
	g.cursor = g.committed
	var err error
	g.dead, err = l.openDead(name)
	return g, err
}

func (o GroupOptions) filled() (GroupOptions, error) {
	if o.Visibility < 0 || o.Backoff < 0 || o.MaxBackoff < 0 || o.MaxAttempts < 0 || o.MaxInFlight < 0 {
		return o, fmt.Errorf("queue: a negative option in %+v: use 0 for the default", o)
	}
	o.Visibility = or(o.Visibility, 30*time.Second)
	o.MaxBackoff = or(o.MaxBackoff, time.Minute)
	o.MaxAttempts = or(o.MaxAttempts, 5)
	o.MaxInFlight = or(o.MaxInFlight, 1024)
	return o, nil
}

// Receive hands out the next record: one whose next attempt is due, or a new
// one; of those that are due at the same time, as all are after Open, the oldest.
// It waits while there is none, or MaxInFlight are out. The caller owns the
// delivery, has Visibility from now on for it, and ends it with Ack or Nack.
//
// The error is ctx's, ErrClosed, what reading has returned, or why a dead letter
// could not be put away; that one is tried again later, and Receive may be
// called again.
func (g *Group) Receive(ctx context.Context) (Delivery, error) {
	for {
		grown := g.log.growth() // before looking: what comes later closes it
		g.mu.Lock()
		d, spent, wait, err := g.next(time.Now())
		changed := g.changed
		g.mu.Unlock()
		switch {
		case err != nil:
			return Delivery{}, err
		case spent != nil:
			if err := g.bury(spent); err != nil {
				return Delivery{}, err
			}
			continue
		case d != nil:
			return *d, nil
		}
		if err := pause(ctx, wait, changed, grown); err != nil {
			return Delivery{}, err
		}
	}
}

// pause waits for one of the channels, for ctx, and for wait if it is not 0.
func pause(ctx context.Context, wait time.Duration, changed, grown <-chan struct{}) error {
	var ring <-chan time.Time
	if wait > 0 {
		timer := time.NewTimer(wait)
		defer timer.Stop()
		ring = timer.C
	}
	select {
	case <-changed:
	case <-grown:
	case <-ring:
	case <-ctx.Done():
		return ctx.Err()
	}
	return nil
}

// next finds what is to be done now: a delivery, or a record whose attempts are
// spent; or how long to wait at most, 0 for no bound. mu is held.
func (g *Group) next(now time.Time) (d *Delivery, spent *lease, wait time.Duration, err error) {
	if g.closed {
		return nil, nil, 0, ErrClosed
	}
	for {
		if len(g.line) == 0 || g.line[0].due.After(now) {
			more, err := g.fresh(now)
			if err != nil {
				return nil, nil, 0, err
			}
			if !more {
				break
			}
		}
		first := g.line[0]
		switch {
		case first.held:
			g.failed(first, first.due)
		case first.attempt >= g.opt.MaxAttempts:
			heap.Pop(&g.line)
			first.buried = true
			return nil, first, 0, nil
		default:
			return g.deliver(first, now), nil, 0, nil
		}
	}
	if len(g.line) > 0 {
		wait = g.line[0].due.Sub(now)
	}
	return nil, nil, wait, nil
}

// fresh puts the next record that was not delivered yet into line, as due. false
// says that there is none, or no room for one. mu is held: others who want the
// same file would wait for it anyway.
func (g *Group) fresh(now time.Time) (bool, error) {
	for len(g.leases) < g.opt.MaxInFlight {
		if len(g.ready) == 0 {
			records, err := g.log.Read(g.cursor, 64<<10)
			if errors.Is(err, ErrRange) && g.skip() {
				continue
			}
			if err != nil || len(records) == 0 {
				return false, err
			}
			g.ready, g.cursor = records, records[len(records)-1].Offset+1
		}
		r := g.ready[0]
		g.ready = g.ready[1:]
		if r.Offset < g.committed || g.done[r.Offset] {
			continue // before the last restart
		}
		l := &lease{record: r, attempt: g.attempts[r.Offset], due: now}
		delete(g.attempts, r.Offset)
		g.leases[r.Offset] = l
		heap.Push(&g.line, l)
		return true, nil
	}
	return false, nil
}

// skip goes on with the oldest record that is kept, where Retain has removed
// what was to be read. It reports whether that was the reason. mu is held.
func (g *Group) skip() bool {
	first, _ := g.log.Bounds()
	if first <= g.cursor {
		return false
	}
	g.stats.Skipped += uint64(first - g.cursor)
	for ; g.cursor < first; g.cursor++ {
		if g.cursor >= g.committed {
			g.done[g.cursor] = true
		}
	}
	g.advance()
	return true
}

// Dead is the log of the records whose attempts are spent, with their keys and
// values. It takes every record that the log has, however small MaxPending is now,
// keeps them for ever, and may be read like any other; it ends with its group. After a crash at the wrong moment one of them may be there twice.
func (g *Group) Dead() *Log { return g.dead }
