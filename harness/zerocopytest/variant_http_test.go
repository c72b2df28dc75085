package zerocopytest

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// variantServer is net/http's server, whose handler mends what its ServeContent
// sees otherwise, and looks after the file and the deadlines.
type variantServer struct {
	o     Options
	fault fault
	root  *os.Root
	http  *http.Server

	mu   sync.Mutex
	open map[net.Conn]bool
	busy sync.WaitGroup
}

func newVariantServer(o Options, f fault) (Server, error) {
	switch o.Way {
	case byCopy, byMmap, bySendfile, bySplice:
	default:
		if f != "accepts anything" {
			return nil, errors.New("nonsense")
		}
	}
	if (o.HeadTimeout <= 0 || o.WriteTimeout <= 0 || o.MaxHead < 0) && f != "accepts anything" {
		return nil, errors.New("nonsense")
	}
	root, err := os.OpenRoot(o.Root)
	if err != nil {
		return nil, err
	}
	s := &variantServer{o: o, fault: f, root: root, open: map[net.Conn]bool{}}
	s.http = &http.Server{Handler: s, ReadHeaderTimeout: o.HeadTimeout, IdleTimeout: o.HeadTimeout, MaxHeaderBytes: max(o.MaxHead, 1000), ConnState: s.state}
	s.http.ConnContext = func(ctx context.Context, c net.Conn) context.Context { return context.WithValue(ctx, connKey{}, c) }
	if f == "no head timeout" || f == "each byte renews" {
		s.http.ReadHeaderTimeout, s.http.IdleTimeout = 0, 0
	}
	return s, nil
}

type connKey struct{} // finds a request's connection in its context

func (s *variantServer) state(c net.Conn, to http.ConnState) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch to {
	case http.StateNew:
		s.open[c] = true
		s.busy.Add(1)
	case http.StateClosed, http.StateHijacked:
		if s.open[c] {
			delete(s.open, c)
			s.busy.Done()
		}
	}
}

func (s *variantServer) Serve(ln net.Listener) error {
	switch s.fault {
	case "each byte renews", "bodies are requests", "a bound for the connection", "ends with what is unread":
		ln = &wrapping{ln, s}
	}
	err := s.http.Serve(ln)
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return err
}

// wrapping and wrapped are for faults that net/http does not have.
type wrapping struct {
	net.Listener
	s *variantServer
}

func (w *wrapping) Accept() (net.Conn, error) {
	c, err := w.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &wrapped{Conn: c, s: w.s}, nil
}

type wrapped struct { // without CloseWrite
	net.Conn
	s    *variantServer
	read int
}

func (w *wrapped) Read(p []byte) (int, error) {
	if w.s.fault == "each byte renews" {
		w.SetReadDeadline(time.Now().Add(w.s.o.HeadTimeout))
	}
	n, err := w.Conn.Read(p)
	if w.read += n; w.read > 8<<10 && w.s.fault == "a bound for the connection" {
		return 0, io.EOF
	}
	if w.s.fault == "bodies are requests" {
		for _, name := range []string{"Content-Length", "Transfer-Encoding"} {
			if i := bytes.Index(p[:n], []byte(name)); i >= 0 {
				p[i] = 'X'
			}
		}
	}
	return n, err
}

func (s *variantServer) Shutdown(ctx context.Context) error {
	if s.fault != "the root stays open" {
		defer s.root.Close()
	}
	switch s.fault {
	case "ends everything":
		return s.http.Close()
	case "ctx is not looked at":
		return s.http.Shutdown(context.Background())
	}
	go s.endSilent()
	if err := s.http.Shutdown(ctx); err == nil {
		return nil
	}
	s.http.Close()
	return ctx.Err()
}

// endSilent closes what has said nothing: net/http waits 5 s for those.
func (s *variantServer) endSilent() {}

