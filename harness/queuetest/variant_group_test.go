package queuetest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"
)

// vgroup is a group. It looks through its records for what is due, and polls
// nothing: a cond with a timer wakes those who wait.
type vgroup struct {
	v    *variant
	name string
	o    GroupOptions
	dead *variant

	saving sync.Mutex // one writes the file at a time; taken before mu

	mu        sync.Mutex // guards the following
	committed int64
	cursor    int64
	done      map[int64]bool
	out       map[int64]*vlease
	tries     map[int64]int
	changed   chan struct{}
	n         GroupStats
	tried     bool // an Ack was written, or should have been: of two faults
}

type vlease struct {
	r       Record
	attempt int
	held    bool
	dying   bool
	due     time.Time
}

// vstate is a group's file.
type vstate struct {
	Committed int64
	Done      []int64
	Tries     map[int64]int
}

func (v *variant) Group(name string, o GroupOptions) (group, error) {
	v.mu.Lock()
	g, closing := v.groups[name], v.closing
	v.mu.Unlock()
	if closing {
		return nil, errClosed
	}
	if (name == "" || strings.ContainsAny(name, "/\x00") || name[0] == '.') && !v.is("takes any name") {
		return nil, errors.New("variant: no name")
	}
	if min(o.Visibility, o.Backoff, o.MaxBackoff) < 0 || min(o.MaxAttempts, o.MaxInFlight) < 0 {
		return nil, errors.New("variant: negative")
	}
	if g != nil {
		return g, nil
	}
	if o.Visibility == 0 {
		o.Visibility = 30 * time.Second
	}
	if o.MaxBackoff == 0 {
		o.MaxBackoff = time.Minute
	}
	if o.MaxAttempts == 0 {
		o.MaxAttempts = 5
	}
	if o.MaxInFlight == 0 {
		o.MaxInFlight = 1024
	}
	g = &vgroup{v: v, name: name, o: o, done: map[int64]bool{}, out: map[int64]*vlease{}, tries: map[int64]int{}, changed: make(chan struct{})}
	g.committed, _ = v.Bounds()
	if v.is("a group begins at the end") {
		_, g.committed = v.Bounds()
	}
	v.mu.Lock()
	v.groups[name] = g
	if _, known := v.floors[name]; !known {
		v.floors[name] = g.committed
	}
	v.mu.Unlock()
	for _, dir := range []string{"groups", "dead"} {
		if err := v.fs.Mkdir(filepath.Join(v.dir, dir)); err != nil {
			return nil, err
		}
	}
	if err := v.fs.SyncDir(v.dir); err != nil {
		return nil, err
	}
	if err := g.load(); err != nil {
		return nil, err
	}
	g.cursor = g.committed
	do := v.o
	if !v.is("dead letters go like others") {
		do.RetainAge, do.RetainBytes = 0, 0
	}
	if !g.v.is("dead letters have the log's bound") {
		do.MaxPending = 20 << 20
	}
	var err error
	g.dead, err = newVariant(v.fault, filepath.Join(v.dir, "dead", name), do)
	return g, err
}

func (g *vgroup) Dead() judged { return g.dead }

func (g *vgroup) path() string {
	if g.v.is("groups share what is done") {
		return filepath.Join(g.v.dir, "groups", "all")
	}
	return filepath.Join(g.v.dir, "groups", g.name)
}

func (g *vgroup) load() error {
	s, err := g.v.state(g.path())
	if errors.Is(err, os.ErrNotExist) {
		return g.save()
	}
	if err != nil {
		return err
	}
	g.committed, g.tries = s.Committed, s.Tries
	if g.tries == nil {
		g.tries = map[int64]int{}
	}
	if !g.v.is("acks above what is committed are forgotten") {
		for _, o := range s.Done {
			g.done[o] = true
		}
	}
	return nil
}

