package blockingtest

import (
	"fmt"
	"io"
	"runtime"
	"sync/atomic"
	"syscall"
	"testing/synctest"
	"time"

	"github.com/asynclab/asynclab/harness/spec"
)

var echoRules = []spec.Rule[New]{
	{
		Name: "EchoesEveryByte", Group: "echo", Points: 8, Section: "Step 1: accept and echo",
		Why: "TCP is a stream of bytes: one Read may bring a part of what the peer wrote, or several writes at once. Echo exactly the n bytes that Read returned, for as long as there are any, and close when the peer has ended its side.",
		Hints: [3]string{
			"What does Read return besides an error, and which part of the buffer is new?",
			"Read may return fewer bytes than the buffer holds, and bytes together with an error. Write buf[:n] first, look at the error after.",
			"for { n, err := c.Read(buf); if n > 0 { write buf[:n] }; if err != nil { return } } on the connection's own goroutine; close it at the end.",
		},
		Check: echoesEveryByte,
	},
	{
		Name: "OptionsAreChecked", Group: "echo", Points: 2, Section: "Step 1: accept and echo",
		Why: "A negative bound or timeout is a mistake of the caller's. Taken as it is, it makes a server that never accepts, or ends each connection at once; the constructor is where it shows.",
		Hints: [3]string{
			"Which values of the three options make no sense?",
			"Everything below 0; 0 itself means no bound.",
			"if o.MaxConns < 0 || o.IdleTimeout < 0 || o.WriteTimeout < 0 { return nil, fmt.Errorf(...) }",
		},
		Check: optionsAreChecked,
	},
	{
		Name: "ConnectionsDoNotMix", Group: "echo", Points: 6, Section: "Step 1: accept and echo",
		Why: "Each connection needs a buffer of its own: between a Read and the end of its Write, the bytes in it are still owed to that peer.",
		Hints: [3]string{
			"Two peers are connected, and one gets the other's bytes. What do their goroutines share?",
			"A slice that is kept in the Server is seen by every goroutine.",
			"Make the buffer inside the function that serves one connection: buf := make([]byte, 4096).",
		},
		Check: connectionsDoNotMix,
	},
	{
		Name: "SlowReaderIsWaitedFor", Group: "echo", Points: 8, Section: "Step 1: accept and echo",
		Why: "A peer that sends and does not read must find the server waiting, not buffering: otherwise one peer can fill the memory. Write before you read again, and TCP's own flow control stops the sender.",
		Hints: [3]string{
			"Where do 64 MiB go that were read and could not be written yet?",
			"If reading and writing are two goroutines with a queue between them, the queue needs a bound. One goroutine needs no queue.",
			"Read, then write all of it, then read again. Nothing else.",
		},
		Deadline: 4 * time.Minute, // a buffer of 16 bytes is right, too: 64 MiB are eight million calls then
		Check:    slowReaderIsWaitedFor,
	},
}

func echoesEveryByte(r *spec.Run, new New) error {
	_, addr, err := serveTCP(r, new, Options{})
	if err != nil {
		return err
	}
	for _, size := range []int{1, 100, 4095, 4096, 4097, 65536, 1 << 20} {
		if err := echoOnce(r, addr, size); err != nil {
			return err
		}
	}
	for _, end := range []error{io.EOF, syscall.ECONNRESET} {
		if err := lastBytes(r, new, end); err != nil {
			return err
		}
	}
	return nil
}

// lastBytes has Read return bytes together with an error.
func lastBytes(r *spec.Run, new New, end error) error {
	ln := listen(r)
	if _, err := serve(r, new, Options{}, ln); err != nil {
		return err
	}
	r.Step("Read returns 20 bytes and, in the same call, the error %q", end)
	sent := pattern(7, 20)
	c := ln.dialEnding(sent, end)
	if deadline, ok := r.Context().Deadline(); ok {
		c.SetReadDeadline(deadline)
	}
	if err := expect(c, sent); err != nil {
		return spec.Fail("bytes that come together with an error to be echoed before the end", "%v", err)
	}
	return nil
}

