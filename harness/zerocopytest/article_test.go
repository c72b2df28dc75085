package zerocopytest

import (
	"context"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"

	"golang.org/x/sys/unix"
)

// articleLab is the article's design in our own code: a handler that sets
// headers, takes the connection over, and calls sendfile once, or maps the file
// and writes the mapping. What it has no word for is the variant's.
var articleLab = func() lab {
	l := variantLab("one blocking call")
	others := l.Send
	l.Send = func(c *net.TCPConn, f *os.File, off, n int64, way string) (int64, error) {
		if way != byMmap || off > 0 { // it knows whole files only
			return others(c, f, off, n, way)
		}
		return articleMmap(c, f, n)
	}
	l.New = func(o Options) (Server, error) {
		a := &articleServer{o: o}
		a.http = &http.Server{Handler: a}
		return a, nil
	}
	return l
}()

type articleServer struct {
	o    Options
	http *http.Server
}

func (a *articleServer) Serve(ln net.Listener) error {
	a.http.Serve(ln)
	return nil
}

func (a *articleServer) Shutdown(context.Context) error {
	return a.http.Close()
}

func (a *articleServer) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	f, err := os.Open(filepath.Join(a.o.Root, req.URL.Path))
	if err != nil {
		http.Error(w, "not found", http.StatusNotFound)
		return
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		http.Error(w, "stat", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Length", strconv.FormatInt(info.Size(), 10))
	if a.o.Way == byMmap {
		if _, err := articleMmap(w, f, info.Size()); err != nil {
			http.Error(w, "mmap", http.StatusInternalServerError)
		}
		return
	}
	c, _, err := w.(http.Hijacker).Hijack()
	if err != nil {
		return
	}
	defer c.Close()
	dup, err := c.(*net.TCPConn).File()
	if err != nil {
		return
	}
	defer dup.Close()
	fd := int(dup.Fd())
	unix.SetNonblock(fd, false)
	unix.Sendfile(fd, int(f.Fd()), nil, int(info.Size()))
}

// articleMmap maps the whole file and writes it through a buffer, which touches
// each byte.
func articleMmap(w io.Writer, f *os.File, size int64) (done int64, err error) {
	raw, err := unix.Mmap(int(f.Fd()), 0, int(size), unix.PROT_READ, unix.MAP_SHARED)
	if err != nil {
		return 0, err
	}
	defer unix.Munmap(raw)
	for p := raw; len(p) > 0; {
		n, err := w.Write(append([]byte(nil), p[:min(len(p), 4096)]...))
		if done += int64(n); err != nil {
			return done, err
		}
		p = p[n:]
	}
	return done, nil
}
