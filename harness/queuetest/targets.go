package queuetest

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/asynclab/asynclab/harness/meter"
	"github.com/asynclab/asynclab/harness/spec"
)

var targets = []spec.Target[lab]{
	{
		Name: "group-commit", Title: "records of 64 producers on the disk in a second, against an fsync for each", Points: 5, Section: "Targets",
		Why:  "An fsync takes as long for one record as for a thousand. With 64 producers who wait, that is what there is to win.",
		Unit: "x-fsync-each", Goal: spec.AtLeast, Bound: 10,
		Hints: [3]string{
			"How many records are in a batch of yours? Stats tells: Records by Batches.",
			"What comes while one fsync runs is the next batch, all of it.",
			"See OneSyncForMany.",
		},
		Measure: groupCommit,
	},
	{
		Name: "records", Title: "records of 100 bytes on the disk for a second of CPU time", Points: 4, Section: "Targets",
		Why:  "When one fsync serves ten thousand records, it does not count any more, and what a record costs is yours: a lock, a copy, a checksum.",
		Unit: "records/CPU-s", Goal: spec.AtLeast, Bound: 1_000_000,
		Hints: [3]string{
			"What is done for a record, and what for a batch?",
			"For a record: room, the lock, a copy, a note of whom to tell. Wake the committer for a batch, and compute the CRC of it once.",
			"make profile LAB=14 shows the lines.",
		},
		Measure: records,
	},
	{
		Name: "allocations", Title: "allocations in a million appends", Points: 3, Section: "Targets",
		Why:  "A batch's memory is used again. What is allocated for a record is collected for a record.",
		Unit: "allocations/Mrecord", Goal: spec.AtMost, Bound: 50_000,
		Hints: [3]string{
			"What is made for a record?",
			"Copy it into the batch that fills, and keep the batch's slices when it has been written.",
			"type batch struct { data []byte; dones []func(int64, error) }, and a list of free ones",
		},
		Measure: allocations,
	},
	{
		Name: "opening", Title: "bytes that Open reads, of a log of 64 segments", Points: 2, Section: "Targets",
		Why:  "A server that reads a terabyte through before it starts is down for an hour. Full segments were synced; their index says all that Open has to know.",
		Unit: "segments", Goal: spec.AtMost, Bound: 3,
		Hints: [3]string{
			"What does Open have to know of a segment that is full?",
			"Where it ends, and its index: both are in a small file that was written when it became full.",
			"See IndexIsRebuilt: loadIndex, and scan only where that fails.",
		},
		Measure: opening,
	},
	{
		Name: "fetching", Title: "CPU time of a GB to a socket: read and write of 64 KiB, against FetchTo", Points: 2, Section: "Targets",
		Why:  "A record is appended once and fetched by every consumer. With sendfile it is never copied into the program at all.",
		Unit: "x-copying", Goal: spec.AtLeast, Bound: 1.3,
		Hints: [3]string{
			"How much does one FetchTo send, and through whose memory?",
			"All whole batches up to maxBytes in one go, by lab 09's Send.",
			"zerocopy.Send(tcp, file.File, position, n, zerocopy.Sendfile)",
		},
		Measure: fetching,
	},
}

// onDisk is a directory on a disk: on a file system in memory an fsync costs
// nothing, and says nothing.
func onDisk(r *spec.Run) (string, error) {
	for _, above := range []string{os.TempDir(), "/var/tmp", "."} {
		var fs unix.Statfs_t
		if unix.Statfs(above, &fs) != nil || fs.Type == unix.TMPFS_MAGIC {
			continue
		}
		dir, err := os.MkdirTemp(above, "asynclab-queue-")
		if err == nil {
			r.Cleanup(func() { os.RemoveAll(dir) })
			return dir, nil
		}
	}
	return "", spec.Fail("a directory on a disk", "%s and /var/tmp are in memory: set TMPDIR to one that is not", os.TempDir())
}

func median(all []float64) float64 {
	slices.Sort(all)
	return all[len(all)/2]
}

const crowd = 64

// groupCommit alternates between the log and an fsync for each record.
func groupCommit(r *spec.Run, l lab) (spec.Sample, error) {
	dir, err := onDisk(r)
	if err != nil {
		return spec.Sample{}, err
	}
	var ratios, mine, base, batches []float64
	for round := range 5 {
		naive, err := syncEach(filepath.Join(dir, fmt.Sprint("naive", round)), 4)
		if err != nil {
			return spec.Sample{}, err
		}
		rate, perBatch, err := crowded(r, l, filepath.Join(dir, fmt.Sprint("log", round)), 100)
		if err != nil {
			return spec.Sample{}, err
		}
		ratios, mine, base, batches = append(ratios, rate/naive), append(mine, rate), append(base, naive), append(batches, perBatch)
	}
	return spec.Sample{Value: median(ratios), Also: map[string]float64{"records/s": median(mine), "fsync-each records/s": median(base), "records/fsync": median(batches)}}, nil
}

