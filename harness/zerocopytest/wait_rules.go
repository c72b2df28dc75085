package zerocopytest

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime/debug"
	"strings"
	"syscall"
	"time"

	"github.com/asynclab/asynclab/harness/spec"
)

var waitRules = []spec.Rule[lab]{
	{
		Name: "SlowHeadsEnd", Group: "clients", Points: 2, Section: step4,
		Why: "A client that sends a header line every minute holds a connection for ever, and a thousand of them hold all there are: slowloris.",
		Hints: [3]string{
			"When does the time for a request begin, and does a single byte renew it?",
			"One read deadline for the whole head, set before its first byte.",
			"c.SetReadDeadline(time.Now().Add(HeadTimeout)) once for each request",
		},
		Check: slowHeads,
	},
	{
		Name: "StalledTakersEnd", Group: "clients", Points: 2, Section: step4,
		Why: "A client that has asked and never reads holds a connection, and an open file.",
		Hints: [3]string{
			"Which deadline is there while you send?",
			"A write deadline, WriteTimeout from now, and OnError hears of it.",
			"conn.SetWriteDeadline(time.Now().Add(timeout)) before each system call",
		},
		Check: stalledTakers,
	},
	{
		Name: "SlowTakersGoOn", Group: "clients", Points: 2, Section: step4,
		Why: "A large file over a slow line takes an hour. A deadline for the whole of it would end every such download.",
		Hints: [3]string{
			"When is your write deadline set?",
			"Anew whenever the peer has taken something.",
			"in the loop around the system call, not before it",
		},
		Check: slowTakers,
	},
	{
		Name: "CutAnswersLookCut", Group: "clients", Points: 2, Section: step4,
		Why: "The status is out, and the file has changed. All that can still be said is that this is not the end; who fills up with something, or closes as if all were well, hands out a broken file.",
		Hints: [3]string{
			"Send has returned an error in the midst of an answer. What does the client see?",
			"Fewer bytes than Content-Length, and the end of the connection. OnError gets the reason. The next client is served.",
			"c.SetLinger(0); c.Close()",
		},
		Check: cutAnswers,
	},
	{
		Name: "ReplacedFilesAreWhole", Group: "clients", Points: 1, Section: step4,
		Why: "To replace a file, one writes a new one and renames it. Who has the old one open sends it to its end.",
		Hints: [3]string{
			"How often do you open the file for one answer?",
			"Once: what is open stays, whatever the name means meanwhile.",
			"f, err := root.Open(name), and everything else by f",
		},
		Check: replacedFiles,
	},
	{
		Name: "ClientsComeAndGo", Group: "clients", Points: 2, Section: step4,
		Why: "Half of all downloads are broken off. Each has an open file, a connection and perhaps a pipe.",
		Hints: [3]string{
			"What is closed when an answer fails?",
			"The file by a defer beside where it was opened, the connection where its goroutine ends.",
			"defer f.Close()",
		},
		Check: clientsComeAndGo,
	},
	{
		Name: "DrainsAnswers", Group: "clients", Points: 2, Section: step4,
		Why: "A new version is put in place several times a day. Nobody's download shall end for that, and nobody shall wait for those who ask nothing.",
		Hints: [3]string{
			"Shutdown is called. What of a connection in the midst of an answer, and of one that waits for a request?",
			"The first goes on and says Connection: close, if it can; the second ends at once: a read deadline in the past.",
			"draining under the same lock as setting the read deadline",
		},
		Check: drainsAnswers,
	},
	{
		Name: "ShutdownHasAnEnd", Group: "clients", Points: 1, Section: step4,
		Why: "Somebody waits for the process, with a kill -9 in his hand.",
		Hints: [3]string{
			"ctx has ended. Who still holds a connection?",
			"Reset them all, wait for their goroutines, return ctx's error.",
			"case <-ctx.Done(): for c := range conns { c.abort() }; <-ended; return ctx.Err()",
		},
		Check: shutdownHasAnEnd,
	},
}

