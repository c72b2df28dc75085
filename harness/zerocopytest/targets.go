package zerocopytest

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"runtime"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"github.com/asynclab/asynclab/harness/meter"
	"github.com/asynclab/asynclab/harness/spec"
)

var targets = []spec.Target[lab]{
	{
		Name: "sendfile-4k", Title: "CPU time of a GB: a loop of 4 KiB copies, against sendfile", Points: 6, Section: "Targets",
		Why:  "The article promises four times. Against the copy that it has in mind, this is what the sender's thread saves.",
		Unit: "x", Goal: spec.AtLeast, Bound: 3,
		Hints: [3]string{
			"How much does one call of yours move?",
			"Ask for 1 MiB; the socket takes what it has room for.",
			"make profile LAB=09 shows what the rest is.",
		},
		Measure: against(4<<10, bySendfile),
	},
	{
		Name: "sendfile-64k", Title: "the same against a loop of 64 KiB copies", Section: "Targets",
		Why:  "The honest opponent: a buffer that fits into the processor's cache, and few calls.",
		Unit: "x", Goal: spec.Shown,
		Measure: against(64<<10, bySendfile),
	},
	{
		Name: "mmap-64k", Title: "the same for write(2) from a mapping, against a loop of 64 KiB copies", Section: "Targets",
		Why:  "The article calls it zero copy. The copy into the buffer is saved, and the faults of the pages are new.",
		Unit: "x", Goal: spec.Shown,
		Measure: against(64<<10, byMmap),
	},
	{
		Name: "splice-proxy", Title: "CPU time of a GB through the proxy: a loop of 4 KiB copies, against splice", Points: 5, Section: "Targets",
		Why:  "Between two sockets there is no sendfile.",
		Unit: "x", Goal: spec.AtLeast, Bound: 1.5,
		Hints: [3]string{
			"How many bytes does one splice move? Look at the size of your pipe.",
			"F_SETPIPE_SZ, up to 1 MiB; one pipe for the life of a direction.",
			"unix.FcntlInt(uintptr(w), unix.F_SETPIPE_SZ, 1<<20)",
		},
		Measure: proxied(4 << 10),
	},
	{
		Name: "splice-proxy-64k", Title: "the same against a loop of 64 KiB copies", Section: "Targets",
		Why:  "The honest opponent, again.",
		Unit: "x", Goal: spec.Shown,
		Measure: proxied(64 << 10),
	},
	{
		Name: "small-files", Title: "CPU time of a 4 KiB file on a kept connection: net/http's file server, against yours", Points: 5, Section: "Targets",
		Why:  "What is saved on large files must not be lost on small ones, of which there are more.",
		Unit: "x", Goal: spec.AtLeast, Bound: 1,
		Hints: [3]string{
			"How many system calls does an answer take?",
			"open, fstat, the head with MSG_MORE, sendfile, close. Parse into what you have; make no second reader for each request.",
			"make profile LAB=09 shows the lines.",
		},
		Measure: smallFiles,
	},
	{
		Name: "waiting-memory", Title: "user memory of a download that waits, by sendfile", Points: 4, Section: "Targets",
		Why:  "A thousand slow clients are a thousand waiting downloads: what each holds meanwhile is the price of the model. A copy holds its buffer of 64 KiB, too.",
		Unit: "B/download", Goal: spec.AtMost, Bound: 24_000,
		Hints: [3]string{
			"What does a connection keep while it waits?",
			"A goroutine, a bufio.Reader of 4 KiB, the request. No buffer for the body.",
			"make profile LAB=09 FLAGS=-memprofile shows who allocates.",
		},
		Measure: waitingMemory,
	},
}

const gigabyte = 1e9

// against compares a plain copy through a buffer with a way of the lab, by the
// CPU time of the thread that sends. The receiver has the kernel drop what
// comes, on a thread of its own.
func against(buffer int, way string) func(*spec.Run, lab) (spec.Sample, error) {
	return func(r *spec.Run, l lab) (spec.Sample, error) {
		const n = 128 << 20
		f, err := numbered(n)
		if err != nil {
			return spec.Sample{}, err
		}
		buf := make([]byte, buffer)
		copies := func(c *net.TCPConn) error {
			for off := int64(0); off < n; off += int64(len(buf)) {
				if _, err := f.ReadAt(buf, off); err != nil {
					return err
				}
				if _, err := c.Write(buf); err != nil {
					return err
				}
			}
			return nil
		}
		sends := func(c *net.TCPConn) error {
			k, err := l.Send(c, f, 0, n, way)
			if err == nil && k != n {
				err = spec.Fail(fmt.Sprintf("Send of %d bytes", n), "it returned %d", k)
			}
			return err
		}
		return compare(n, copies, sends)
	}
}