var hundred = make([]byte, 100)

// syncEach is records a second of 64 producers, with a write and an fsync for
// each.
func syncEach(path string, each int) (float64, error) {
	f, err := os.Create(path)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	var mu sync.Mutex
	return inCrowd(each, func() error {
		mu.Lock()
		defer mu.Unlock()
		if _, err := f.Write(hundred); err != nil {
			return err
		}
		return unix.Fdatasync(int(f.Fd()))
	})
}

// inCrowd has 64 goroutines call do, and returns the calls a second.
func inCrowd(each int, do func() error) (float64, error) {
	began := time.Now()
	var all sync.WaitGroup
	failed := make(chan error, crowd)
	for range crowd {
		all.Go(func() {
			for range each {
				if err := do(); err != nil {
					failed <- err
					return
				}
			}
		})
	}
	all.Wait()
	if len(failed) > 0 {
		return 0, <-failed
	}
	return float64(crowd*each) / time.Since(began).Seconds(), nil
}

func crowded(r *spec.Run, l lab, dir string, each int) (rate, perBatch float64, err error) {
	q, err := l.Open(dir, Options{})
	if err != nil {
		return 0, 0, err
	}
	rate, err = inCrowd(each, func() error { _, err := q.Append(r.Context(), nil, hundred); return err })
	if err != nil {
		return 0, 0, err
	}
	s := q.Stats()
	if s.Records != uint64(crowd*each) || s.Batches == 0 {
		return 0, 0, spec.Fail(fmt.Sprintf("Stats to tell of %d records", crowd*each), "it is %+v", s)
	}
	return rate, float64(s.Records) / float64(s.Batches), q.Close(r.Context())
}

const million = 1_000_000

// flood appends a million records of 100 bytes, and waits until they are
// acknowledged.
func flood(ctx context.Context, q judged) error {
	var told atomic.Int64
	over := make(chan error, 1)
	done := func(_ int64, err error) {
		if err != nil {
			select {
			case over <- err:
			default:
			}
		}
		if told.Add(1) == million {
			close(over)
		}
	}
	for range million {
		if err := q.AppendAsync(ctx, nil, hundred, done); err != nil {
			return err
		}
	}
	return <-over
}

func flooded(r *spec.Run, l lab, measure func(q judged) error) error {
	dir, err := onDisk(r)
	if err != nil {
		return err
	}
	q, err := l.Open(filepath.Join(dir, "log"), Options{RetainBytes: 64 << 20})
	if err != nil {
		return err
	}
	if err := measure(q); err != nil {
		return err
	}
	return q.Close(r.Context())
}

func records(r *spec.Run, l lab) (s spec.Sample, err error) {
	err = flooded(r, l, func(q judged) error {
		var all []float64
		for range 3 {
			runtime.GC()
			before, err := meter.Self()
			if err != nil {
				return err
			}
			if err := flood(r.Context(), q); err != nil {
				return err
			}
			after, err := meter.Self()
			if err != nil {
				return err
			}
			all = append(all, million/before.Until(after).CPU().Seconds())
		}
		counts := q.Stats()
		s = spec.Sample{Value: median(all), Also: map[string]float64{"records/fsync": float64(counts.Records) / float64(counts.Batches)}}
		return nil
	})
	return s, err
}

func allocations(r *spec.Run, l lab) (s spec.Sample, err error) {
	err = flooded(r, l, func(q judged) error {
		var before, after runtime.MemStats
		for range 2 { // the first one is for what is made once
			runtime.ReadMemStats(&before)
			if err := flood(r.Context(), q); err != nil {
				return err
			}
			runtime.ReadMemStats(&after)
		}
		s.Value = float64(after.Mallocs - before.Mallocs)
		return nil
	})
	return s, err
}

