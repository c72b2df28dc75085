package capstonetest

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"github.com/gorilla/websocket"
	"golang.org/x/sys/unix"

	"github.com/asynclab/asynclab/harness/spec"
)

// shelf is a folder for a server's kept rooms: "kept" and "other".
type shelf struct {
	r   *spec.Run
	p   Program
	dir string
}

func newShelf(r *spec.Run, p Program) (*shelf, error) {
	dir, err := os.MkdirTemp("", "asynclab-history-")
	if err != nil {
		return nil, err
	}
	r.Cleanup(func() { os.RemoveAll(dir) })
	return &shelf{r, p, filepath.Join(dir, "history")}, nil
}

// start starts a server on the folder.
func (h *shelf) start(args ...string) (*running, error) {
	return start(h.r, h.p, append([]string{"-loops", "2", "-max-conns", "1000", "-history", h.dir, "-history-rooms", "kept,other"}, args...)...)
}

// kill ends the server without a word, as a crash does.
func (s *running) kill() error {
	s.r.Step("the server is killed (SIGKILL)")
	s.cmd.Process.Signal(syscall.SIGKILL)
	_, err := spec.Wait(s.r, "the end of a killed process", s.ended)
	return err
}

// publishes sends texts and wants each back with its number; the first one's is
// from.
func publishes(c *websocket.Conn, from int, texts ...string) error {
	for i, text := range texts {
		if err := firstError(say(c, text), expect(c, "who publishes", fmt.Sprintf("%d %s", from+i, text))); err != nil {
			return err
		}
	}
	return nil
}

func keepsHistory(r *spec.Run, p Program) error {
	h, err := newShelf(r, p)
	if err != nil {
		return err
	}
	s, err := h.start()
	if err != nil {
		return err
	}
	r.Step("a joins a kept room that is empty, and publishes three texts and four bytes")
	a, err := s.dial("/room/kept")
	if err != nil {
		return err
	}
	if err := firstError(expect(a, "a", "=0"), publishes(a, 1, "one", "two", "three")); err != nil {
		return err
	}
	a.WriteMessage(websocket.BinaryMessage, []byte("four"))
	if err := expect(a, "a", "4 four"); err != nil {
		return err
	}
	for path, want := range map[string][]string{
		"/room/kept?since=0":  {"1 one", "2 two", "3 three", "4 four", "=4"},
		"/room/kept?since=2":  {"3 three", "4 four", "=4"},
		"/room/kept?since=4":  {"=4"},
		"/room/kept?since=99": {"=4"},
		"/room/kept":          {"=4"},
		"/room/other?since=0": {"=0"},
	} {
		r.Step("a client joins %s", path)
		c, err := s.dial(path)
		if err != nil {
			return err
		}
		for _, text := range want {
			kind, p, err := c.ReadMessage()
			if err != nil || string(p) != text {
				return spec.Fail(fmt.Sprintf("a client of %s to receive %q", path, want), "in place of %q: %.40q, %v", text, p, err)
			}
			if (kind == websocket.BinaryMessage) != (text == "4 four") {
				return spec.Fail("history to know text from binary", "%q came as kind %d", text, kind)
			}
		}
		c.Close()
	}
	return s.restOfHistory(a)
}

// restOfHistory is what else a kept room promises, beside one that is not kept.
func (s *running) restOfHistory(a *websocket.Conn) error {
	s.r.Step("a sender with a name publishes in the kept room")
	named, err := s.dial("/room/kept?sender=me&since=3")
	if err != nil {
		return err
	}
	if err := firstError(expect(named, "a sender with a name", "4 four"), expect(named, "a sender with a name", "=4"),
		say(named, "1 hello"), expect(named, "a sender with a name", "5 1 hello"), expect(a, "a", "5 1 hello")); err != nil {
		return err
	}
	s.r.Step("a room that is not kept")
	loose, err := s.dial("/room/loose")
	if err != nil {
		return err
	}
	if err := firstError(say(loose, "plain"), expect(loose, "a member of a room that is not kept", "plain")); err != nil {
		return err
	}
	for _, path := range []string{"/room/loose?since=0", "/room/kept?since=x", "/room/kept?since=-1"} {
		if status, err := s.status(path); err != nil || status != 400 {
			return spec.Fail("status 400 for "+path, "%d %v", status, err)
		}
	}
	return nil
}

