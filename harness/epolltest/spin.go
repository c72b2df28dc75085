package epolltest

import (
	"runtime"
	"time"

	"github.com/asynclab/asynclab/harness/meter"
	"github.com/asynclab/asynclab/harness/spec"
)

// sleeps expects the loop not to turn in vain. A machine at work may disturb
// one window, so only the third in a row counts.
func (s *serving) sleeps(while string) error {
	const window = 500 * time.Millisecond
	s.r.Step("%s: look at this process's CPU time", while)
	runtime.GC() // not in the window
	var share float64
	for range 3 {
		var spins bool
		if share, spins = meter.Spins(window); !spins {
			return nil
		}
	}
	return s.explain(spec.Fail("the loop to sleep in epoll_wait", "%s, and it runs %.0f%% as much as a thread that only spins", while, 100*share))
}