// state reads a group's file: a CRC, and JSON.
func (v *variant) state(path string) (s vstate, err error) {
	f, err := v.fs.Open(path, false)
	if err != nil {
		return s, err
	}
	defer f.Close()
	n, err := f.Size()
	if err != nil {
		return s, err
	}
	p := make([]byte, n)
	f.ReadAt(p, 0)
	sum, text, _ := strings.Cut(string(p), " ")
	if sum != fmt.Sprint(crc32.ChecksumIEEE([]byte(text))) {
		return s, &vcorrupt{path, 0, "wrong CRC"}
	}
	return s, json.Unmarshal([]byte(text), &s)
}

func (v *variant) loadFloors() error {
	names, err := v.fs.List(filepath.Join(v.dir, "groups"))
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, name := range names {
		if strings.HasSuffix(name, "~") {
			continue
		}
		s, err := v.state(filepath.Join(v.dir, "groups", name))
		if err != nil {
			return err
		}
		v.floors[name] = s.Committed
	}
	if v.is("Retain believes a file that it has found") || v.is("what is found done is believed to be on the disk") {
		return nil
	}
	return v.fs.SyncDir(filepath.Join(v.dir, "groups"))
}

// save writes the file anew. Each Ack does so by itself: slow, and right.
func (g *vgroup) save() error {
	if g.v.is("what is done is in memory") {
		return nil
	}
	g.saving.Lock()
	defer g.saving.Unlock()
	g.mu.Lock()
	s := vstate{Committed: g.committed, Done: slices.Sorted(maps.Keys(g.done)), Tries: maps.Clone(g.tries)}
	for o, l := range g.out {
		s.Tries[o] = l.attempt
	}
	g.mu.Unlock()
	text, _ := json.Marshal(s)
	err := g.write(fmt.Appendf(nil, "%d %s", crc32.ChecksumIEEE(text), text))
	if err == nil {
		g.v.mu.Lock()
		g.v.floors[g.name] = s.Committed
		g.v.mu.Unlock()
	}
	if g.v.is("the error of an Ack is nobody's") {
		return nil
	}
	return err
}

func (g *vgroup) write(text []byte) error {
	fs, path := g.v.fs, g.path()
	temp := path + "~"
	if g.v.is("the group's file is written over") {
		temp = path
	}
	f, err := fs.Open(temp, true)
	if err != nil {
		return err
	}
	defer f.Close()
	if !g.v.is("writes over what a crash has left") {
		if err := f.Truncate(0); err != nil {
			return err
		}
	}
	if err := g.v.writeAll(f, text, 0); err != nil {
		return err
	}
	if !g.v.is("the group's file is not synced") {
		if err := f.Sync(); err != nil {
			return err
		}
	}
	if temp != path {
		if err := fs.Rename(temp, path); err != nil {
			return err
		}
	}
	if g.v.is("the renaming is not synced") {
		return nil
	}
	return fs.SyncDir(filepath.Dir(path))
}

// settled waits until nobody writes the file.
func (g *vgroup) settled(ctx context.Context) {
	quiet := make(chan struct{})
	go func() {
		g.saving.Lock()
		defer g.saving.Unlock()
		close(quiet)
	}()
	select {
	case <-quiet:
	case <-ctx.Done():
	}
}

// wake has every Receive look again. mu need not be held.
func (g *vgroup) wake() {
	g.mu.Lock()
	defer g.mu.Unlock()
	close(g.changed)
	g.changed = make(chan struct{})
}

func (g *vgroup) Receive(ctx context.Context) (Delivery, error) {
	for {
		g.v.mu.Lock()
		grown, closing := g.v.grown, g.v.closing
		g.v.mu.Unlock()
		if closing && !g.v.is("Close leaves those in Receive") {
			return Delivery{}, errClosed
		}
		g.mu.Lock()
		changed := g.changed
		g.mu.Unlock()
		d, dying, wait, err := g.look()
		if closing && g.v.is("Close leaves those in Receive") {
			err = nil
		}
		switch {
		case err != nil:
			return Delivery{}, err
		case dying != nil:
			if err := g.bury(dying); err != nil {
				return Delivery{}, err
			}
			continue
		case d != nil:
			return *d, nil
		}
		if g.v.is("a group does not see new records") {
			grown = nil
		}
		if g.v.is("who waits is not told of a Nack") {
			changed = nil
		}
		var ring <-chan time.Time
		if wait > 0 {
			ring = time.After(wait)
		}
		select {
		case <-grown:
		case <-changed:
		case <-ring:
		case <-ctx.Done():
			return Delivery{}, ctx.Err()
		}
	}
}