func optionsAreChecked(r *spec.Run, new New) error {
	for _, o := range []Options{{MaxConns: -1}, {IdleTimeout: -time.Second}, {WriteTimeout: -1}} {
		r.Step("New with %+v", o)
		if _, err := new(o); err == nil {
			return spec.Fail(fmt.Sprintf("an error from New for %+v", o), "it returned nil")
		}
	}
	return nil
}

// echoOnce sends size bytes while it reads the answer, ends its side, and
// expects the end of the other one.
func echoOnce(r *spec.Run, addr string, size int) error {
	c, err := dialTCP(r, addr)
	if err != nil {
		return err
	}
	sent := pattern(size, size)
	r.Step("send %d bytes, then CloseWrite", size)
	writing := r.Go(func() error {
		if _, err := c.Write(sent); err != nil {
			return err
		}
		return c.CloseWrite()
	})
	if err := expect(c, sent); err != nil {
		return err
	}
	if err := <-writing; err != nil {
		return err
	}
	r.Step("read the end of the stream")
	return expectEnd(c)
}

// connectionsDoNotMix holds the first connection's bytes in the server, by not
// reading them, while the second one's pass through.
func connectionsDoNotMix(r *spec.Run, new New) error {
	return r.Bubble(func(r *spec.Run) error {
		ln := listen(r)
		if _, err := serve(r, new, Options{}, ln); err != nil {
			return err
		}
		a, b := ln.dial(), ln.dial()
		fromA, fromB := pattern(1, 1000), pattern(2, 1000)
		r.Step("A sends 1000 bytes and does not read the echo yet")
		writingA := r.Go(func() error { _, err := a.Write(fromA); return err })
		synctest.Wait()
		r.Step("B sends 1000 other bytes and reads its echo")
		writingB := r.Go(func() error { _, err := b.Write(fromB); return err })
		if err := expect(b, fromB); err != nil {
			return err
		}
		r.Step("A reads its echo")
		if err := expect(a, fromA); err != nil {
			return err
		}
		a.Close()
		b.Close()
		<-writingA
		<-writingB
		return nil
	})
}

const flood = 64 << 20 // far more than the kernel's buffers hold on both sides

func slowReaderIsWaitedFor(r *spec.Run, new New) error {
	_, addr, err := serveTCP(r, new, Options{})
	if err != nil {
		return err
	}
	c, err := dialTCP(r, addr)
	if err != nil {
		return err
	}
	sent := pattern(7, flood)
	before := heap()
	var taken atomic.Int64
	r.Step("send 64 MiB without reading")
	writing := r.Go(func() error { return writeCounting(c, sent, &taken) })
	if err := standsStill(r, &taken); err != nil {
		return err
	}
	if taken.Load() == flood {
		return spec.Fail("the server to stop reading while its peer takes nothing", "it took all 64 MiB; the heap grew by %d MiB", max(0, heap()-before)>>20)
	}
	r.Step("the sender is stopped after %d KiB; the heap grew by %d KiB", taken.Load()>>10, max(0, heap()-before)>>10)
	if grown := heap() - before; grown > 8<<20 {
		return spec.Fail("memory to stay as it was", "the heap grew by %d MiB", grown>>20)
	}
	r.Step("read everything, and compare")
	if err := expect(c, sent); err != nil {
		return err
	}
	if err := <-writing; err != nil {
		return spec.Fail("all 64 MiB to be taken", "%v", err)
	}
	c.Close()
	return nil
}

func writeCounting(c io.Writer, p []byte, taken *atomic.Int64) error {
	for len(p) > 0 {
		n, err := c.Write(p[:min(len(p), 64<<10)])
		taken.Add(int64(n))
		if err != nil {
			return err
		}
		p = p[n:]
	}
	return nil
}

// standsStill waits until n has not grown for a while, or is at the flood's
// end. On a machine so loaded that it pauses longer, the check sees less than
// it could; it never blames a right server.
func standsStill(r *spec.Run, n *atomic.Int64) error {
	const quiet = 100 // askings, 5 ms apart
	last, same := int64(-1), 0
	return r.Until("the sender to be stopped", func() bool {
		time.Sleep(5 * time.Millisecond)
		now := n.Load()
		if now != last {
			last, same = now, 0
		}
		same++
		return same > quiet || now == flood
	})
}

// heap returns the bytes of live objects, after a collection.
func heap() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}