// compare takes the ratio of two ways to send n bytes, in turns.
func compare(n int64, base, mine func(c *net.TCPConn) error) (spec.Sample, error) {
	var ratios, a, b []float64
	for range 5 {
		x, err := threadTime(n, base)
		if err != nil {
			return spec.Sample{}, err
		}
		y, err := threadTime(n, mine)
		if err != nil {
			return spec.Sample{}, err
		}
		ratios, a, b = append(ratios, x/y), append(a, x), append(b, y)
	}
	return spec.Sample{Value: median(ratios), Also: map[string]float64{"copy CPU s/GB": median(a), "CPU s/GB": median(b)}}, nil
}

func median(all []float64) float64 {
	slices.Sort(all)
	return all[len(all)/2]
}

// threadTime is the CPU time of the thread that sends, in seconds for each GB.
func threadTime(n int64, send func(c *net.TCPConn) error) (float64, error) {
	c, peer, err := connected(0)
	if err != nil {
		return 0, err
	}
	defer c.Close()
	defer peer.Close()
	count := make(chan int64, 1)
	go func() { count <- discard(peer) }()
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var before, after unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_THREAD, &before); err != nil {
		return 0, err
	}
	if err := send(c); err != nil {
		return 0, err
	}
	if err := unix.Getrusage(unix.RUSAGE_THREAD, &after); err != nil {
		return 0, err
	}
	c.Close()
	if k := <-count; k != n {
		return 0, spec.Fail(fmt.Sprintf("%d bytes to come", n), "%d did", k)
	}
	nanos := after.Utime.Nano() + after.Stime.Nano() - before.Utime.Nano() - before.Stime.Nano()
	return float64(nanos) / float64(n), nil // ns for each byte are s for each GB
}

// proxied compares relays: one that copies through a buffer, and the lab's. The
// two ends are in this process too, and cost the same in both.
func proxied(buffer int) func(*spec.Run, lab) (spec.Sample, error) {
	return func(r *spec.Run, l lab) (spec.Sample, error) {
		const n = 128 << 20
		f, err := numbered(n)
		if err != nil {
			return spec.Sample{}, err
		}
		var ratios, a, b []float64
		for range 5 {
			x, err := relayTime(r, f, n, func(target string) (Server, error) { return copying{target, buffer}, nil })
			if err != nil {
				return spec.Sample{}, err
			}
			y, err := relayTime(r, f, n, func(target string) (Server, error) {
				return l.NewProxy(ProxyOptions{Target: target, Way: bySplice, DialTimeout: time.Minute, IdleTimeout: time.Minute})
			})
			if err != nil {
				return spec.Sample{}, err
			}
			ratios, a, b = append(ratios, x/y), append(a, x), append(b, y)
		}
		return spec.Sample{Value: median(ratios), Also: map[string]float64{"copy CPU s/GB, both ends too": median(a), "CPU s/GB, both ends too": median(b)}}, nil
	}
}

// relayTime is the CPU time of this process while n bytes go through a proxy,
// in seconds for each GB. The sender uses sendfile, the receiver drops.
func relayTime(r *spec.Run, f *os.File, n int64, make func(target string) (Server, error)) (float64, error) {
	target, err := listen(0)
	if err != nil {
		return 0, err
	}
	defer target.Close()
	p, err := make(target.Addr().String())
	if err != nil {
		return 0, err
	}
	ln, err := listen(0)
	if err != nil {
		return 0, err
	}
	r.Go(func() error { return p.Serve(ln) })
	defer p.Shutdown(r.Context())
	c, err := dial(ln.Addr().String(), 0)
	if err != nil {
		return 0, err
	}
	defer c.Close()
	peer, err := target.Accept()
	if err != nil {
		return 0, err
	}
	defer peer.Close()
	before, err := meter.Self()
	if err != nil {
		return 0, err
	}
	r.Go(func() error {
		defer c.CloseWrite()
		_, err := io.Copy(c, io.NewSectionReader(f, 0, n)) // by sendfile: neither end is what is measured
		return err
	})
	if k := discard(peer.(*net.TCPConn)); k != n {
		return 0, spec.Fail(fmt.Sprintf("%d bytes to come through the proxy", n), "%d did", k)
	}
	after, err := meter.Self()
	return before.Until(after).CPU().Seconds() / float64(n) * gigabyte, err
}