// reader is a member of a kept room that wants each number once, in order.
type reader struct {
	conn  *websocket.Conn
	since int
	texts []string // since+1 and what follows
	marks int      // "=N" so far
}

func (s *running) reader(since int) (*reader, error) {
	c, err := s.dial(fmt.Sprintf("/room/kept?since=%d", since))
	return &reader{conn: c, since: since}, err
}

func (k *reader) last() int { return k.since + len(k.texts) }

// next reads one message.
func (k *reader) next() error {
	_, p, err := k.conn.ReadMessage()
	if err != nil {
		return spec.Fail(fmt.Sprintf("number %d for a client that joined with since=%d", k.last()+1, k.since), "%v", err)
	}
	if mark, ok := strings.CutPrefix(string(p), "="); ok {
		k.marks++
		if n, err := strconv.Atoi(mark); err != nil || n != k.last() || k.marks > 1 {
			return spec.Fail(fmt.Sprintf(`"=%d" once, between history and what is new`, k.last()), "it received %.40q, the %d. of its kind", p, k.marks)
		}
		return nil
	}
	digits, text, _ := strings.Cut(string(p), " ")
	if n, err := strconv.Atoi(digits); err != nil || n != k.last()+1 {
		return spec.Fail(fmt.Sprintf("number %d for a client that joined with since=%d: each number once, in order", k.last()+1, k.since), "it received %.40q", p)
	}
	k.texts = append(k.texts, text)
	return nil
}

// to reads up to number n and the mark.
func (k *reader) to(n int) error {
	for k.last() < n || k.marks == 0 {
		if err := k.next(); err != nil {
			return err
		}
	}
	return nil
}

// same wants what k has to be what all other readers have.
func (k *reader) same(all []string) error {
	for i, text := range k.texts {
		if n := k.since + i; n < len(all) && all[n] != text {
			return spec.Fail(fmt.Sprintf("number %d to be the same for everybody: %.40q", n+1, all[n]), "one that joined with since=%d received %.40q", k.since, text)
		}
	}
	return nil
}

func historyHasNoGap(r *spec.Run, p Program) error {
	const publishers, each, joiners = 2, 600, 24
	h, err := newShelf(r, p)
	if err != nil {
		return err
	}
	s, err := h.start("-queue-bytes", "16777216", "-loops", "4")
	if err != nil {
		return err
	}
	first, err := s.reader(0)
	if err != nil {
		return err
	}
	r.Step("%d clients publish %d messages each; meanwhile %d clients join, each with another since", publishers, each, joiners)
	failed := make(chan error, publishers+joiners)
	for i := range publishers {
		c, err := s.dial("/room/kept")
		if err != nil {
			return err
		}
		go func() { failed <- publishAndHear(c, fmt.Sprintf("p%d", i), each) }()
	}
	var all []*reader
	for i := range joiners {
		if err := first.to((i + 1) * publishers * each / (joiners + 1)); err != nil {
			return firstOf(failed, err)
		}
		late, err := s.reader(first.last() * (i % 5) / 4)
		if err != nil {
			return err
		}
		all = append(all, late)
		go func() { failed <- late.to(publishers * each) }()
	}
	if err := first.to(publishers * each); err != nil {
		return firstOf(failed, err)
	}
	for range publishers + joiners {
		if err := <-failed; err != nil {
			return err
		}
	}
	for _, late := range all {
		if err := late.same(first.texts); err != nil {
			return err
		}
	}
	return nil
}

// firstOf returns what the others failed with, if they did, instead of err: theirs
// came first.
func firstOf(failed <-chan error, err error) error {
	for {
		select {
		case e := <-failed:
			if e != nil {
				return e
			}
		default:
			return err
		}
	}
}

