package capstonetest

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"

	"github.com/gorilla/websocket"

	"github.com/asynclab/asynclab/harness/spec"
)

// running is a started program.
type running struct {
	r     *spec.Run
	cmd   *exec.Cmd
	addr  string
	admin string
	said  lines
	ended chan struct{} // closed when the process has ended
}

// lines keeps what a program prints on standard error.
type lines struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// start starts the program with flags, and waits until it says where it listens.
// It is killed when the check ends.
func start(r *spec.Run, p Program, args ...string) (*running, error) {
	return startWith(r, p, nil, args...)
}

func startWith(r *spec.Run, p Program, env []string, args ...string) (*running, error) {
	return startOn(r, p, env, nil, args...)
}

// startOn is startWith for a program whose standard error goes to a file; nil
// keeps it for a failure to tell.
func startOn(r *spec.Run, p Program, env []string, said *os.File, args ...string) (*running, error) {
	r.Step("the server is started with %s", strings.Join(args, " "))
	s := &running{r: r, ended: make(chan struct{})}
	args = append([]string{"-listen", "127.0.0.1:0", "-admin", "127.0.0.1:0"}, args...)
	s.cmd = exec.CommandContext(r.Context(), p.Command[0], append(p.Command[1:], args...)...)
	s.cmd.Env = append(append(os.Environ(), "GORACE=halt_on_error=1 exitcode=66 atexit_sleep_ms=0"), append(p.Env, env...)...)
	s.cmd.Stderr = &s.said
	if said != nil {
		s.cmd.Stderr = said
	}
	out, err := s.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := s.cmd.Start(); err != nil {
		return nil, err
	}
	told := make(chan string, 2)
	go func() {
		for scan := bufio.NewScanner(out); scan.Scan(); {
			for _, what := range []string{"listening on ", "admin on "} {
				if addr, ok := strings.CutPrefix(scan.Text(), what); ok {
					told <- addr
				}
			}
		}
		s.cmd.Wait()
		close(s.ended)
	}()
	r.Cleanup(func() {
		s.cmd.Process.Kill()
		<-s.ended
	})
	for _, into := range []*string{&s.addr, &s.admin} {
		select {
		case *into = <-told:
		case <-s.ended:
			return nil, spec.Fail(`the server to print "listening on ADDRESS" and "admin on ADDRESS"`, "it ended: %s: %s", s.cmd.ProcessState, s.said.String())
		case <-r.Context().Done():
			return nil, spec.Fail(`the server to print "listening on ADDRESS" and "admin on ADDRESS"`, "nothing of the kind came")
		}
	}
	return s, nil
}

// terminate sends SIGTERM.
func (s *running) terminate() error {
	s.r.Step("the server is sent SIGTERM")
	return s.cmd.Process.Signal(syscall.SIGTERM)
}

// exits waits for the end of the process, which must be in order.
func (s *running) exits() error {
	if _, err := spec.Wait(s.r, "the server to end after SIGTERM", s.ended); err != nil {
		return err
	}
	if !s.cmd.ProcessState.Success() {
		return spec.Fail("exit status 0 after SIGTERM", "%s: %s", s.cmd.ProcessState, s.said.String())
	}
	return nil
}

// dial opens a WebSocket to a path. It is closed when the check ends, and fails
// at the check's deadline.
func (s *running) dial(path string, header ...string) (*websocket.Conn, error) {
	c, answer, err := s.try(path, header...)
	if err != nil {
		status := ""
		if answer != nil {
			status = ", status " + answer.Status
		}
		return nil, spec.Fail("a WebSocket to "+path, "%v%s", err, status)
	}
	return c, nil
}

func (s *running) try(path string, header ...string) (*websocket.Conn, *http.Response, error) {
	h := http.Header{}
	for i := 0; i+1 < len(header); i += 2 {
		h.Set(header[i], header[i+1])
	}
	c, answer, err := websocket.DefaultDialer.DialContext(s.r.Context(), "ws://"+s.addr+path, h)
	if err == nil {
		s.r.Cleanup(func() { c.Close() })
		if deadline, ok := s.r.Context().Deadline(); ok {
			c.SetReadDeadline(deadline)
			c.SetWriteDeadline(deadline)
		}
	}
	return c, answer, err
}

