package backpressuretest

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"
)

// fault is one way in which a variant is wrong. It is a word for the reader;
// the code says what each does.
type fault string

var (
	errFull     = errors.New("full")
	errShed     = errors.New("shed")
	errTooLarge = errors.New("too large")
	errClosed   = errors.New("closed")
	errOverflow = errors.New("overflow")
	errOverrun  = errors.New("overrun")
)

// variant is a right channel in another style than the solution's: one slice in
// the order of arrival for all priorities, searched each time; one slice of
// those who wait, each with a Go channel; a list of signals to be told. It is
// slow and short. With a fault it is a mutant.
type variant struct {
	o     options
	fault fault

	mu        sync.Mutex // guards the following
	queue     []vitem
	senders   []*vwaiter
	receivers []*vwaiter
	closed    bool
	slow      bool
	telling   bool
	pending   []int // signals to be told
	n         Stats
	kept      []vitem    // for a fault
	heard     int        // for a fault: the last signal that was told, plus 1
	telltale  sync.Mutex // for faults: held around callbacks
}

type vitem struct {
	m    Message
	p    int
	size int
}

type vwaiter struct {
	vitem
	done chan error // of capacity 1
}

func variantLab(f fault) lab {
	return lab{Full: errFull, Shed: errShed, TooLarge: errTooLarge, Closed: errClosed, Overflow: errOverflow, Overrun: errOverrun,
		New:       func(o options) (judged, error) { return newVariant(o, f) },
		NewBodies: func(n int) (Bodies[int], error) { return &variantBodies{fault: f, room: n}, nil },
		NewCredit: func(n int) (Credit, error) { return newVariantCredit(n, f) },
		NewWindow: func(n int) (Window, error) { return newVariantWindow(n, f) }}
}

func newVariant(o options, f fault) (judged, error) {
	bad := o.Capacity < 0 || o.MaxBytes < 0 || o.Policy < Block || o.Policy > DropOldest || o.MaxBytes > 0 && o.Size == nil
	if bad && f != "checks nothing" {
		return nil, errors.New("bad options")
	}
	if o.Capacity == 0 && f != "capacity 0 is 0" {
		o.Capacity = 1024
	}
	return &variant{o: o, fault: f}, nil
}

func (v *variant) is(f fault) bool { return v.fault == f }

func (v *variant) bytes() (sum int) {
	for _, it := range v.queue {
		sum += it.size
	}
	return sum
}

// share reports whether the queue has reached percent of a bound, or, with
// above, has more than that.
func (v *variant) share(percent int, above bool) bool {
	past := func(have, bound int) bool {
		if v.is("marks overflow") {
			return above && 100*have > percent*bound || !above && 100*have >= percent*bound
		}
		q, rest := bound/100*percent, bound%100*percent // 100 times a large bound is too large
		if above {
			return have > q+rest/100
		}
		if percent == 95 && v.is("95 is rounded down") {
			return have >= q+rest/100
		}
		return have >= q+(rest+99)/100
	}
	if v.is("bytes have no marks") || v.o.MaxBytes == 0 {
		return past(len(v.queue), v.o.Capacity)
	}
	if v.is("one measure is enough to resume") && above {
		return past(len(v.queue), v.o.Capacity) && past(v.bytes(), v.o.MaxBytes)
	}
	return past(len(v.queue), v.o.Capacity) || past(v.bytes(), v.o.MaxBytes)
}

func (v *variant) fits(size int) bool {
	capacity := v.o.Capacity
	if v.is("one more fits") {
		capacity++
	}
	if v.is("bytes are not counted") {
		return len(v.queue) < capacity
	}
	if v.is("the last one may be too much") {
		return len(v.queue) < capacity && (v.o.MaxBytes == 0 || v.bytes() < v.o.MaxBytes)
	}
	return len(v.queue) < capacity && (v.o.MaxBytes == 0 || v.bytes() <= v.o.MaxBytes-size || v.is("bytes overflow") && v.bytes()+size <= v.o.MaxBytes)
}

