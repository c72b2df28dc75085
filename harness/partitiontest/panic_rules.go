package partitiontest

import (
	"fmt"
	"testing/synctest"
	"time"

	"github.com/asynclab/asynclab/harness/spec"
)

var panicRules = []spec.Rule[lab]{
	{
		Name: "PanicCostsOneMessage", Group: "panics", Points: 4, Section: "Step 5: panics",
		Why: "One malformed message must not take down the process, nor the shard and with it every key that lives there, nor be tried again for ever. And a state that was left in the middle of a change is worse than none.",
		Hints: [3]string{
			"Handle panics. Where does the goroutine stop, and who empties the queue from then on?",
			"recover works only in a deferred function of the goroutine that panics. Each callback needs one of its own, or the loop is left.",
			"func (s *shard) call(key string, f func()) (ok bool) { defer func() { if !ok { v := recover(); panics++; if OnPanic != nil { call it, guarded, too } } }(); f(); return true }. If Handle was not ok, remove the key without OnEvict.",
		},
		Check: panicCostsOneMessage, Deadline: 30 * time.Second,
	},
}

func panicCostsOneMessage(r *spec.Run, l lab) error {
	if err := panickingHandle(r, l); err != nil {
		return err
	}
	for _, silent := range []bool{true, false} {
		if err := panickingCallbacks(r, l, silent); err != nil {
			return err
		}
	}
	return nil
}

// panickingHandle has the third message of each key panic, the state half
// changed.
func panickingHandle(r *spec.Run, l lab) error {
	return bubble(r, func(r *spec.Run) error {
		var d diary
		var told []string
		p, err := open(r, l, Options{Shards: 1, OnEvict: d.evict, OnPanic: func(key string, v any) { told = append(told, fmt.Sprint(key, ": ", v)) },
			Handle: func(key string, s *State, m Message) {
				d.handle(key, s, m)
				if m.Seq == 3 && key == "a" {
					s.Count = 1000
					panic("oh")
				}
			}})
		if err != nil {
			return err
		}
		r.Step("send 5 messages to each of the keys a and b of one shard; Handle panics at the third of a")
		for seq := 1; seq <= 5; seq++ {
			if err := first(send(r, p, "a", seq), send(r, p, "b", seq)); err != nil {
				return err
			}
		}
		synctest.Wait()
		if err := first(d.inOrder("a", 5), d.inOrder("b", 5)); err != nil {
			return err
		}
		for _, e := range d.all() {
			want := State{Count: e.m.Seq - 1, Last: e.m.Seq - 1}
			if e.key == "a" && e.m.Seq == 4 {
				want = State{}
			}
			if e.key == "a" && e.m.Seq == 5 {
				want = State{Count: 1, Last: 4}
			}
			if e.evicted {
				return spec.Fail("no OnEvict for a state that Handle's panic has spoiled", "it was called for key %q with %+v", e.key, e.state)
			}
			if e.state != want {
				return spec.Fail("a panic to cost its key's state, and no other's", "message %d of key %q found %+v, not %+v", e.m.Seq, e.key, e.state, want)
			}
		}
		if len(told) != 1 || told[0] != "a: oh" {
			return spec.Fail("OnPanic once, with the key and the value: a: oh", "it was called with %q", told)
		}
		if s := p.Stats(); s.Panics != 1 || s.Handled != 10 || s.Keys != 2 || s.Evicted != 0 {
			return spec.Fail("Panics 1, Handled 10 (the one that panicked among them), Keys 2, Evicted 0", "Stats says %+v", s)
		}
		return nil
	})
}

// panickingCallbacks has every callback panic that there is; silent: without an
// OnPanic.
func panickingCallbacks(r *spec.Run, l lab, silent bool) error {
	return bubble(r, func(r *spec.Run) error {
		var evictions, heard int
		o := Options{Shards: 1,
			Handle: func(_ string, _ *State, m Message) {
				if m.Seq%2 == 0 {
					panic("handle")
				}
			},
			OnEvict: func(string, *State) { evictions++; panic("evict") },
			OnPanic: func(string, any) { heard++; panic("panic") },
		}
		if silent {
			o.OnPanic = nil
		}
		p, err := open(r, l, o)
		if err != nil {
			return err
		}
		r.Step("10 keys; every second message panics, OnEvict does, and (OnPanic set: %v) OnPanic does", !silent)
		for k := range 10 {
			if err := sendAll(r, p, fmt.Sprint(k), 1, 3); err != nil {
				return err
			}
		}
		if err := p.Close(r.Context()); err != nil {
			return spec.Fail("Close to drain although callbacks panic", "%v", err)
		}
		if s := p.Stats(); s.Handled != 30 || s.Panics != 20 || s.Keys != 0 || s.Evicted != 10 || evictions != 10 {
			return spec.Fail("30 messages handled and 10 keys evicted, with 20 panics of Handle and OnEvict", "OnEvict was called %d times, Stats says %+v", evictions, s)
		}
		if !silent && heard != 20 {
			return spec.Fail("OnPanic for each of 20 panics, those of OnEvict among them", "it was called %d times", heard)
		}
		return nil
	})
}