func (s *variantServer) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	if req.Method != "GET" && req.Method != "HEAD" && s.fault != "any method" {
		if s.fault != "405 alone" {
			w.Header().Set("Allow", "GET, HEAD")
		}
		http.Error(w, "no", http.StatusMethodNotAllowed)
		return
	}
	if s.fault == "always closes" {
		w.Header().Set("Connection", "close")
	}
	f, info, err := s.file(req.URL.Path)
	if err != nil {
		if s.fault == "missing files are empty" {
			return
		}
		http.Error(w, "no", http.StatusNotFound)
		return
	}
	if s.fault != "files stay open" {
		defer f.Close()
	} else {
		kept = append(kept, f)
	}
	if s.fault == "what is not sent stays open" && len(req.Header) > 0 {
		if again, _, err := s.file(req.URL.Path); err == nil {
			kept = append(kept, again)
		}
	}
	if s.conditions(w, req, info) {
		return
	}
	w.Header().Set("Accept-Ranges", "bytes")
	if path.Ext(info.Name()) == "" || s.fault == "one type for all" {
		w.Header().Set("Content-Type", "application/octet-stream")
	}
	out := &taken{ResponseWriter: w, s: s, control: http.NewResponseController(w)}
	out.arm(true)
	in := &watched{File: f, s: s, first: info, name: req.URL.Path}
	if s.fault == "HEAD is GET" && req.Method == "HEAD" {
		s.byHand(w, in, info)
		return
	}
	at := info.ModTime()
	if s.fault == "no time" {
		at = time.Time{}
	}
	http.ServeContent(out, req, info.Name(), at, in)
	err = in.err
	if err == nil {
		err = out.err
	}
	switch {
	case err != nil && s.fault == "somebody must be told":
		go s.o.OnError(err) // net/http recovers a panic here
	case err != nil && s.o.OnError != nil && s.fault != "errors are kept":
		s.o.OnError(err)
	}
	if err != nil {
		if c, ok := req.Context().Value(connKey{}).(*net.TCPConn); ok && s.fault != "cut is a regular end" {
			c.SetLinger(0)
		}
		panic(http.ErrAbortHandler)
	}
}

var kept []*os.File

// byHand answers HEAD with a body.
func (s *variantServer) byHand(w http.ResponseWriter, in io.Reader, info fs.FileInfo) {
	c, _, err := w.(http.Hijacker).Hijack()
	if err != nil {
		return
	}
	defer c.Close()
	resp := http.Response{StatusCode: 200, ProtoMajor: 1, ProtoMinor: 1, ContentLength: info.Size(), Body: io.NopCloser(in)}
	resp.Write(c)
}

// conditions mends what ServeContent sees otherwise. It reports true when it
// has answered.
func (s *variantServer) conditions(w http.ResponseWriter, req *http.Request, info fs.FileInfo) bool {
	h := req.Header
	switch s.fault {
	case "If-Range is not looked at":
		h.Del("If-Range")
	case "later is the same":
		if at, err := http.ParseTime(h.Get("If-Range")); err == nil && at.After(info.ModTime()) {
			h.Del("If-Range")
		}
	case "never 304":
		h.Del("If-Modified-Since")
	case "nanoseconds count":
		if at, err := http.ParseTime(h.Get("If-Modified-Since")); err == nil && info.ModTime().After(at) {
			h.Del("If-Modified-Since")
		}
	case "any time is 304":
		if h.Get("If-Modified-Since") != "" {
			w.WriteHeader(http.StatusNotModified)
			return true
		}
	}
	value := h.Get("Range")
	if value == "" {
		return false
	}
	unit, rest, _ := strings.Cut(value, "=")
	switch {
	case req.Method == "HEAD", !strings.EqualFold(unit, "bytes"), s.fault == "no ranges":
		h.Del("Range")
		return false
	case rest == "-0" && s.fault != "nothing is 206":
		w.Header().Set("Content-Range", "bytes */"+itoa(info.Size()))
		http.Error(w, "no", http.StatusRequestedRangeNotSatisfiable)
		return true
	}
	h.Set("Range", "bytes="+rest)
	first, last, _ := strings.Cut(rest, "-")
	switch {
	case s.fault == "the end is not in it" && first != "" && last != "":
		h.Set("Range", "bytes="+first+"-"+itoa(max(atoi(last)-1, 0)))
	case s.fault == "the last ones are the first ones" && first == "" && last != "":
		h.Set("Range", "bytes=0-"+itoa(max(atoi(last)-1, 0)))
	case s.fault == "behind the end is all" && atoi(first) >= info.Size():
		h.Del("Range")
	}
	return false
}