func (v *variant) Send(ctx context.Context, p int, m Message) error {
	if v.is("ctx counts at once") && ctx.Err() != nil {
		return ctx.Err()
	}
	if v.is("Size is asked twice") && v.o.Size != nil {
		v.o.Size(m)
	}
	w, dropped, err := v.put(p, m, v.o.Policy == Block || v.is("Send waits under every policy"))
	v.drop(dropped)
	if w == nil {
		return err
	}
	if v.is("ctx cannot end a wait") {
		ctx = context.Background()
	}
	if v.is("waits 5 s at most") {
		short, cancel := context.WithTimeout(ctx, 5*time.Second)
		defer cancel()
		ctx = short
	}
	select {
	case err := <-w.done:
		return err
	case <-ctx.Done():
	}
	if !v.remove(&v.senders, w) {
		if v.is("gives up although it was served") {
			return ctx.Err()
		}
		err := <-w.done
		if v.is("sent home, it says nil") {
			err = nil
		}
		return err
	}
	if v.is("who gives up raises no signal") {
		v.mu.Lock()
		defer v.mu.Unlock()
		v.n.Sent++
		v.n.Canceled++
		v.admit()
		return ctx.Err()
	}
	v.change(func() {
		v.n.Sent++
		v.n.Canceled++
		if v.is("giving up is not counted") {
			v.n.Canceled--
		}
		if !v.is("who gives up tells nobody") {
			v.admit()
		}
	})
	return ctx.Err()
}

func (v *variant) TrySend(p int, m Message) error {
	if v.is("Size is asked twice") && v.o.Size != nil {
		v.o.Size(m)
	}
	_, dropped, err := v.put(p, m, false)
	v.drop(dropped)
	return err
}

// drop calls OnDrop.
func (v *variant) drop(all []vitem) {
	for _, it := range all {
		switch {
		case v.o.OnDrop == nil || v.is("drops in silence"):
		case v.is("OnDrop runs later"):
			go func() { time.Sleep(time.Millisecond); v.o.OnDrop(it.m) }()
		default:
			v.o.OnDrop(it.m)
		}
	}
}

// put decides on a message.
func (v *variant) put(p int, m Message, wait bool) (w *vwaiter, dropped []vitem, err error) {
	if v.is("an unknown priority is Normal") && (p < Low || p > High) {
		p = Normal
	}
	p = min(max(p, Low), High)
	it := vitem{m: m, p: p}
	if v.o.Size != nil {
		if v.is("Size is asked under the lock") {
			v.mu.Lock()
		}
		it.size = v.o.Size(m)
		if v.is("Size is asked under the lock") {
			v.mu.Unlock()
		}
		if !v.is("a size may be negative") {
			it.size = max(it.size, 0)
		}
	}
	if v.is("a lock while it waits") {
		v.telltale.Lock()
		defer v.telltale.Unlock()
	}
	v.change(func() { w, dropped, err = v.decide(it, wait) })
	if w != nil && v.is("a lock while it waits") {
		err = <-w.done
		w = nil
	}
	return w, dropped, err
}

func (v *variant) decide(it vitem, wait bool) (*vwaiter, []vitem, error) {
	if v.closed && v.is("what Close refuses is counted") {
		v.n.Sent++
		v.n.Rejected++
	}
	if v.closed && !v.is("accepts after Close") {
		return nil, nil, errClosed
	}
	refuse := func(count *uint64, err error) (*vwaiter, []vitem, error) {
		v.n.Sent++
		*count++
		return nil, nil, err
	}
	shed := v.share(95, false)
	switch {
	case v.is("shed above 95, not at"):
		shed = v.share(95, true)
	case v.is("never sheds"):
		shed = false
	case v.is("sheds at 90"):
		shed = v.share(90, false)
	case v.is("sheds when full only"):
		shed = !v.fits(it.size)
	case v.is("sheds Normal, too"):
		if shed && it.p == Normal {
			return refuse(&v.n.Shed, errShed)
		}
	}
	if v.o.MaxBytes > 0 && it.size > v.o.MaxBytes && !v.is("too large waits") {
		return refuse(&v.n.Rejected, errTooLarge)
	}
	if shed && it.p == Low {
		if v.is("what is shed counts as rejected") {
			return refuse(&v.n.Rejected, errShed)
		}
		return refuse(&v.n.Shed, errShed)
	}
	ahead := slices.ContainsFunc(v.senders, func(w *vwaiter) bool { return w.p >= it.p })
	if v.is("passes those who wait") {
		ahead = false
	}
	if v.is("passes a higher one that waits") {
		ahead = slices.ContainsFunc(v.senders, func(w *vwaiter) bool { return w.p == it.p })
	}
	if v.is("a higher priority may not pass") {
		ahead = len(v.senders) > 0
	}
	if v.fits(it.size) && !ahead {
		v.accept(it)
		return nil, nil, nil
	}
	if dropped, ok := v.makeRoom(it); ok {
		v.accept(it)
		return nil, dropped, nil
	} else if len(dropped) > 0 {
		v.n.Rejected++
		v.n.Sent++
		return nil, dropped, errFull // a fault
	}
	if wait && !v.is("Block refuses") {
		w := &vwaiter{it, make(chan error, 1)}
		v.senders = append(v.senders, w)
		if v.is("a waiting message is counted at once") {
			v.n.Sent++
		}
		return w, nil, nil
	}
	if v.is("a full queue says nothing") {
		v.n.Sent++
		v.n.Rejected++
		return nil, nil, nil
	}
	return refuse(&v.n.Rejected, errFull)
}