// publishAndHear publishes n messages, 16 ahead of those that it has heard from
// itself, so that it is nobody who reads too slowly. It begins when it is told
// that what follows is new: a message from before that it need not hear.
func publishAndHear(c *websocket.Conn, name string, n int) error {
	if _, p, err := c.ReadMessage(); err != nil || !strings.HasPrefix(string(p), "=") {
		return spec.Fail(`"=M" first for a client without since`, "it received %.40q, %v", p, err)
	}
	sent, heard := 0, 0
	for heard < n {
		for sent < min(n, heard+16) {
			if err := say(c, fmt.Sprintf("%s %d", name, sent)); err != nil {
				return err
			}
			sent++
		}
		_, p, err := c.ReadMessage()
		if err != nil {
			return spec.Fail("who publishes to hear itself", "%v", err)
		}
		if strings.Contains(string(p), " "+name+" ") {
			heard++
		}
	}
	return nil
}

func historySurvives(r *spec.Run, p Program) error {
	h, err := newShelf(r, p)
	if err != nil {
		return err
	}
	var heard []string
	for range 3 {
		s, err := h.start("-queue-bytes", "16777216")
		if err != nil {
			return err
		}
		k, err := s.reader(0)
		if err != nil {
			return err
		}
		r.Step("what was heard before, %d messages, must be there; then 300 more are heard while others are under way", len(heard))
		if err := k.to(len(heard)); err != nil {
			return err
		}
		c, err := s.dial("/room/kept")
		if err != nil {
			return err
		}
		go publishAndHear(c, fmt.Sprintf("from %d:", len(heard)), 1<<20) // until the server is killed
		if err := firstError(k.to(k.last()+300), k.same(heard), s.kill()); err != nil {
			return err
		}
		heard = k.texts
	}
	s, err := h.start()
	if err != nil {
		return err
	}
	k, err := s.reader(0)
	if err != nil {
		return err
	}
	if err := k.to(len(heard)); err != nil {
		return err
	}
	r.Step("then one more is published, the server ends in order and starts again")
	if err := firstError(k.same(heard), say(k.conn, "the last"), k.to(k.last()+1), s.terminate(), s.exits()); err != nil {
		return err
	}
	if s, err = h.start(); err != nil {
		return err
	}
	again, err := s.reader(0)
	if err != nil {
		return err
	}
	return firstError(again.to(k.last()), again.same(k.texts), publishes(again.conn, k.last()+1, "and on"))
}

func historyWaits(r *spec.Run, p Program) error {
	const before, after = 1000, 50
	h, err := newShelf(r, p)
	if err != nil {
		return err
	}
	s, err := h.start("-queue-bytes", "262144")
	if err != nil {
		return err
	}
	a, err := s.dial("/room/kept")
	if err != nil {
		return err
	}
	r.Step("%d messages of 8 KiB are published", before)
	if err := expect(a, "who publishes", "=0"); err != nil {
		return err
	}
	for n := range before {
		if err := publishes(a, n+1, message(n)); err != nil {
			return err
		}
	}
	r.Step("a client joins with since=0 and does not read; %d more are published", after)
	deaf, err := silent(s, "kept?since=0")
	if err != nil {
		return err
	}
	for n := before; n < before+after; n++ {
		if err := publishes(a, n+1, message(n)); err != nil {
			return err
		}
	}
	r.Step("now it reads")
	k := &reader{conn: deaf}
	if err := k.to(before + after); err != nil {
		return err
	}
	for n, text := range k.texts {
		if text != message(n) {
			return spec.Fail(fmt.Sprintf("number %d as it was published", n+1), "it received %.40q", text)
		}
	}
	return nil
}

func logReaderStallsNobody(r *spec.Run, p Program) error {
	read, write, err := os.Pipe()
	if err != nil {
		return err
	}
	r.Cleanup(func() { read.Close() })
	defer write.Close()
	unix.FcntlInt(write.Fd(), unix.F_SETPIPE_SZ, 4096)
	r.Step("standard error is a pipe that nobody reads; with -log-level debug 300 clients come and go")
	s, err := startOn(r, p, nil, write, "-log-level", "debug")
	if err != nil {
		return err
	}
	for i := range 300 {
		c, err := s.dial("/echo")
		if err != nil {
			return err
		}
		if err := firstError(say(c, "hello"), expect(c, fmt.Sprintf("client %d, although nobody reads the log,", i), "hello")); err != nil {
			return err
		}
		c.Close()
	}
	return firstError(s.terminate(), s.exits())
}