// copying relays one connection in one direction, by a plain loop.
type copying struct {
	target string
	buffer int
}

func (p copying) Serve(ln net.Listener) error {
	defer ln.Close()
	c, err := ln.Accept()
	if err != nil {
		return err
	}
	defer c.Close()
	t, err := net.Dial("tcp", p.target)
	if err != nil {
		return err
	}
	defer t.Close()
	_, err = io.CopyBuffer(struct{ io.Writer }{t}, struct{ io.Reader }{c}, make([]byte, p.buffer))
	return err
}

func (copying) Shutdown(context.Context) error { return nil }

// smallFiles compares with net/http's own file server.
func smallFiles(r *spec.Run, l lab) (spec.Sample, error) {
	s, err := open(r, l, Options{}, map[string]int64{"f": 4096})
	if err != nil {
		return spec.Sample{}, err
	}
	theirs, err := listen(0)
	if err != nil {
		return spec.Sample{}, err
	}
	std := &http.Server{Handler: http.FileServer(http.Dir(s.dir))}
	r.Go(func() error { return std.Serve(theirs) })
	defer std.Close()
	var ratios, a, b []float64
	for range 5 {
		x, err := requestTime(theirs.Addr().String())
		if err != nil {
			return spec.Sample{}, err
		}
		y, err := requestTime(s.addr)
		if err != nil {
			return spec.Sample{}, err
		}
		ratios, a, b = append(ratios, x/y), append(a, x), append(b, y)
	}
	return spec.Sample{Value: median(ratios), Also: map[string]float64{"net/http µs/request, client too": median(a), "µs/request, client too": median(b)}}, nil
}

// requestTime is the CPU time of a request and its answer, in µs; the client's
// is in it.
func requestTime(addr string) (float64, error) {
	const requests = 10_000
	c, err := dial(addr, 0)
	if err != nil {
		return 0, err
	}
	defer c.Close()
	in := bufio.NewReaderSize(c, 16<<10)
	ask := []byte(request("GET /f HTTP/1.1"))
	before, err := meter.Self()
	if err != nil {
		return 0, err
	}
	for range requests {
		if _, err := c.Write(ask); err != nil {
			return 0, err
		}
		for {
			line, err := in.ReadSlice('\n')
			if err != nil {
				return 0, err
			}
			if len(line) == 2 {
				break
			}
		}
		if _, err := in.Discard(4096); err != nil {
			return 0, err
		}
	}
	after, err := meter.Self()
	return before.Until(after).CPU().Seconds() * 1e6 / requests, err
}

// waitingMemory looks at many downloads whose clients do not read.
func waitingMemory(r *spec.Run, l lab) (spec.Sample, error) {
	const clients = 200
	s, err := open(r, l, Options{}, map[string]int64{"f": 6 << 20})
	if err != nil {
		return spec.Sample{}, err
	}
	if err := s.serves("f", 6<<20); err != nil {
		return spec.Sample{}, err
	}
	// The clients are descriptors and nothing else.
	var conns []*net.TCPConn
	for range clients {
		c, err := dial(s.addr, small)
		if err != nil {
			return spec.Sample{}, err
		}
		defer c.Close()
		conns = append(conns, c)
	}
	before := meter.UserMemory()
	for _, c := range conns {
		if _, err := io.WriteString(c, request("GET /f HTTP/1.1")); err != nil {
			return spec.Sample{}, err
		}
	}
	for _, c := range conns {
		if err := begun(r, c); err != nil {
			return spec.Sample{}, err
		}
	}
	if err := stalled(r, conns[clients-1]); err != nil {
		return spec.Sample{}, err
	}
	return spec.Sample{Value: float64(meter.UserMemory()-before) / clients}, nil
}
