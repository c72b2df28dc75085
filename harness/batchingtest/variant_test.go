package batchingtest

import (
	"context"
	"errors"
	"io"
	"net"
	"slices"
	"sync"
	"time"
)

// fault is one way in which a variant is wrong. It is a word for the reader;
// the code says what each does.
type fault string

var (
	errFull     = errors.New("full")
	errTooLarge = errors.New("too large")
	errClosed   = errors.New("closed")
)

// variant is a right writer in another style than the solution's: a list of
// messages, of which the goroutine takes what is there and joins the small ones
// when it writes, and one condition on which everybody waits. With a fault it is
// a mutant.
type variant struct {
	sink  Sink
	o     Options
	fault fault
	ended chan struct{}

	mu      sync.Mutex // guards the following
	cond    *sync.Cond
	queue   []vmessage
	queued  int // bytes in queue
	copied  int // of them, for a fault
	pending int
	line    []*int // Writes that wait for room
	why     string // why queue should be written
	late    string // for a fault
	batch   int    // the number of this batch
	timer   *time.Timer
	err     error
	closing bool
	n       Stats
}

type vmessage struct {
	data []byte
	own  bool
	mark bool // a Flush
	done func(error)
}

func variantLab(f fault) lab {
	return lab{Conn: func(c net.Conn) Sink { return vconn{c, f} }, Full: errFull, TooLarge: errTooLarge, Closed: errClosed, New: func(s Sink, o Options) (judged, error) { return newVariant(s, o, f) }}
}

func newVariant(s Sink, o Options, f fault) (judged, error) {
	bad := o.MaxBytes < 0 || o.MaxDelay < 0 || o.MaxPending < 0
	if o.MaxPending == 0 {
		o.MaxPending = 1 << 20
	}
	if o.MaxBytes == 0 {
		o.MaxBytes = min(64<<10, o.MaxPending)
	}
	if (bad || o.MaxBytes > o.MaxPending) && f != "takes any options" {
		return nil, errors.New("bad options")
	}
	v := &variant{sink: s, o: o, fault: f, ended: make(chan struct{})}
	v.cond = sync.NewCond(&v.mu)
	go v.run()
	return v, nil
}

func (v *variant) is(f fault) bool { return v.fault == f }

func (v *variant) Write(ctx context.Context, p []byte, done func(error)) error {
	return v.write(ctx, p, false, done)
}

func (v *variant) WriteOwned(ctx context.Context, p []byte, done func(error)) error {
	return v.write(ctx, p, !v.is("owned messages are copied"), done)
}

func (v *variant) TryWrite(p []byte, done func(error)) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	if err := v.refused(p); err != nil {
		return err
	}
	if (len(v.line) > 0 && !v.is("passes those who wait")) || !v.room(p) {
		return errFull
	}
	v.add(p, false, done)
	return nil
}

func (v *variant) refused(p []byte) error {
	switch {
	case v.closing && !v.is("accepts after Close"):
		return errClosed
	case v.err != nil && !v.is("goes on after an error"):
		return v.err
	case len(p) > v.o.MaxPending && !v.is("what is too large waits"):
		return errTooLarge
	}
	return nil
}

func (v *variant) room(p []byte) bool {
	pending := v.pending
	switch {
	case v.is("no bound"):
		return true
	case v.is("counts the batch only"):
		pending = v.queued
	case v.is("one byte too many"):
		pending--
	}
	return pending+len(p) <= v.o.MaxPending
}

func (v *variant) write(ctx context.Context, p []byte, own bool, done func(error)) error {
	stop := context.AfterFunc(ctx, func() {
		v.mu.Lock()
		defer v.mu.Unlock()
		v.cond.Broadcast()
	})
	defer stop()
	v.mu.Lock()
	defer v.mu.Unlock()
	if err := v.refused(p); err != nil {
		return err
	}
	if len(v.line) == 0 && v.room(p) || v.is("small ones first") && v.room(p) {
		v.add(p, own, done)
		return nil
	}
	if !v.is("who waits does not hurry") {
		v.hurry("size")
	}
	if len(v.queue) == 0 && v.is("a hurry outlives its batch") {
		v.late = "size"
	}
	me := new(int)
	v.line = append(v.line, me)
	defer func() {
		v.line = slices.DeleteFunc(v.line, func(o *int) bool { return o == me })
		v.cond.Broadcast()
	}()
	for {
		first := v.line[0] == me
		if v.is("the last in the line goes first") {
			first = v.line[len(v.line)-1] == me
		}
		switch err := v.refused(p); {
		case err != nil && v.err != nil && v.is("an error leaves who waits"):
		case err != nil && !(v.is("Close leaves who waits") && v.closing):
			return err
		case first && v.room(p) && v.is("who has waited is not copied"):
			v.queue = append(v.queue, vmessage{data: p, own: true, done: done})
			v.queued, v.pending = v.queued+len(p), v.pending+len(p)
			v.n.Messages++
			v.hurry("size")
			return nil
		case first && v.room(p) && v.is("who has waited is copied"):
			v.add(p, false, done)
			return nil
		case (first || v.n.Writes > 0 && v.is("who fits passes who does not")) && v.room(p):
			v.add(p, own, done)
			if len(v.line) > 1 && !v.is("the second in the line hurries nobody") {
				v.hurry("size")
			}
			return nil
		case ctx.Err() != nil && !v.is("ctx cannot end a wait"):
			if v.is("who gives up is written all the same") {
				v.add(p, own, done)
			}
			return ctx.Err()
		}
		v.cond.Wait()
	}
}