// look finds what is due, or how long that will take.
func (g *vgroup) look() (d *Delivery, dying *vlease, wait time.Duration, err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	now := time.Now()
	var earliest time.Time
	for _, o := range slices.Sorted(maps.Keys(g.out)) {
		l := g.out[o]
		if l.held && !l.due.After(now) && !g.v.is("Visibility does not end") {
			g.fail(l, l.due, true)
		}
		switch {
		case l.dying || l.held && g.v.is("Visibility does not end"):
		case !l.held && !l.due.After(now) && l.attempt >= g.o.MaxAttempts && !g.v.is("tried for ever"):
			l.dying = true
			return nil, l, 0, nil
		case !l.held && !l.due.After(now):
			return g.hand(l, now), nil, 0, nil
		case earliest.IsZero() || l.due.Before(earliest):
			earliest = l.due
		}
	}
	for g.inFlight() < g.o.MaxInFlight || g.v.is("in flight without a bound") {
		some, err := g.v.Read(g.cursor, 0)
		if isErr(err, errRange) {
			first, _ := g.v.Bounds()
			if first <= g.cursor {
				return nil, nil, 0, err
			}
			g.n.Skipped += uint64(first - g.cursor)
			g.cursor, g.committed = first, max(g.committed, first)
			continue
		}
		if err != nil {
			return nil, nil, 0, err
		}
		if len(some) == 0 {
			break
		}
		r := some[0]
		if g.v.is("two consumers get one record") {
			g.mu.Unlock()
			time.Sleep(time.Microsecond)
			g.mu.Lock()
		}
		g.cursor = r.Offset + 1
		if r.Offset < g.committed || g.done[r.Offset] {
			continue
		}
		l := &vlease{r: r, attempt: g.tries[r.Offset], due: now}
		delete(g.tries, r.Offset)
		g.out[r.Offset] = l
		if l.attempt >= g.o.MaxAttempts {
			l.dying = true
			return nil, l, 0, nil
		}
		return g.hand(l, now), nil, 0, nil
	}
	if !earliest.IsZero() {
		wait = earliest.Sub(now)
	}
	return nil, nil, wait, nil
}

// inFlight is what MaxInFlight bounds. mu is held.
func (g *vgroup) inFlight() int {
	n := len(g.out)
	if g.v.is("what waits is not in flight") {
		for _, l := range g.out {
			if !l.held {
				n--
			}
		}
	}
	return n
}

// hand makes l its consumer's. mu is held.
func (g *vgroup) hand(l *vlease, now time.Time) *Delivery {
	if l.attempt > 0 {
		g.n.Redelivered++
	}
	g.n.Delivered++
	l.attempt++
	l.held, l.due = true, now.Add(g.o.Visibility)
	if g.v.is("Visibility is over at once") {
		l.due = now
	}
	close(g.changed)
	g.changed = make(chan struct{})
	if g.v.is("a delivery is not the consumer's own") {
		return &Delivery{l.r.Offset, l.r.Time, l.r.Key, l.r.Value, l.attempt}
	}
	return &Delivery{l.r.Offset, l.r.Time, bytes.Clone(l.r.Key), bytes.Clone(l.r.Value), l.attempt}
}

// fail ends an attempt. mu is held.
func (g *vgroup) fail(l *vlease, at time.Time, timeout bool) {
	wait := g.o.Backoff
	for i := 1; i < l.attempt && wait < time.Hour; i++ {
		if wait *= 2; g.v.is("Backoff does not grow") {
			wait = g.o.Backoff
		}
	}
	if g.v.is("Backoff overflows") {
		wait = g.o.Backoff << (l.attempt - 1)
	}
	if !g.v.is("Backoff has no bound") {
		wait = min(wait, g.o.MaxBackoff)
	}
	if g.v.is("no Backoff") || timeout && g.v.is("silence has no Backoff") || l.attempt >= g.o.MaxAttempts {
		wait = 0
	}
	l.held, l.due = false, at.Add(wait)
}

