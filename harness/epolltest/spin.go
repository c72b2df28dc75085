package epolltest

import (
	"runtime"

	"github.com/asynclab/asynclab/harness/meter"
	"github.com/asynclab/asynclab/harness/spec"
)

// sleeps expects the loop not to turn in vain.
func (s *serving) sleeps(while string) error {
	s.r.Step("%s: look at this process's CPU time", while)
	runtime.GC() // not while it is looked at
	share, rests := meter.Rests(s.r.Context())
	if rests {
		return nil
	}
	return s.explain(spec.Fail("the loop to sleep in epoll_wait", "%s, and it runs %.0f%% as much as a thread that only spins", while, 100*share))
}