// add appends a message, for which there is room.
func (v *variant) add(p []byte, own bool, done func(error)) {
	if own && len(p) < 2048 {
		own = v.is("small ones are pieces, too")
	}
	if !own && !v.is("keeps what it was given") {
		p = slices.Clone(p)
	}
	first := len(v.queue) == 0
	v.copied += len(p)
	if own && v.is("a batch is full of copies only") {
		v.copied -= len(p)
	}
	v.queue = append(v.queue, vmessage{data: p, own: own, done: done})
	v.queued += len(p)
	v.pending += len(p)
	v.n.Messages++
	switch {
	case v.copied >= v.o.MaxBytes && !v.is("full is nothing"), v.is("each message goes"):
		v.hurry("size")
	case v.late != "":
		v.hurry(v.late)
		v.late = ""
	case v.o.MaxDelay == 0:
		v.hurry("idle")
	case first || v.is("each message sets the timer"):
		v.arm()
	}
}

func (v *variant) arm() {
	if v.timer != nil && v.is("each message sets the timer") {
		v.timer.Stop()
	}
	if v.is("one timer only") && v.timer != nil {
		return
	}
	batch := v.batch
	wait := v.o.MaxDelay
	if v.is("twice the delay") {
		wait *= 2
	}
	v.timer = time.AfterFunc(wait, func() {
		v.mu.Lock()
		defer v.mu.Unlock()
		if v.batch == batch || v.is("an old timer rings for the next batch") {
			v.hurry("delay")
		}
	})
}

func (v *variant) hurry(why string) {
	if v.why == "" && len(v.queue) > 0 || v.is("the last reason counts") {
		v.why = why
	}
	v.cond.Broadcast()
}

func (v *variant) run() {
	defer close(v.ended)
	v.mu.Lock()
	defer v.mu.Unlock()
	for {
		for v.why == "" && !v.closing && v.err == nil {
			v.cond.Wait()
		}
		for v.closing && v.why == "" && len(v.queue) > 0 && v.is("Close waits for the delay") {
			v.cond.Wait()
		}
		if v.closing && v.why == "" && len(v.queue) > 0 && !v.is("Close forgets the tail") {
			v.why = "asked"
		}
		if v.err != nil && !v.is("goes on after an error") || v.why == "" {
			return
		}
		v.count()
		all := v.queue
		v.queue, v.queued, v.copied, v.why = nil, 0, 0, ""
		v.batch++
		if v.is("writes half") && len(all) > 50 {
			v.queue, all = all[50:], all[:50]
			v.why = "size"
		}
		pieces, size := v.pieces(all)
		if !v.is("the lock is held while it writes") {
			v.mu.Unlock()
		}
		written, err := v.writeAll(pieces)
		if !v.is("the lock is held while it writes") {
			v.mu.Lock()
		}
		v.finish(all, size, written, err)
	}
}

func (v *variant) count() {
	switch v.why {
	case "size":
		v.n.BySize++
	case "delay":
		v.n.ByDelay++
	case "idle":
		v.n.WhenIdle++
	default:
		v.n.Asked++
	}
}

// pieces joins what was copied.
func (v *variant) pieces(all []vmessage) (pieces [][]byte, size int) {
	joined := false
	if v.is("the newest first") {
		all = slices.Clone(all)
		slices.Reverse(all)
	}
	for _, m := range all {
		size += len(m.data)
		switch {
		case len(m.data) == 0:
		case !m.own && joined:
			last := &pieces[len(pieces)-1]
			*last = append(*last, m.data...)
		default:
			pieces = append(pieces, m.data)
			if !m.own {
				pieces[len(pieces)-1] = slices.Clone(m.data)
			}
			joined = !m.own
		}
	}
	if v.is("owned ones first") {
		slices.SortStableFunc(pieces, func(a, b []byte) int { return len(b) - len(a) })
	}
	return pieces, size
}

func (v *variant) writeAll(rest [][]byte) (written int, err error) {
	for len(rest) > 0 {
		now := rest[:min(len(rest), maxPieces)]
		if v.is("any number of pieces") {
			now = rest
		}
		n, err := v.sink.Writev(now)
		if !v.is("the lock is held while it writes") {
			v.mu.Lock()
		}
		v.n.Writes++
		v.n.Bytes += uint64(n)
		if !v.is("the lock is held while it writes") {
			v.mu.Unlock()
		}
		written += n
		switch {
		case err != nil && v.is("tries again after an error"):
			if n, err := v.sink.Writev(now); err != nil {
				return written + n, err
			}
			return written, nil
		case err != nil:
			return written, err
		case n == 0 && !v.is("nothing is tried again"):
			return written, io.ErrNoProgress
		case v.is("a short write is a write"):
			rest = rest[len(now):]
			continue
		case v.is("a short write begins again") && n < len(now[0]):
			continue
		}
		for n > 0 {
			k := min(n, len(rest[0]))
			if n -= k; k == len(rest[0]) {
				rest = rest[1:]
			} else {
				rest[0] = rest[0][k:]
			}
		}
	}
	return written, nil
}