func (g *vgroup) Ack(ds ...Delivery) error {
	g.v.mu.Lock()
	closing := g.v.closing
	g.v.mu.Unlock()
	if closing {
		return errClosed
	}
	var stale error
	g.mu.Lock()
	before := g.n.Acked
	for _, d := range ds {
		l := g.out[d.Offset]
		switch {
		case d.Offset < g.committed || g.done[d.Offset]:
		case l == nil, l.dying:
			stale = errStale
		case l.attempt != d.Attempt && !g.v.is("a stale Ack counts"):
			stale = errStale
		case !l.held && g.v.is("a late Ack is refused"):
			stale = errStale
		default:
			g.n.Acked++
			g.finish(d.Offset)
		}
	}
	again := len(ds) > 0 && stale == nil && g.n.Acked == before
	found := !g.tried
	g.tried = true
	g.mu.Unlock()
	if again && (g.v.is("what was tried before counts as done") && !found || g.v.is("what is found done is believed to be on the disk") && found) {
		return nil
	}
	g.wakeIfRoom()
	if err := g.save(); err != nil {
		return err
	}
	return stale
}

func (g *vgroup) wakeIfRoom() {
	if !g.v.is("a group that was full sleeps on") {
		g.wake()
	}
}

// finish counts a record as done. mu is held.
func (g *vgroup) finish(o int64) {
	if !g.v.is("delivers again what is done") {
		delete(g.out, o)
	}
	g.done[o] = true
	switch {
	case g.v.is("committed is the highest"):
		g.committed = max(g.committed, o+1)
	case g.v.is("committed is the last"):
		g.committed = o + 1
	}
	for g.done[g.committed] {
		delete(g.done, g.committed)
		g.committed++
	}
}

func (g *vgroup) Nack(d Delivery) error {
	g.mu.Lock()
	l := g.out[d.Offset]
	if l == nil || l.dying || (!l.held || l.attempt != d.Attempt) && !g.v.is("a stale Nack counts") {
		g.mu.Unlock()
		return errStale
	}
	g.fail(l, time.Now(), false)
	last := l.attempt >= g.o.MaxAttempts && !g.v.is("tried for ever")
	l.dying = last
	g.mu.Unlock()
	g.wake()
	if last {
		return g.bury(l)
	}
	if g.v.is("an attempt is forgotten in a crash") {
		return nil
	}
	return g.save()
}

// bury puts a record with the dead letters, then counts it as done.
func (g *vgroup) bury(l *vlease) error {
	if g.v.is("done before the dead letter") {
		g.mu.Lock()
		g.finish(l.r.Offset)
		g.mu.Unlock()
		if err := g.save(); err != nil {
			return err
		}
	}
	key := l.r.Key
	if g.v.is("a dead letter has no key") {
		key = nil
	}
	var err error
	if !g.v.is("a dead letter is thrown away") {
		_, err = g.dead.Append(context.Background(), key, l.r.Value)
	}
	g.mu.Lock()
	l.dying = false
	if err != nil && !g.v.is("a dead letter that cannot be written is done") {
		l.due = time.Now()
		g.mu.Unlock()
		return fmt.Errorf("variant: dead letter: %w", err)
	}
	g.n.Dead++
	if !g.v.is("done before the dead letter") {
		g.finish(l.r.Offset)
	}
	g.mu.Unlock()
	g.wake()
	if err := g.save(); err != nil {
		return err
	}
	return err
}

func (g *vgroup) Stats() GroupStats {
	g.mu.Lock()
	defer g.mu.Unlock()
	s := g.n
	s.Committed, s.InFlight = g.committed, len(g.out)
	return s
}
