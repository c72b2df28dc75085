package meter

import (
	"runtime"
	"sync"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
	"golang.org/x/sys/unix"
)

// Hiccups is how late the machine wakes a thread that asks for nothing else: the
// part of a latency that is no program's, but the kernel's, the other processes' and
// the host's of a virtual machine. It is the idea of Gil Tene's jHiccup.
type Hiccups struct {
	stop  chan struct{}
	ended chan struct{}
	once  sync.Once
	late  *hdrhistogram.Histogram // of the thread's until ended is closed
}

// nap is between two looks: 500 a second are a hundredth of a core at most.
const nap = 2 * time.Millisecond

// WatchHiccups begins to watch. End it with Stop: it has a thread.
func WatchHiccups() *Hiccups {
	h := &Hiccups{stop: make(chan struct{}), ended: make(chan struct{}), late: NewHistogram()}
	go h.watch()
	return h
}

func (h *Hiccups) watch() {
	defer close(h.ended)
	runtime.LockOSThread() // Go's own timers and queues are not asked
	defer runtime.UnlockOSThread()
	for {
		began := time.Now()
		ts := unix.NsecToTimespec(nap.Nanoseconds())
		unix.Nanosleep(&ts, nil) // a signal that ends it early is not late
		late := max(0, time.Since(began)-nap)
		// Who sleeps through 20 ms would have seen ten hiccups: 18 ms, 16 ms, ...
		h.late.RecordCorrectedValue(late.Microseconds(), nap.Microseconds())
		select {
		case <-h.stop:
			return
		default:
		}
	}
}

// Stop ends the watch and returns what it has seen, one nap at least, in
// microseconds; it waits for the nap that is under way. It may be called again,
// from any goroutine, and returns the same.
func (h *Hiccups) Stop() *hdrhistogram.Histogram {
	h.once.Do(func() { close(h.stop) })
	<-h.ended
	return h.late
}