func slowHeads(r *spec.Run, l lab) error {
	s, err := open(r, l, Options{HeadTimeout: 500 * time.Millisecond}, map[string]int64{"f": 100})
	if err != nil {
		return err
	}
	for _, drip := range []bool{false, true} {
		v, err := visit(r, s.addr, 0)
		if err != nil {
			return err
		}
		if drip {
			r.Step("a client sends a byte of its head now and then")
			stop := make(chan struct{})
			defer close(stop)
			r.Go(func() error {
				for _, err := v.Write([]byte("GET /f HTTP/1.1\r\nHost: lab\r\nX: ")); err == nil; _, err = v.Write([]byte("x")) {
					select {
					case <-stop:
						return nil
					case <-time.After(100 * time.Millisecond):
					}
				}
				return nil
			})
		} else {
			r.Step("a client says nothing")
		}
		all, err := io.ReadAll(io.LimitReader(v, 1000))
		var timeout net.Error
		if errors.As(err, &timeout) && timeout.Timeout() {
			return spec.Fail("the connection to end when HeadTimeout has passed without a whole request", "it is open still (the client sends a byte now and then: %t)", drip)
		}
		if len(all) > 0 && !containsStatus(all, "408") {
			return spec.Fail("408 or nothing at the end of HeadTimeout", "%.60q", all)
		}
	}
	return s.serves("f", 100)
}

func containsStatus(answer []byte, status string) bool {
	return len(answer) >= 12 && string(answer[9:12]) == status
}

// download asks for /f and leaves it to the sockets.
func download(r *spec.Run, s *site) (*visitor, error) {
	v, err := visit(r, s.addr, small)
	if err != nil {
		return nil, err
	}
	if err := v.ask("GET /f HTTP/1.1"); err != nil {
		return nil, err
	}
	return v, begun(r, v.TCPConn)
}

func stalledTakers(r *spec.Run, l lab) error {
	return byEach(r, func(way string) error {
		s, err := open(r, l, Options{Way: way, WriteTimeout: 500 * time.Millisecond}, map[string]int64{"f": 6 << 20})
		if err != nil {
			return err
		}
		v, err := download(r, s)
		if err != nil {
			return err
		}
		if err := r.Until("OnError to be told of the deadline when a client reads nothing for WriteTimeout", func() bool { return s.told(os.ErrDeadlineExceeded) }); err != nil {
			return err
		}
		resp, g, err := v.answer("GET")
		if err != nil && resp == nil {
			return nil // the reset took everything along
		}
		if err == nil && g.n >= 6<<20 {
			return spec.Fail("the answer to be given up", "%s", g)
		}
		return nil
	})
}

func slowTakers(r *spec.Run, l lab) error {
	const n, timeout = 6 << 20, 2 * time.Second
	s, err := open(r, l, Options{WriteTimeout: timeout}, map[string]int64{"f": n})
	if err != nil {
		return err
	}
	v, err := download(r, s)
	if err != nil {
		return err
	}
	r.Step("a client reads for longer than WriteTimeout, a little at a time")
	slow := &slowReader{TCPConn: v.TCPConn, slow: timeout + timeout/2}
	v.in.Reset(slow)
	resp, g, err := v.answer("GET")
	if err != nil {
		return err
	}
	if err := whole(resp, g, n); err != nil {
		return spec.Fail("a client that reads a little all the time to get all, however long it takes", "%v", err)
	}
	return nil
}

// slowReader reads 128 KiB each 150 ms for a while from its first byte on, which is
// sent by then; then as fast as it can.
type slowReader struct {
	*net.TCPConn
	slow  time.Duration
	until time.Time
	n     int
}

func (s *slowReader) Read(p []byte) (int, error) {
	n, err := s.TCPConn.Read(p)
	if s.until.IsZero() && n > 0 {
		s.until = time.Now().Add(s.slow)
	}
	if s.n += n; s.n > 128<<10 && time.Now().Before(s.until) {
		s.n = 0
		time.Sleep(150 * time.Millisecond) // it is a slow client, not a wait for something
	}
	return n, err
}

