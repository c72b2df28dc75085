package zerocopytest

import (
	"cmp"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/asynclab/asynclab/harness/spec"
)

var refuseRules = []spec.Rule[lab]{
	{
		Name: "StaysInTheRoot", Group: "refusing", Points: 2, Section: step3,
		Why: "Paths come from strangers. One that leads out of the folder leads to every file of the machine.",
		Hints: [3]string{
			"What does your path become for /../x, for /%2e%2e/x, and behind a symbolic link?",
			"To clean the path does not help against links. os.OpenRoot opens only what is inside, whatever is on the way.",
			"root, err := os.OpenRoot(dir); root.Open(path.Clean(name)[1:])",
		},
		Check: staysInTheRoot,
	},
	{
		Name: "OnlyFiles", Group: "refusing", Points: 1, Section: step3,
		Why: "To open a named pipe waits until somebody writes to it, for ever; a folder has no bytes; a device has too many.",
		Hints: [3]string{
			"What is not a regular file, and what does open(2) do with it?",
			"Open with O_NONBLOCK, look at the mode, and answer 404 for what is no file.",
			"root.OpenFile(name, os.O_RDONLY|unix.O_NONBLOCK, 0); info.Mode().IsRegular()",
		},
		Check: onlyFiles,
	},
	{
		Name: "RefusesWithAStatus", Group: "refusing", Points: 2, Section: step3,
		Why: "What cannot be answered is answered so, with a number that says whose fault it is. A connection that just ends is tried again.",
		Hints: [3]string{
			"Which request, and what came instead of the status?",
			"404, 405 with Allow, 400, 431, 505: each with a body and a length. What cannot be parsed ends the connection behind the answer.",
			"Close with unread bytes in the socket is a reset, which takes the answer along: CloseWrite, read what still comes, then close.",
		},
		Check: refusesWithAStatus,
	},
	{
		Name: "BodyIsNoRequest", Group: "refusing", Points: 1, Section: step3,
		Why: "Bytes that were announced as a body and are read as the next request: so requests are smuggled past a proxy in front of you.",
		Hints: [3]string{
			"A GET may have a Content-Length. Who reads that body?",
			"Nobody here wants it: answer, say Connection: close, and end.",
			"keep := !req.Close && req.ContentLength == 0",
		},
		Check: bodyIsNoRequest,
	},
	{
		Name: "NonsenseIsRefused", Group: "refusing", Points: 1, Section: step3,
		Why: "A server that cannot work says so when it is made.",
		Hints: [3]string{
			"Which options can never work?",
			"An unknown way, no timeout, a negative bound, a root that is not there.",
			"return nil, fmt.Errorf(...)",
		},
		Check: nonsense,
	},
}

func staysInTheRoot(r *spec.Run, l lab) error {
	s, err := open(r, l, Options{}, map[string]int64{"f": 100})
	if err != nil {
		return err
	}
	outside, err := folder(r)
	if err != nil {
		return err
	}
	if err := put(outside, "secret", 100); err != nil {
		return err
	}
	if err := os.Mkdir(filepath.Join(s.dir, "in"), 0o755); err != nil {
		return err
	}
	for link, to := range map[string]string{
		"in/good": "../f", "folder": outside, "bad": filepath.Join(outside, "secret"), "up": "../" + filepath.Base(outside) + "/secret",
	} {
		if err := os.Symlink(to, filepath.Join(s.dir, link)); err != nil {
			return err
		}
	}
	name := filepath.Base(outside) + "/secret"
	for _, path := range []string{"/../" + name, "/in/../../" + name, "/%2e%2e/" + name, "/..%2f" + name, "/in/%2e%2e/%2E%2E/" + name, "/bad", "/up", "/folder/secret", "//../" + name, "/" + outside + "/secret"} {
		r.Step("GET %s", path)
		resp, _, err := s.get("GET " + path + " HTTP/1.1")
		if err != nil {
			return err
		}
		if resp.StatusCode/100 != 4 {
			return spec.Fail("no file outside of the root to be answered", "GET %s: %d", path, resp.StatusCode)
		}
	}
	for _, path := range []string{"in/../f", "in/good", "./f", "%66"} {
		r.Step("GET /%s", path)
		if err := s.serves(path, 100); err != nil {
			return spec.Fail("GET /"+path+", which is inside, to be answered with the file", "%v", err)
		}
	}
	return nil
}

