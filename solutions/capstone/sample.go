package capstone

import (
	"bytes"
	"os"
	"runtime"
	"strconv"
	"sync"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
	"golang.org/x/sys/unix"

	"github.com/asynclab/asynclab/solutions/capstone/dashboard"
)

// sampler looks at the server once a second, for whoever wants to see it: the
// latency of the last second can be taken out of the recorders only once.
type sampler struct {
	server *Server
	stop   chan struct{}

	mu   sync.Mutex
	last dashboard.Snapshot      // guarded by mu
	all  *hdrhistogram.Histogram // guarded by mu: since the server began
}

const sampleEvery = time.Second

func newSampler(s *Server) *sampler {
	sm := &sampler{server: s, stop: make(chan struct{}), all: newHistogram()}
	sm.sample()
	return sm
}

// run samples until close.
func (sm *sampler) run() {
	ticker := time.NewTicker(sampleEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
			sm.sample()
		case <-sm.stop:
			return
		}
	}
}

func (sm *sampler) close() { close(sm.stop) }

// snapshot is the newest sample. Any goroutine.
func (sm *sampler) snapshot() dashboard.Snapshot {
	sm.mu.Lock()
	defer sm.mu.Unlock()
	return sm.last
}

// latency is a copy of the histogram since the server began, in microseconds.
func (sm *sampler) latency() *hdrhistogram.Histogram {
	sm.mu.Lock()
	defer sm.mu.Unlock()
	return hdrhistogram.Import(sm.all.Export())
}

func (sm *sampler) sample() {
	second := newHistogram()
	for _, sh := range sm.server.shards {
		sh.latency.empty(second)
	}
	snap := sm.server.snapshot()
	snap.Latency = dashboard.Latency{
		P50: second.ValueAtQuantile(50), P90: second.ValueAtQuantile(90), P99: second.ValueAtQuantile(99),
		P999: second.ValueAtQuantile(99.9), Max: second.Max(), Count: second.TotalCount(),
	}
	sm.mu.Lock()
	defer sm.mu.Unlock()
	sm.last = snap
	sm.all.Merge(second)
}

// snapshot reads every counter. They are not of one instant: that would take a
// lock that every message would have to take, too.
func (s *Server) snapshot() (d dashboard.Snapshot) {
	d.TimeMS, d.Uptime = time.Now().UnixMilli(), time.Since(s.began).Seconds()
	d.Draining = s.draining.Load()
	if s.addr != nil {
		d.WebSocket = "ws://" + s.addr.String()
	}
	d.Rooms = int64(s.rooms.len())
	open := s.reactor.Connections()
	for i, sh := range s.shards {
		c := &sh.counts
		l := dashboard.Loop{Connections: int64(open[i]), Messages: c.messages.Load(), Deliveries: c.deliveries.Load(),
			QueuedBytes: c.queued.Load(), Lag: c.lag.Load() / 1000}
		d.Loops = append(d.Loops, l)
		d.Connections += l.Connections
		d.Messages += l.Messages
		d.Deliveries += l.Deliveries
		d.Accepted += c.accepted.Load()
		d.BytesIn += c.bytesIn.Load()
		d.BytesOut += c.bytesOut.Load()
		d.Refused.Handshake += c.badHandshakes.Load()
		d.Drops.Oldest += c.dropOldest.Load()
		d.Drops.Newest += c.dropNewest.Load()
		d.Drops.Disconnected += c.dropDisconnect.Load()
		d.Drops.PublishRate += c.dropRate.Load()
		d.Closed.Normal += c.closed[endNormal].Load()
		d.Closed.Protocol += c.closed[endProtocol].Load()
		d.Closed.Error += c.closed[endAbnormal].Load() + c.closed[endSlow].Load()
		d.Closed.Zombie += c.zombies.Load()
	}
	d.Refused.Total, d.Refused.Rate, d.Refused.Address = s.gate.given[full].Load(), s.gate.given[tooFast].Load(), s.gate.given[tooMany].Load()
	d.Drops.Unordered = s.senders.refused.Load()
	d.Drops.History = s.history.refused.Load()
	d.Numbered = dashboard.Numbered{Repeated: s.senders.repeated.Load(), Lost: s.senders.lost.Load()}
	d.Limits = dashboard.Limits{Connections: int64(s.config.MaxConns), QueueBytes: int64(s.config.QueueBytes)}
	d.RSS, d.Heap, d.Goroutines, d.CPU = residentBytes(), heapBytes(), int64(runtime.NumGoroutine()), cpuSeconds()
	return d
}

// residentBytes is the second number of /proc/self/statm, in pages (proc(5)).
func residentBytes() int64 {
	stat, err := os.ReadFile("/proc/self/statm")
	fields := bytes.Fields(stat)
	if err != nil || len(fields) < 2 {
		return 0
	}
	pages, _ := strconv.ParseInt(string(fields[1]), 10, 64)
	return pages * int64(os.Getpagesize())
}

func heapBytes() int64 {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// cpuSeconds is what the process has used, in user and system mode.
func cpuSeconds() float64 {
	var u unix.Rusage
	if unix.Getrusage(unix.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano()).Seconds()
}