func itoa(n int64) string {
	b := []byte{}
	for n >= 10 {
		b = append([]byte{byte('0' + n%10)}, b...)
		n /= 10
	}
	return string(append([]byte{byte('0' + n)}, b...))
}

func atoi(s string) (n int64) {
	for _, c := range []byte(s) {
		if c < '0' || c > '9' {
			return 0
		}
		n = n*10 + int64(c-'0')
	}
	return n
}

func (s *variantServer) file(name string) (*os.File, fs.FileInfo, error) {
	if strings.HasSuffix(name, "/") {
		name += "index.html"
	}
	clean := strings.TrimPrefix(path.Clean("/"+name), "/")
	var f *os.File
	var err error
	switch s.fault {
	case "cleans the path":
		f, err = os.OpenFile(filepath.Join(s.o.Root, clean), unix.O_NONBLOCK, 0)
	case "joins the path":
		f, err = os.OpenFile(s.o.Root+"/"+name, unix.O_NONBLOCK, 0)
	case "waits for a pipe":
		f, err = s.root.Open(clean)
	default:
		f, err = s.root.OpenFile(clean, unix.O_NONBLOCK, 0)
	}
	if err != nil {
		return nil, nil, err
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() && s.fault != "everything is a file" {
		err = fs.ErrNotExist
	}
	if err != nil {
		f.Close()
	}
	return f, info, err
}

// taken sets the write deadline, and keeps the error that ServeContent drops.
type taken struct {
	http.ResponseWriter
	s       *variantServer
	control *http.ResponseController
	err     error
}

func (t *taken) arm(first bool) {
	switch {
	case t.s.fault == "no write timeout":
	case t.s.fault == "one deadline for all" && !first:
	default:
		t.control.SetWriteDeadline(time.Now().Add(t.s.o.WriteTimeout))
	}
}

func (t *taken) Write(p []byte) (n int, err error) {
	for n < len(p) && err == nil {
		t.arm(false)
		var k int
		k, err = t.ResponseWriter.Write(p[n:min(n+4096, len(p))])
		n += k
	}
	if err != nil {
		t.err = err
	}
	return n, err
}

// watched is a file whose changes are errors.
type watched struct {
	*os.File
	s     *variantServer
	first fs.FileInfo
	name  string
	at    int64
	err   error
}

func (w *watched) Seek(off int64, whence int) (int64, error) {
	n, err := w.File.Seek(off, whence)
	w.at = n
	return n, err
}

func (w *watched) Read(p []byte) (int, error) {
	f := w.File
	if w.s.fault == "opens again for each piece" {
		if again, info, err := w.s.file(w.name); err == nil {
			defer again.Close()
			f, w.first = again, info
		}
	}
	now, err := f.Stat()
	if err != nil {
		return 0, err
	}
	changed := now.Size() != w.first.Size() || !now.ModTime().Equal(w.first.ModTime())
	n, err := f.ReadAt(p, w.at)
	w.at += int64(n)
	switch {
	case changed && w.s.fault == "fills up":
		if left := w.first.Size() - w.at; n == 0 && left > 0 {
			n = int(min(left, int64(len(p))))
			clear(p[:n])
			w.at += int64(n)
			err = nil
		}
	case changed && w.s.fault == "cut is silent":
	case changed:
		w.err = errChanged
		return 0, errChanged
	}
	if n > 0 {
		err = nil
	}
	return n, err
}
