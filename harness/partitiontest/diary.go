package partitiontest

import (
	"context"
	"fmt"
	"strconv"
	"sync"
	"time"

	"github.com/asynclab/asynclab/harness/spec"
)

// open makes a partition that ends with the check, by force where need be.
func open(r *spec.Run, l lab, o Options) (judged, error) {
	p, err := l.New(o)
	if err != nil {
		return nil, err
	}
	r.Cleanup(func() {
		now, cancel := context.WithCancel(context.Background())
		cancel()
		p.Close(now)
	})
	return p, nil
}

// bubble is r.Bubble in which callbacks that sleep wake up before it ends: at
// the end of f the clock stops.
func bubble(r *spec.Run, f func(r *spec.Run) error) error {
	return r.Bubble(func(r *spec.Run) error {
		r.Cleanup(func() { time.Sleep(time.Hour) })
		return f(r)
	})
}

// entry is one callback, as it came.
type entry struct {
	evicted bool
	key     string
	m       Message // of Handle
	state   State   // before Handle; at OnEvict
}

func (e entry) String() string {
	if e.evicted {
		return fmt.Sprintf("evict %q", e.key)
	}
	return fmt.Sprintf("%q %d", e.key, e.m.Seq)
}

// diary writes down what a partition calls. Its handle keeps the key's State.
type diary struct {
	mu      sync.Mutex       // guards the following
	entries []entry          // all
	seqs    map[string][]int // of the messages handled, by key
	count   int              // of the messages handled
}

func (d *diary) handle(key string, state *State, m Message) {
	d.add(entry{key: key, m: m, state: *state})
	state.Count++
	state.Last = m.Seq
}

func (d *diary) evict(key string, state *State) {
	d.add(entry{evicted: true, key: key, state: *state})
}

func (d *diary) add(e entry) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.entries = append(d.entries, e)
	if e.evicted {
		return
	}
	if d.seqs == nil {
		d.seqs = map[string][]int{}
	}
	d.seqs[e.key] = append(d.seqs[e.key], e.m.Seq)
	d.count++
}

// all is a copy of what was called so far.
func (d *diary) all() []entry {
	d.mu.Lock()
	defer d.mu.Unlock()
	return append([]entry(nil), d.entries...)
}

// handled counts the messages that Handle was called for.
func (d *diary) handled() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.count
}

// evictions are the calls of OnEvict.
func (d *diary) evictions() (gone []entry) {
	for _, e := range d.all() {
		if e.evicted {
			gone = append(gone, e)
		}
	}
	return gone
}

// gate holds callbacks up. Closed at first; the check's end opens it for good.
type gate chan struct{}

func newGate(r *spec.Run) gate {
	g := make(gate)
	var once sync.Once
	r.Cleanup(func() { once.Do(func() { close(g) }) })
	return g
}

// pass lets one callback through that is waiting, or will wait.
func (g gate) pass() { g <- struct{}{} }

// wait is for the callback.
func (g gate) wait() { <-g }

// keyOn finds a key that p handles on shard; tag makes it a different one each
// time.
func keyOn(p Partition, shard int, tag string) string {
	for i := range 100_000 {
		if key := tag + strconv.Itoa(i); p.Shard(key) == shard {
			return key
		}
	}
	panic(fmt.Sprintf("of 100,000 keys Shard puts none on shard %d", shard))
}

// sendAll sends the messages from first to last to key, in this order.
func sendAll(r *spec.Run, p Partition, key string, first, last int) error {
	for seq := first; seq <= last; seq++ {
		if err := send(r, p, key, seq); err != nil {
			return err
		}
	}
	return nil
}

func send(r *spec.Run, p Partition, key string, seq int) error {
	if err := p.Send(r.Context(), key, Message{Seq: seq}); err != nil {
		return spec.Fail("Send to accept the message", "message %d of key %q: %v", seq, key, err)
	}
	return nil
}

// inOrder reports the first message of key that does not follow its
// predecessor.
func (d *diary) inOrder(key string, last int) error {
	const expected = "each message of a key once, in the order of its Sends"
	d.mu.Lock()
	defer d.mu.Unlock()
	seqs := d.seqs[key]
	for i, seq := range seqs {
		if seq != i+1 {
			return spec.Fail(expected, "key %q: message %d was handled where %d is next", key, seq, i+1)
		}
	}
	if len(seqs) != last {
		return spec.Fail(expected, "key %q: %d of %d messages were handled", key, len(seqs), last)
	}
	return nil
}

// inTurn makes one check after the other, until one fails.
func inTurn(r *spec.Run, l lab, checks ...func(*spec.Run, lab) error) error {
	for _, check := range checks {
		if err := check(r, l); err != nil {
			return err
		}
	}
	return nil
}