// finish makes room, and tells everybody without the lock.
func (v *variant) finish(all []vmessage, size, written int, err error) {
	v.pending -= size
	if err != nil && !(v.is("a failed batch is forgotten")) {
		v.err = err
		if !v.is("the next batch is not told") {
			all = append(all, v.queue...)
		}
		v.pending -= v.queued
		v.queue, v.queued = nil, 0
	}
	end := 0
	tell := make([]error, len(all))
	for i, m := range all {
		end += len(m.data)
		if end > written || end == written && err != nil && v.is("the last one taken is lost") {
			tell[i] = err
			if v.is("errors are nobody's") || m.mark && v.is("Flush hears of no error") {
				tell[i] = nil
			}
			if !m.mark {
				v.n.Lost++
			}
		}
		if v.is("all of a batch share its fate") {
			tell[i] = err
		}
	}
	v.cond.Broadcast()
	if !v.is("done under the lock") {
		v.mu.Unlock()
	}
	for i, m := range all {
		switch {
		case m.done == nil:
		case v.is("nothing is told to nobody") && len(m.data) == 0 && !m.mark:
		case v.is("done in any order"):
			defer m.done(tell[i])
		case v.is("done twice") && tell[i] != nil:
			m.done(tell[i])
			m.done(tell[i])
		case v.is("done only when all is well") && tell[i] != nil && !m.mark:
		default:
			m.done(tell[i])
		}
	}
	if !v.is("done under the lock") {
		v.mu.Lock()
	}
}

func (v *variant) Flush(ctx context.Context) error {
	done := make(chan error, 1)
	v.mu.Lock()
	if v.err != nil && !v.is("goes on after an error") {
		defer v.mu.Unlock()
		return v.err
	}
	if v.closing {
		v.mu.Unlock()
		if v.is("Flush gives up for Close") {
			return v.Close(ctx)
		}
		return errClosed
	}
	if v.is("Flush looks at the batch only") && len(v.queue) == 0 {
		v.mu.Unlock()
		return nil
	}
	v.queue = append(v.queue, vmessage{mark: true, done: func(err error) { done <- err }})
	v.hurry("asked")
	v.mu.Unlock()
	if v.is("Flush does not wait") {
		return nil
	}
	if v.is("Flush has no context") {
		return <-done
	}
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (v *variant) Close(ctx context.Context) error {
	v.mu.Lock()
	if v.closing && v.is("the second Close panics") {
		panic("closed twice")
	}
	second := v.closing
	v.closing = true
	v.cond.Broadcast()
	v.mu.Unlock()
	if v.is("Close does not wait") || second && v.is("the second Close does not wait") {
		return nil
	}
	if v.is("Close has no deadline") {
		<-v.ended
		return nil
	}
	select {
	case <-v.ended:
	case <-ctx.Done():
		v.giveUp()
		return ctx.Err()
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.err
}

func (v *variant) giveUp() {
	v.mu.Lock()
	if v.err != nil || v.is("Close leaves the batch to itself") {
		v.mu.Unlock()
		return
	}
	left := v.queue
	if !v.is("what Close gave up is written") {
		v.err = errClosed
		v.queue, v.pending, v.queued = nil, v.pending-v.queued, 0
	}
	for _, m := range left {
		if !m.mark && !v.is("what Close gives up is not counted") {
			v.n.Lost++
		}
	}
	v.cond.Broadcast()
	v.mu.Unlock()
	if v.is("what Close gives up is not told") {
		return
	}
	for i, m := range left {
		if m.done == nil || m.mark && v.is("Flush waits for what Close gave up") {
			continue
		}
		m.done(errClosed)
		if v.is("what Close gave up is written") {
			left[i].done = nil
		}
	}
}

func (v *variant) Stats() Stats {
	v.mu.Lock()
	defer v.mu.Unlock()
	n := v.n
	n.Pending, n.Waiting = v.pending, len(v.line)
	return n
}

// vconn is the variant's Conn: one write for each piece.
type vconn struct {
	c     net.Conn
	fault fault
}

func (v vconn) Writev(pieces [][]byte) (total int, err error) {
	for i, p := range pieces {
		n, err := v.c.Write(p)
		total += n
		if v.fault == "Conn consumes its pieces" {
			pieces[i] = p[n:]
		}
		switch {
		case err == nil:
		case v.fault == "Conn hides the error":
			return total, nil
		case v.fault == "Conn forgets what was taken":
			return 0, err
		default:
			return total, err
		}
	}
	return total, nil
}
