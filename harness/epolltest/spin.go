package epolltest

import (
	"fmt"
	"os"
	"runtime"
	"time"

	"github.com/asynclab/asynclab/harness/meter"
	"github.com/asynclab/asynclab/harness/spec"
)

// stopwatch measures how busy this process is. A thread that spins is at any
// time either running or waiting for its turn, however many other programs
// there are: so both are added up.
type stopwatch struct {
	waits []*os.File // schedstat of each thread there was when it was made
}

// newStopwatch opens all it needs, so that it works with no descriptor left.
func newStopwatch(r *spec.Run) *stopwatch {
	w := &stopwatch{}
	for _, id := range threadIDs() {
		if f, err := os.Open(fmt.Sprintf("/proc/self/task/%d/schedstat", id)); err == nil {
			w.waits = append(w.waits, f)
			r.Cleanup(func() { f.Close() })
		}
	}
	return w
}

// busy lets a window pass in which the harness does nothing. It returns how many
// cores this process used, and how many it used or would have used had they been
// free.
func (w *stopwatch) busy(window time.Duration) (ran, wanted float64) {
	before, began := w.waited(), time.Now()
	ran = meter.IdleCores(window)
	return ran, ran + (w.waited()-before).Seconds()/time.Since(began).Seconds()
}

// waited is how long the threads have been ready to run without running: the
// second figure of their schedstat. It is 0 where the kernel does not keep it.
func (w *stopwatch) waited() (sum time.Duration) {
	text := make([]byte, 100)
	for _, f := range w.waits {
		var ran, waited int64
		n, _ := f.ReadAt(text, 0)
		fmt.Sscan(string(text[:n]), &ran, &waited)
		sum += time.Duration(waited)
	}
	return sum
}

// sleeps expects the loop not to turn in vain. A machine at work may disturb
// one window, so only the third in a row counts.
func (s *serving) sleeps(while string) error { return s.sleepsBy(newStopwatch(s.r), while) }

func (s *serving) sleepsBy(w *stopwatch, while string) error {
	const window = 500 * time.Millisecond
	s.r.Step("%s: look at this process's CPU time", while)
	runtime.GC() // not in the window
	var wanted float64
	for range 3 {
		// A loop that wakes now and then runs little, but on a busy machine
		// waits long each time: both figures must be high.
		var ran float64
		if ran, wanted = w.busy(window); ran < 0.02 || wanted < 0.6 {
			return nil
		}
	}
	return s.explain(spec.Fail("the loop to sleep in epoll_wait", "%s, and it keeps %.0f%% of a core busy", while, 100*wanted))
}