// makeRoom drops what the policy says, if that makes enough room.
func (v *variant) makeRoom(it vitem) (dropped []vitem, ok bool) {
	if v.o.Policy != DropLowest && v.o.Policy != DropOldest {
		return nil, false
	}
	if v.is("drops by policy are refusals") {
		return nil, false
	}
	before := slices.Clone(v.queue)
	for !v.fits(it.size) {
		i := v.victim(it.p)
		if i < 0 {
			if v.is("drops in vain") {
				v.n.Evicted += uint64(len(dropped))
				return dropped, false
			}
			v.queue = before
			return nil, false
		}
		dropped = append(dropped, v.queue[i])
		v.queue = slices.Delete(v.queue, i, i+1)
		if v.is("an eviction looks at the level between") {
			v.watch()
		}
	}
	if v.is("evicted counts as rejected") {
		v.n.Rejected += uint64(len(dropped))
		return dropped, true
	}
	if v.is("an eviction is not counted") {
		return dropped, true
	}
	v.n.Evicted += uint64(len(dropped))
	return dropped, true
}

// victim is the index of the message that goes next, or -1.
func (v *variant) victim(p int) int {
	best := -1
	for i, q := range v.queue {
		switch {
		case v.o.Policy == DropOldest:
			if v.is("the oldest goes, whatever its priority") {
				return i
			}
			if v.is("the oldest of the lowest goes") {
				if q.p <= p && (best < 0 || q.p < v.queue[best].p) {
					best = i
				}
				continue
			}
			if q.p <= p {
				return i
			}
		case q.p >= p && !(v.is("equals may be dropped") && q.p == p):
		case best < 0, q.p < v.queue[best].p:
			best = i
		case q.p == v.queue[best].p && !v.is("the oldest of the lowest goes first"):
			best = i // the newest
		case v.is("the highest of the lower goes"):
			best = i
		}
	}
	return best
}

// accept hands it to a receiver that waits, or queues it.
func (v *variant) accept(it vitem) {
	if !v.is("a waiting message is counted at once") || !it.waited(v) {
		v.n.Sent++
	}
	if len(v.receivers) > 0 && !v.is("nobody wakes a receiver") {
		w := v.receivers[0]
		if v.is("the last receiver first") {
			w = v.receivers[len(v.receivers)-1]
		}
		v.receivers = slices.DeleteFunc(v.receivers, func(o *vwaiter) bool { return o == w })
		w.vitem = it
		v.n.Received++
		w.done <- nil
		return
	}
	v.queue = append(v.queue, it)
}

// waited reports whether it is a message that stands in the senders' line.
func (it vitem) waited(v *variant) bool {
	return slices.ContainsFunc(v.senders, func(w *vwaiter) bool { return w.m.ID == it.m.ID })
}

// admit lets waiting senders in while the first one fits.
func (v *variant) admit() {
	for len(v.senders) > 0 {
		first := v.firstSender()
		w := v.senders[first]
		if v.is("a lower one passes who does not fit") && !v.fits(w.size) {
			lower := slices.IndexFunc(v.senders, func(o *vwaiter) bool { return o.p < w.p && v.fits(o.size) })
			if lower < 0 {
				return
			}
			first, w = lower, v.senders[lower]
		}
		if !v.fits(w.size) || w.p == Low && v.share(95, false) && v.is("who waits is shed") {
			return
		}
		v.accept(w.vitem)
		v.senders = slices.Delete(v.senders, first, first+1)
		w.done <- nil
		if v.is("one waiter at a time") {
			return
		}
	}
}

