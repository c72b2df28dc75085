package zerocopytest

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/asynclab/asynclab/harness/spec"
)

// site is a server under a check, with a folder of its own.
type site struct {
	Server
	r     *spec.Run
	dir   string
	addr  string
	ended <-chan error // what Serve returned

	mu   sync.Mutex
	errs []error // what OnError was told
}

// open serves a folder with files of the sizes given: name, size, name, size.
func open(r *spec.Run, l lab, o Options, files map[string]int64) (*site, error) {
	dir, err := folder(r)
	if err != nil {
		return nil, err
	}
	for name, n := range files {
		if err := put(dir, name, n); err != nil {
			return nil, err
		}
	}
	s := &site{r: r, dir: dir}
	o.Root, o.OnError = dir, s.note
	if o.Way == "" {
		o.Way = bySendfile
	}
	if o.HeadTimeout == 0 {
		o.HeadTimeout = 5 * time.Minute
	}
	if o.WriteTimeout == 0 {
		o.WriteTimeout = 5 * time.Minute
	}
	if s.Server, err = l.New(o); err != nil {
		return nil, err
	}
	s.addr, s.ended, err = serve(r, s.Server)
	return s, err
}

// serve lets a server serve a free port until the check ends.
func serve(r *spec.Run, s Server) (addr string, ended <-chan error, err error) {
	// Connections take over the listener's buffers: small ones let a peer that
	// does not read be noticed soon.
	ln, err := listen(small)
	if err != nil {
		return "", nil, err
	}
	ended = r.Go(func() error { return s.Serve(ln) })
	r.Cleanup(func() {
		now, cancel := context.WithCancel(context.Background())
		cancel()
		go s.Shutdown(now)
		ln.Close()
	})
	return ln.Addr().String(), ended, nil
}

func (s *site) note(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.errs = append(s.errs, err)
}

// told reports whether OnError was told of an error that is target.
func (s *site) told(target error) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, err := range s.errs {
		if errors.Is(err, target) {
			return true
		}
	}
	return false
}

// visitor is one connection to a site.
type visitor struct {
	*net.TCPConn
	in   *bufio.Reader
	last error // with which the connection has ended; nil: regularly
}

// visit connects. room bounds what the client's kernel keeps; 0: its choice.
func visit(r *spec.Run, addr string, room int) (*visitor, error) {
	c, err := dial(addr, room)
	if err != nil {
		return nil, err
	}
	r.Cleanup(func() { c.Close() })
	c.SetReadDeadline(deadline(r))
	return &visitor{TCPConn: c, in: bufio.NewReader(c)}, nil
}

// ask sends a request: its first line, and further ones, without the CRLFs.
func (v *visitor) ask(lines ...string) error {
	_, err := io.WriteString(v, request(lines...))
	return err
}

func request(lines ...string) string {
	return strings.Join(append(lines, "Host: lab", "", ""), "\r\n")
}

// answer reads one answer, with its body.
func (v *visitor) answer(method string) (*http.Response, got, error) {
	resp, err := http.ReadResponse(v.in, &http.Request{Method: method})
	if err != nil {
		return nil, got{}, spec.Fail("an answer", "%v", err)
	}
	from := int64(0)
	fmt.Sscanf(resp.Header.Get("Content-Range"), "bytes %d-", &from)
	return resp, receive(resp.Body, from, 32<<10), nil
}

// end expects the server's end of the connection, with nothing before it.
func (v *visitor) end() error {
	rest, err := io.ReadAll(io.LimitReader(v.in, 200))
	v.last = err
	if len(rest) > 0 {
		return spec.Fail("the connection to end", "%q came", rest)
	}
	var timeout net.Error
	if errors.As(err, &timeout) && timeout.Timeout() {
		return spec.Fail("the connection to end", "it is open still")
	}
	return nil
}

// get asks one question on a connection of its own.
func (s *site) get(lines ...string) (*http.Response, got, error) {
	v, err := visit(s.r, s.addr, 0)
	if err != nil {
		return nil, got{}, err
	}
	defer v.Close()
	if err := v.ask(lines...); err != nil {
		return nil, got{}, err
	}
	method, _, _ := strings.Cut(lines[0], " ")
	return v.answer(method)
}

// serves expects a file of n bytes, on a connection of its own.
func (s *site) serves(name string, n int64) error {
	resp, g, err := s.get("GET /" + name + " HTTP/1.1")
	if err != nil {
		return err
	}
	return whole(resp, g, n)
}

// whole expects an answer with a whole file.
func whole(resp *http.Response, g got, n int64) error {
	if resp.StatusCode != 200 || resp.ContentLength != n || g.n != n || g.bad >= 0 || g.err != nil {
		return spec.Fail(fmt.Sprintf("200 and all %d bytes of the file", n), "%d, Content-Length %d; %s", resp.StatusCode, resp.ContentLength, g)
	}
	return nil
}