func onlyFiles(r *spec.Run, l lab) error {
	s, err := open(r, l, Options{}, map[string]int64{"f": 100})
	if err != nil {
		return err
	}
	if err := os.Mkdir(filepath.Join(s.dir, "folder"), 0o755); err != nil {
		return err
	}
	if err := syscall.Mkfifo(filepath.Join(s.dir, "pipe"), 0o644); err != nil {
		return err
	}
	for _, path := range []string{"/pipe", "/folder", "/folder/", "/f/", "/f/x", "/missing", "/" + strings.Repeat("x", 300), "/f%00x"} {
		r.Step("GET %.20s", path)
		resp, _, err := s.get("GET " + path + " HTTP/1.1")
		if err != nil {
			return spec.Fail(fmt.Sprintf("GET %.20s to be answered", path), "%v", err)
		}
		if resp.StatusCode != 404 && resp.StatusCode != 400 && resp.StatusCode != 403 {
			return spec.Fail(fmt.Sprintf("GET %.20s to be refused", path), "%d", resp.StatusCode)
		}
	}
	return s.serves("f", 100)
}

func refusesWithAStatus(r *spec.Run, l lab) error {
	s, err := open(r, l, Options{MaxHead: 2000}, map[string]int64{"f": 100})
	if err != nil {
		return err
	}
	for _, q := range []struct {
		what, send string
		status     int
	}{
		{"a file that is not there", request("GET /nothing HTTP/1.1"), 404},
		{"POST", request("POST /f HTTP/1.1"), 405},
		{"DELETE with a body", "DELETE /f HTTP/1.1\r\nHost: lab\r\nContent-Length: 50000\r\n\r\n" + strings.Repeat("x", 50_000), 405},
		{"no Host", "GET /f HTTP/1.1\r\n\r\n", 400},
		{"garbage", strings.Repeat("\x16\x03\x01 not HTTP\r\n", 5) + "\r\n", 400},
		{"a header without a colon", "GET /f HTTP/1.1\r\nHost: lab\r\nnonsense\r\n\r\n", 400},
		{"another version", request("GET /f HTTP/3.0"), 505},
		{"a head above MaxHead", "GET /f HTTP/1.1\r\nHost: lab\r\nCookie: " + strings.Repeat("x", 60_000) + "\r\n\r\n", 431},
		{"a line above MaxHead", "GET /" + strings.Repeat("x", 60_000), 431},
	} {
		r.Step("%s", q.what)
		v, err := visit(r, s.addr, 0)
		if err != nil {
			return err
		}
		if _, err := io.WriteString(v, q.send); err != nil {
			return spec.Fail(q.what+": the server to read on until its answer can be seen", "%v", err)
		}
		resp, g, err := v.answer("GET")
		if err != nil {
			return spec.Fail(fmt.Sprintf("%s to be answered with %d", q.what, q.status), "%v", err)
		}
		if resp.StatusCode != q.status || g.n == 0 || resp.ContentLength != g.n && !resp.Close {
			return spec.Fail(fmt.Sprintf("%s to be answered with %d, a word, and its Content-Length or Connection: close", q.what, q.status), "%d, Content-Length %d, %d bytes", resp.StatusCode, resp.ContentLength, g.n)
		}
		if q.status == 405 && !strings.Contains(resp.Header.Get("Allow"), "GET") {
			return spec.Fail("405 to say what is allowed", "Allow: %q", resp.Header.Get("Allow"))
		}
		if q.status == 400 && q.what != "no Host" || q.status == 431 {
			if err := v.end(); err != nil {
				return spec.Fail(q.what+": the connection to end, for nobody knows where the next request begins", "%v", err)
			}
			if err := cmp.Or(g.err, v.last); q.status == 431 && err != nil {
				return spec.Fail(q.what+": an end and no reset, which could overtake the answer: read what still comes", "%v", err)
			}
		}
	}
	return s.serves("f", 100)
}