func cutAnswers(r *spec.Run, l lab) error {
	return byEach(r, func(way string) error {
		s, err := open(r, l, Options{Way: way}, map[string]int64{"f": 6 << 20, "other": 100})
		if err != nil {
			return err
		}
		v, err := download(r, s)
		if err != nil {
			return err
		}
		if err := stalled(r, v.TCPConn); err != nil {
			return err
		}
		r.Step("the file is cut to 3 MiB in the midst of the answer; then the client reads")
		if err := os.Truncate(filepath.Join(s.dir, "f"), 3<<20); err != nil {
			return err
		}
		resp, g, err := v.answer("GET")
		if err == nil && (resp.ContentLength != 6<<20 || g.n >= 6<<20 || g.err == nil) {
			return spec.Fail("fewer than the 6 MiB promised, and the end of the connection", "Content-Length %d; %s", resp.ContentLength, g)
		}
		if err == nil && !errors.Is(g.err, syscall.ECONNRESET) {
			return spec.Fail("a reset where the answer is cut off", "%s", g)
		}
		if err := r.Until("OnError to be told ErrChanged", func() bool { return s.told(l.Changed) }); err != nil {
			return err
		}
		return s.serves("other", 100)
	})
}

func replacedFiles(r *spec.Run, l lab) error {
	return byEach(r, func(way string) error {
		s, err := open(r, l, Options{Way: way}, map[string]int64{"f": 6 << 20, "new": 1000})
		if err != nil {
			return err
		}
		v, err := download(r, s)
		if err != nil {
			return err
		}
		if err := stalled(r, v.TCPConn); err != nil {
			return err
		}
		r.Step("another file is renamed to its name; then the client reads")
		if err := os.Rename(filepath.Join(s.dir, "new"), filepath.Join(s.dir, "f")); err != nil {
			return err
		}
		resp, g, err := v.answer("GET")
		if err != nil {
			return err
		}
		if err := whole(resp, g, 6<<20); err != nil {
			return err
		}
		return s.serves("f", 1000)
	})
}

func clientsComeAndGo(r *spec.Run, l lab) error {
	return inTurns(r, func(way string) error {
		s, err := open(r, l, Options{Way: way}, map[string]int64{"f": 6 << 20})
		if err != nil {
			return err
		}
		before := descriptors()
		r.Step("60 clients begin a download and go")
		for i := range 60 {
			v, err := download(r, s)
			if err != nil {
				return err
			}
			if i%2 == 0 {
				gone(v.TCPConn)
			}
			v.Close()
		}
		if err := settles(r, before); err != nil {
			return err
		}
		if err := leavesNoFile(r, s); err != nil {
			return err
		}
		if err := tellsNobody(r, l, s); err != nil {
			return err
		}
		return s.serves("f", 6<<20)
	})
}

// tellsNobody has a client go in the midst of an answer of a server without OnError.
func tellsNobody(r *spec.Run, l lab, like *site) error {
	r.Step("no OnError, and a client goes in the midst of an answer")
	server, err := l.New(Options{Root: like.dir, Way: bySendfile, HeadTimeout: time.Minute, WriteTimeout: time.Minute})
	if err != nil {
		return err
	}
	s := &site{Server: server, r: r, dir: like.dir}
	if s.addr, s.ended, err = serve(r, server); err != nil {
		return err
	}
	v, err := download(r, s)
	if err != nil {
		return err
	}
	gone(v.TCPConn)
	if err := r.Call("Shutdown to return when its last client has gone", func() error { return s.Shutdown(r.Context()) }); err != nil {
		return err
	}
	return nil
}

// leavesNoFile asks for what is opened and not sent. Without a garbage collector,
// which would close what was forgotten, at some time.
func leavesNoFile(r *spec.Run, s *site) error {
	defer debug.SetGCPercent(debug.SetGCPercent(-1))
	v, err := visit(r, s.addr, 0)
	if err != nil {
		return err
	}
	if err := os.Mkdir(filepath.Join(s.dir, "folder"), 0o755); err != nil {
		return err
	}
	before := descriptors()
	r.Step("on one connection, 60 times each: 304, 416, HEAD, a folder")
	for range 60 {
		for _, q := range [][]string{
			{"GET /f HTTP/1.1", "If-Modified-Since: " + time.Now().Add(time.Hour).UTC().Format(http.TimeFormat)},
			{"GET /f HTTP/1.1", "Range: bytes=99999999-"}, {"HEAD /f HTTP/1.1"}, {"GET /folder HTTP/1.1"},
		} {
			if err := v.ask(q...); err != nil {
				return err
			}
			method, _, _ := strings.Cut(q[0], " ")
			if _, _, err := v.answer(method); err != nil {
				return of(strings.Join(q, ", "), err)
			}
		}
	}
	return settles(r, before)
}

