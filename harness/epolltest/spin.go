package epolltest

import (
	"runtime"
	"time"

	"github.com/asynclab/asynclab/harness/meter"
	"github.com/asynclab/asynclab/harness/spec"
)

// sleeps expects the loop not to turn in vain. A machine at work may disturb
// one window, so only the third in a row counts.
func (s *serving) sleeps(while string) error { return s.sleepsBy(watchIdle(s.r), while) }

// watchIdle makes a watch that works with no descriptor left.
func watchIdle(r *spec.Run) *meter.IdleWatch {
	w := meter.WatchIdle()
	r.Cleanup(w.Close)
	return w
}

func (s *serving) sleepsBy(w *meter.IdleWatch, while string) error {
	const window = 500 * time.Millisecond
	s.r.Step("%s: look at this process's CPU time", while)
	runtime.GC() // not in the window
	var share float64
	for range 3 {
		var spins bool
		if share, spins = w.Spins(window); !spins {
			return nil
		}
	}
	return s.explain(spec.Fail("the loop to sleep in epoll_wait", "%s, and it keeps %.0f%% of a core busy", while, 100*share))
}