func bodyIsNoRequest(r *spec.Run, l lab) error {
	s, err := open(r, l, Options{}, map[string]int64{"f": 100})
	if err != nil {
		return err
	}
	inner := request("GET /f HTTP/1.1")
	for _, send := range []string{
		fmt.Sprintf("GET /f HTTP/1.1\r\nHost: lab\r\nContent-Length: %d\r\n\r\n%s", len(inner), inner),
		fmt.Sprintf("GET /f HTTP/1.1\r\nHost: lab\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n", len(inner), inner),
	} {
		v, err := visit(r, s.addr, 0)
		if err != nil {
			return err
		}
		r.Step("a GET whose body is a request")
		if _, err := io.WriteString(v, send); err != nil {
			return err
		}
		if _, _, err := v.answer("GET"); err != nil {
			return err
		}
		v.CloseWrite()
		v.SetReadDeadline(time.Now().Add(20 * time.Second)) // a server may also read the body, and keep the connection
		if err := v.end(); err != nil {
			return spec.Fail("one answer to a GET with a body", "%v", err)
		}
	}
	return nil
}

func nonsense(r *spec.Run, l lab) error {
	dir, err := folder(r)
	if err != nil {
		return err
	}
	second := time.Second
	for _, o := range []Options{
		{Root: dir, Way: "magic", HeadTimeout: second, WriteTimeout: second},
		{Root: dir, Way: "", HeadTimeout: second, WriteTimeout: second},
		{Root: dir, Way: byCopy, WriteTimeout: second},
		{Root: dir, Way: byCopy, HeadTimeout: second},
		{Root: dir, Way: byCopy, HeadTimeout: -second, WriteTimeout: second},
		{Root: dir, Way: byCopy, HeadTimeout: second, WriteTimeout: second, MaxHead: -1},
		{Root: filepath.Join(dir, "missing"), Way: byCopy, HeadTimeout: second, WriteTimeout: second},
	} {
		if s, err := l.New(o); err == nil {
			s.Shutdown(r.Context())
			return spec.Fail("New to refuse what can never work", "%+v was accepted", o)
		}
	}
	for _, o := range []ProxyOptions{
		{Target: "127.0.0.1:1", Way: bySendfile, DialTimeout: second, IdleTimeout: second},
		{Target: "127.0.0.1:1", Way: bySplice, IdleTimeout: second},
		{Target: "127.0.0.1:1", Way: bySplice, DialTimeout: second},
		{Target: "nowhere", Way: bySplice, DialTimeout: second, IdleTimeout: second},
	} {
		if s, err := l.NewProxy(o); err == nil {
			s.Shutdown(r.Context())
			return spec.Fail("NewProxy to refuse what can never work", "%+v was accepted", o)
		}
	}
	c, _, err := pair(r, 0)
	if err != nil {
		return err
	}
	if s, err := l.NewSender(c, 0); err == nil {
		s.Close()
		return spec.Fail("NewSender to refuse a timeout of 0", "it was accepted")
	}
	f, err := numbered(100)
	if err != nil {
		return err
	}
	if c, _, err = pair(r, 0); err != nil {
		return err
	}
	for _, q := range []struct {
		off, n int64
		way    string
	}{{0, 100, "magic"}, {-1, 50, byCopy}, {0, -1, bySendfile}} {
		if n, err := l.Send(c, f, q.off, q.n, q.way); err == nil || n != 0 {
			return spec.Fail("Send to refuse what makes no sense", "Send of %d bytes from %d by %q returned (%d, %v)", q.n, q.off, q.way, n, err)
		}
	}
	return nil
}