func drainsAnswers(r *spec.Run, l lab) error {
	s, err := open(r, l, Options{}, map[string]int64{"f": 6 << 20})
	if err != nil {
		return err
	}
	idle, err := visit(r, s.addr, 0)
	if err != nil {
		return err
	}
	if err := idle.ask("HEAD /f HTTP/1.1"); err != nil {
		return err
	}
	if _, _, err := idle.answer("HEAD"); err != nil {
		return err
	}
	silent, err := visit(r, s.addr, 0)
	if err != nil {
		return err
	}
	v, err := download(r, s)
	if err != nil {
		return err
	}
	r.Step("Shutdown with one client in the midst of an answer, one between two requests and one that has said nothing")
	ended := r.Go(func() error { return s.Shutdown(r.Context()) })
	if err := idle.end(); err != nil {
		return spec.Fail("the client between two requests to be ended at once", "%v", err)
	}
	if err := silent.end(); err != nil {
		return spec.Fail("the client that has said nothing to be ended at once", "%v", err)
	}
	select {
	case err := <-ended:
		return spec.Fail("Shutdown to wait for the answer", "it returned %v", err)
	default:
	}
	if c, err := net.Dial("tcp", s.addr); err == nil {
		c.SetDeadline(deadline(r))
		io.WriteString(c, request("GET /f HTTP/1.1"))
		if n, _ := c.Read(make([]byte, 1)); n > 0 {
			return spec.Fail("no new client to be served after Shutdown", "one was")
		}
		c.Close()
	}
	resp, g, err := v.answer("GET")
	if err != nil {
		return err
	}
	if err := whole(resp, g, 6<<20); err != nil {
		return err
	}
	if err := v.end(); err != nil {
		return spec.Fail("the connection to end behind its answer", "%v", err)
	}
	if err := result(r, "Shutdown to return nil", ended, nil); err != nil {
		return err
	}
	return result(r, "Serve to return nil after Shutdown", s.ended, nil)
}

// result waits for what a call returns.
func result(r *spec.Run, what string, ended <-chan error, want error) error {
	select {
	case err := <-ended:
		if !errors.Is(err, want) {
			return spec.Fail(what, "it returned %v", err)
		}
		return nil
	case <-r.Context().Done():
		return spec.Fail(what, "it has not returned")
	}
}

func shutdownHasAnEnd(r *spec.Run, l lab) error {
	s, err := open(r, l, Options{}, map[string]int64{"f": 6 << 20})
	if err != nil {
		return err
	}
	before := descriptors()
	for range 3 {
		if _, err := download(r, s); err != nil {
			return err
		}
	}
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	r.Step("Shutdown with three clients that do not read; ctx ends")
	ended := r.Go(func() error { return s.Shutdown(ctx) })
	if err := r.Until("Shutdown to stop accepting", func() bool {
		c, err := net.Dial("tcp", s.addr)
		if err == nil {
			c.Close()
		}
		return err != nil
	}); err != nil {
		return err
	}
	cancel()
	if err := result(r, "Shutdown to return ctx's error", ended, context.Canceled); err != nil {
		return err
	}
	if err := result(r, "Serve to return nil after Shutdown", s.ended, nil); err != nil {
		return err
	}
	if now := descriptors(); now > before+3+40 {
		return spec.Fail("every connection to be closed when Shutdown returns", "%d descriptors are open, %d were before", now, before)
	}
	return closesRoots(r, l, s.dir)
}

// closesRoots has servers come and go. Without a garbage collector, which would
// close a root that was forgotten, at some time.
func closesRoots(r *spec.Run, l lab, dir string) error {
	defer debug.SetGCPercent(debug.SetGCPercent(-1))
	before := descriptors()
	r.Step("60 servers are made, and shut down")
	for range 60 {
		s, err := l.New(Options{Root: dir, Way: byCopy, HeadTimeout: time.Minute, WriteTimeout: time.Minute})
		if err != nil {
			return err
		}
		_, ended, err := serve(r, s)
		if err != nil {
			return err
		}
		if err := r.Call("Shutdown to return", func() error { return s.Shutdown(r.Context()) }); err != nil {
			return err
		}
		if err := result(r, "Serve to return nil after Shutdown", ended, nil); err != nil {
			return err
		}
	}
	return settles(r, before)
}