func (v *variant) firstSender() int {
	best := 0
	for i, w := range v.senders {
		switch {
		case v.is("first come, whatever the priority"):
		case w.p > v.senders[best].p:
			best = i
		case v.is("the last one in the line goes first") && w.p == v.senders[best].p:
			best = i
		case v.is("whoever fits") && !v.fits(v.senders[best].size) && v.fits(w.size):
			best = i
		}
	}
	return best
}

// take moves up to len(dst) messages to dst.
func (v *variant) take(dst []Message) (n int) {
	for n < len(dst) && len(v.queue) > 0 {
		i := v.front()
		dst[n] = v.queue[i].m
		n++
		v.queue = slices.Delete(v.queue, i, i+1)
		if v.is("looks at the level between") {
			v.watch()
		}
	}
	v.n.Received += uint64(n)
	if n > 0 && !v.is("a receive wakes nobody") && !(v.is("a batch wakes nobody") && len(dst) > 1) {
		v.admit()
	}
	return n
}

// front is the index of the message that is next.
func (v *variant) front() int {
	best := 0
	for i, it := range v.queue {
		switch {
		case v.is("priority does not matter"):
		case v.is("the lowest priority first") && it.p < v.queue[best].p:
			best = i
		case v.is("the newest first") && it.p == v.queue[best].p:
			best = i
		case !v.is("the lowest priority first") && it.p > v.queue[best].p:
			best = i
		}
	}
	return best
}

func (v *variant) TryReceive() (Message, bool) {
	var one [1]Message
	n := 0
	v.change(func() { n = v.take(one[:]) })
	return one[0], n == 1
}

func (v *variant) Receive(ctx context.Context) (Message, error) {
	var one [1]Message
	_, err := v.ReceiveBatch(ctx, one[:])
	return one[0], err
}

func (v *variant) ReceiveBatch(ctx context.Context, dst []Message) (n int, err error) {
	if len(dst) == 0 {
		if v.is("an empty batch has an end") && v.closed {
			return 0, errClosed
		}
		return 0, nil
	}
	if v.is("ctx counts at once") && ctx.Err() != nil {
		return 0, ctx.Err()
	}
	var w *vwaiter
	v.change(func() {
		if v.closed && v.is("Close forgets the queue") {
			v.queue = nil
		}
		senders := v.senders
		if v.is("Receive wakes nobody") {
			v.senders = nil // hidden from take
		}
		n = v.take(dst)
		if v.is("Receive wakes nobody") {
			v.senders = senders
		}
		if n > 0 {
			return
		}
		if v.closed {
			err = errClosed
			return
		}
		w = &vwaiter{done: make(chan error, 1)}
		v.receivers = append(v.receivers, w)
	})
	if w == nil {
		return n, err
	}
	for full := true; full; full = v.is("a batch waits to be full") && n < len(dst) {
		got, err := v.await(ctx, w)
		if err != nil {
			return n, err
		}
		dst[n] = got
		n++
		v.change(func() {
			n += v.take(dst[n:])
			if v.is("a batch waits to be full") && n < len(dst) {
				v.receivers = append(v.receivers, w)
			}
		})
	}
	return n, nil
}

// await waits for the message that somebody hands to w.
func (v *variant) await(ctx context.Context, w *vwaiter) (Message, error) {
	select {
	case err := <-w.done:
		return w.m, err
	case <-ctx.Done():
	}
	if v.is("leaves the line in thought only") {
		return Message{}, ctx.Err()
	}
	if v.remove(&v.receivers, w) || v.is("a canceled receive loses its message") {
		return Message{}, ctx.Err()
	}
	err := <-w.done
	return w.m, err
}

// remove takes w out of its line, and reports whether it stood there.
func (v *variant) remove(line *[]*vwaiter, w *vwaiter) bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	i := slices.Index(*line, w)
	if i >= 0 {
		*line = slices.Delete(*line, i, i+1)
	}
	return i >= 0
}