func opening(r *spec.Run, l lab) (spec.Sample, error) {
	const size = 32 << 10
	d := newDisk()
	o := Options{FS: d, SegmentBytes: size, IndexBytes: 1 << 10, MaxBatch: 2 << 10}
	q, err := l.Open(logDir, o)
	if err != nil {
		return spec.Sample{}, err
	}
	for len(d.segments()) < 64 {
		var all sync.WaitGroup
		for range 100 {
			all.Add(1)
			if err := q.AppendAsync(r.Context(), nil, hundred, func(int64, error) { all.Done() }); err != nil {
				return spec.Sample{}, err
			}
		}
		all.Wait()
	}
	if err := q.Close(r.Context()); err != nil {
		return spec.Sample{}, err
	}
	_, want := q.Bounds()
	_, _, before := d.counts()
	if q, err = l.Open(logDir, o); err != nil {
		return spec.Sample{}, err
	}
	_, _, after := d.counts()
	if _, next := q.Bounds(); next != want {
		return spec.Sample{}, spec.Fail(fmt.Sprintf("the log to end with %d", want), "it ends with %d", next)
	}
	return spec.Sample{Value: float64(after-before) / size, Also: map[string]float64{"bytes": float64(after - before)}}, q.Close(r.Context())
}

// fetching compares what a GB costs the sender by FetchTo and through a buffer.
// The receiver drops what comes without looking at it. The best of fifteen runs
// counts on both sides: a machine that is shared, and a receiver that is woken more
// often, only ever add to what a run costs.
func fetching(r *spec.Run, l lab) (spec.Sample, error) {
	dir, err := onDisk(r)
	if err != nil {
		return spec.Sample{}, err
	}
	q, err := l.Open(filepath.Join(dir, "log"), Options{SegmentBytes: 256 << 20})
	if err != nil {
		return spec.Sample{}, err
	}
	if err := flood(r.Context(), q); err != nil {
		return spec.Sample{}, err
	}
	names, err := filepath.Glob(filepath.Join(dir, "log", "*.log"))
	if err != nil || len(names) != 1 {
		return spec.Sample{}, spec.Fail("one segment", "there are %d: %v", len(names), err)
	}
	f, err := os.Open(names[0])
	if err != nil {
		return spec.Sample{}, err
	}
	defer f.Close()
	var mine, base []float64
	for range 15 {
		a, err := perGB(r, func(c *net.TCPConn) error {
			for at := int64(0); at < million; {
				next, err := q.FetchTo(c, at, 8<<20)
				if err != nil || next == at {
					return fmt.Errorf("FetchTo(%d) returned %d and %w", at, next, err)
				}
				at = next
			}
			return nil
		})
		if err != nil {
			return spec.Sample{}, err
		}
		b, err := perGB(r, func(c *net.TCPConn) error { return copyTo(c, f) })
		if err != nil {
			return spec.Sample{}, err
		}
		mine, base = append(mine, a), append(base, b)
	}
	return spec.Sample{Value: slices.Min(base) / slices.Min(mine), Also: map[string]float64{"CPU-s/GB": slices.Min(mine), "copying CPU-s/GB": slices.Min(base)}}, q.Close(r.Context())
}

func copyTo(c *net.TCPConn, f *os.File) error {
	buf := make([]byte, 64<<10)
	for at := int64(0); ; {
		n, err := f.ReadAt(buf, at)
		if n == 0 {
			return nil
		}
		at += int64(n)
		if _, failed := c.Write(buf[:n]); failed != nil {
			return failed
		}
		if err != nil {
			return nil // io.EOF
		}
	}
}

// perGB is the CPU time of a GB that send sends, in seconds.
func perGB(r *spec.Run, send func(c *net.TCPConn) error) (float64, error) {
	near, far, err := tcpPair(r)
	if err != nil {
		return 0, err
	}
	defer near.Close()
	defer far.Close()
	count := make(chan int64, 1)
	go func() { count <- discard(far) }()
	runtime.GC()
	before, err := meter.Self()
	if err != nil {
		return 0, err
	}
	if err := send(near); err != nil {
		return 0, err
	}
	near.CloseWrite()
	n := <-count
	after, err := meter.Self()
	if err != nil {
		return 0, err
	}
	if n < million*100 {
		return 0, spec.Fail("100,000,000 bytes to come, and more", "%d did", n)
	}
	return before.Until(after).CPU().Seconds() / float64(n) * 1e9, nil
}

// discard counts what comes. The kernel drops it without a copy: tcp(7),
// MSG_TRUNC.
func discard(c *net.TCPConn) (total int64) {
	raw, err := c.SyscallConn()
	if err != nil {
		return 0
	}
	buf := make([]byte, 1<<20)
	for {
		var n int
		failed := raw.Read(func(fd uintptr) bool {
			n, _, err = unix.Recvfrom(int(fd), buf, unix.MSG_TRUNC)
			return err != unix.EAGAIN
		})
		if failed != nil || err != nil || n <= 0 {
			return total
		}
		total += int64(n)
	}
}