// status is the answer to a handshake that is refused.
func (s *running) status(path string, header ...string) (int, error) {
	c, answer, err := s.try(path, header...)
	switch {
	case err == nil:
		c.Close()
		return 101, nil
	case answer != nil:
		return answer.StatusCode, nil
	}
	return 0, spec.Fail("an HTTP answer to a handshake for "+path, "%v", err)
}

// tcp opens a plain connection.
func (s *running) tcp() (*net.TCPConn, error) {
	c, err := new(net.Dialer).DialContext(s.r.Context(), "tcp", s.addr)
	if err != nil {
		return nil, spec.Fail("a connection", "%v", err)
	}
	s.r.Cleanup(func() { c.Close() })
	if deadline, ok := s.r.Context().Deadline(); ok {
		c.SetDeadline(deadline)
	}
	return c.(*net.TCPConn), nil
}

// stats is what /api/stats says, as far as the rules look.
type stats struct {
	Connections, Accepted, Rooms, Messages, Deliveries int64
	BytesIn                                            int64 `json:"bytes_in"`
	BytesOut                                           int64 `json:"bytes_out"`
	Refused                                            struct{ Total, Rate, Address int64 }
	Drops                                              struct {
		Oldest, Newest, Disconnected int64
		PublishRate                  int64 `json:"publish_rate"`
		Unordered                    int64
	}
	Numbered struct{ Repeated, Lost int64 }
}

func (d stats) dropped() int64 { return d.Drops.Oldest + d.Drops.Newest + d.Drops.Disconnected }

func (s *running) stats() (d stats, err error) {
	text, status, err := s.page("/api/stats")
	if err == nil && status == 200 {
		err = json.Unmarshal(text, &d)
	}
	if err != nil || status != 200 {
		return d, spec.Fail("JSON at /api/stats", "status %d, %v", status, err)
	}
	return d, nil
}

// until waits until the statistics are as they must be.
func (s *running) until(what string, ok func(stats) bool) error {
	var last stats
	var failed error
	err := s.r.Until(what, func() bool {
		now, err := s.stats()
		if s.r.Context().Err() != nil {
			return false // the deadline has cut this look short: what counts is the last whole one
		}
		last, failed = now, err
		return failed != nil || ok(last)
	})
	if failed != nil {
		return failed
	}
	if err != nil {
		return spec.Fail(what, "/api/stats says %+v", last)
	}
	return nil
}

func (s *running) page(path string) (text []byte, status int, err error) {
	request, err := http.NewRequestWithContext(s.r.Context(), http.MethodGet, "http://"+s.admin+path, nil)
	if err != nil {
		return nil, 0, err
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil, 0, spec.Fail("an answer of the admin address", "%v", err)
	}
	defer answer.Body.Close()
	text, err = io.ReadAll(answer.Body)
	return text, answer.StatusCode, err
}

// closeCode reads until the connection ends, and returns the code it ended with.
func closeCode(c *websocket.Conn) (int, error) {
	for {
		if _, _, err := c.ReadMessage(); err != nil {
			if ce, ok := err.(*websocket.CloseError); ok {
				return ce.Code, nil
			}
			return 0, err
		}
	}
}

// expect reads one message, and compares.
func expect(c *websocket.Conn, who, want string) error {
	_, p, err := c.ReadMessage()
	if err != nil {
		return spec.Fail(fmt.Sprintf("%s to receive %.40q", who, want), "%v", err)
	}
	if string(p) != want {
		return spec.Fail(fmt.Sprintf("%s to receive %.40q", who, want), "it received %.40q", p)
	}
	return nil
}

func say(c *websocket.Conn, text string) error {
	if err := c.WriteMessage(websocket.TextMessage, []byte(text)); err != nil {
		return spec.Fail("the server to take a message", "%v", err)
	}
	return nil
}

// swarmContext bounds a swarm by the check.
func swarmContext(r *spec.Run) context.Context { return r.Context() }