func (v *variant) Peek() (Message, bool) {
	if v.is("Peek takes it") {
		return v.TryReceive()
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	switch {
	case len(v.queue) == 0:
		return Message{}, false
	case v.is("Peek shows the oldest"):
		return v.queue[0].m, true
	}
	return v.queue[v.front()].m, true
}

func (v *variant) Len() int {
	v.mu.Lock()
	defer v.mu.Unlock()
	return len(v.queue)
}

func (v *variant) Slow() bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.is("Slow is what was told") {
		return v.heard == SlowDown+1
	}
	return v.slow
}

func (v *variant) Discard() int {
	var gone []vitem
	v.change(func() {
		if v.closed && v.is("Discard only while open") {
			return
		}
		gone, v.queue = v.queue, nil
		if v.is("Discard keeps its memory") {
			v.kept = slices.Clone(gone)
		}
		if v.is("Discard looks at the level between") {
			v.watch()
		}
		if v.is("Discard keeps one level") {
			v.queue = slices.DeleteFunc(slices.Clone(gone), func(it vitem) bool { return it.p < High })
			gone = slices.DeleteFunc(gone, func(it vitem) bool { return it.p == High })
		}
		v.n.Discarded += uint64(len(gone))
		if !v.is("Discard wakes nobody") {
			v.admit()
		}
	})
	if v.is("Discard tells nobody") {
		return len(gone)
	}
	v.drop(gone)
	return len(gone)
}

func (v *variant) Close() {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.closed && v.is("the second Close panics") {
		panic("closed twice")
	}
	v.closed = true
	if v.is("Close loses the queue") {
		v.queue = nil
	}
	if !v.is("Close leaves the senders") {
		for _, w := range v.senders {
			if w.p > Low || !v.is("Close leaves those who are Low") {
				w.done <- errClosed
			}
		}
		if v.is("who is sent home is counted") {
			v.n.Sent += uint64(len(v.senders))
			v.n.Canceled += uint64(len(v.senders))
		}
		v.senders = nil
	}
	if !v.is("Close leaves the receivers") {
		for _, w := range v.receivers {
			w.done <- errClosed
		}
		v.receivers = nil
	}
}

func (v *variant) Stats() Stats {
	if v.is("a lock while it waits") {
		v.telltale.Lock()
		defer v.telltale.Unlock()
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	n := v.n
	n.Queued, n.Bytes, n.Senders, n.Receivers = len(v.queue), v.bytes(), len(v.senders), len(v.receivers)
	if v.is("those who wait are not told") {
		n.Senders, n.Receivers = 0, 0
	}
	return n
}

// change runs f with the lock held, looks at the level, and tells.
func (v *variant) change(f func()) {
	v.mu.Lock()
	f()
	v.watch()
	switch {
	case v.o.OnSignal == nil:
		v.pending = nil
	case v.is("calls back under the lock"):
		for _, s := range v.pending {
			v.o.OnSignal(s)
		}
		v.pending = nil
	case v.is("tells without an order"):
		all := v.pending
		v.pending = nil
		v.mu.Unlock()
		for _, s := range all {
			v.o.OnSignal(s)
		}
		return
	default:
		v.tell()
	}
	v.mu.Unlock()
}

// tell hands pending signals to OnSignal, one goroutine at a time.
func (v *variant) tell() {
	if v.telling {
		if v.is("a signal raised meanwhile is lost") {
			v.pending = nil
		}
		return
	}
	v.telling = true
	for len(v.pending) > 0 {
		s := v.pending[0]
		v.pending = v.pending[1:]
		v.heard = s + 1
		v.mu.Unlock()
		v.o.OnSignal(s)
		v.mu.Lock()
	}
	v.telling = false
}

// watch raises a signal if it is time for one.
func (v *variant) watch() {
	high, low := 90, 50
	switch {
	case v.is("slow when full"):
		high = 100
	case v.is("slow at 80"):
		high = 80
	case v.is("resumes when empty"):
		low = 0
	case v.is("resumes just below the mark"):
		low = 89
	}
	reached := v.share(high, false)
	if v.is("above the mark, not at") {
		reached = v.share(high, true)
	}
	switch {
	case v.slow && !v.share(low, true):
		v.slow = false
		if !v.is("never resumes") {
			v.n.Resumes++
			v.pending = append(v.pending, Resume)
		}
	case reached && (!v.slow || v.is("a signal for each message")):
		v.slow = true
		v.n.SlowDowns++
		v.pending = append(v.pending, SlowDown)
	}
}
