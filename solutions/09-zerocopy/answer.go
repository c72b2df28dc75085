package zerocopy

import (
	"errors"
	"fmt"
	"io/fs"
	"mime"
	"net/http"
	"os"
	"path"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// answer answers one request. keep says whether the connection goes on; an
// error says that the answer was not sent whole.
func (c *conn) answer(req *http.Request) (keep bool, err error) {
	r := c.s.reply(req)
	if r.file != nil {
		defer r.file.Close()
	}
	if req.Method == http.MethodHead || r.status == http.StatusNotModified {
		r.file, r.body = nil, nil // the head says what it would have been
	}
	// A body that came with the request was not read: the next request cannot
	// be found behind it.
	keep = !req.Close && req.ContentLength == 0 && !c.s.stopped()
	return keep, c.send(r, keep)
}

// reply decides what to answer.
func (s *Server) reply(req *http.Request) *reply {
	switch {
	case req.ProtoMajor != 1:
		return refusal(http.StatusHTTPVersionNotSupported)
	case req.Host == "" && req.ProtoAtLeast(1, 1):
		return refusal(http.StatusBadRequest) // RFC 9112, 3.2
	case req.Method != http.MethodGet && req.Method != http.MethodHead:
		r := refusal(http.StatusMethodNotAllowed)
		r.set("Allow", "GET, HEAD")
		return r
	}
	f, info, err := s.open(req.URL.Path)
	if err != nil {
		return refusal(statusOf(err))
	}
	return fileReply(req, f, info)
}

// refusal is an answer without a file.
func refusal(status int) *reply {
	r := newReply(status)
	r.text(http.StatusText(status))
	return r
}

// errNoFile says that there is something at a path, but not a file.
var errNoFile = errors.New("not a regular file")

// open opens the file that a request's path names, inside of the root. Without
// O_NONBLOCK a named pipe would hold the goroutine until somebody writes to it.
func (s *Server) open(name string) (*os.File, fs.FileInfo, error) {
	if !strings.HasPrefix(name, "/") {
		return nil, nil, fs.ErrNotExist
	}
	if strings.HasSuffix(name, "/") {
		name += "index.html"
	}
	f, err := s.root.OpenFile(path.Clean(name)[1:], os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, nil, err
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = errNoFile
	}
	if err != nil {
		f.Close()
		return nil, nil, err
	}
	return f, info, nil
}

// statusOf says which answer an error of open is. That a path leaves the root
// is answered like a file that is not there.
func statusOf(err error) int {
	switch {
	case errors.Is(err, fs.ErrPermission):
		return http.StatusForbidden
	case errors.Is(err, syscall.EMFILE), errors.Is(err, syscall.ENFILE), errors.Is(err, syscall.ENOMEM):
		return http.StatusServiceUnavailable // ours, and it will pass
	case errors.Is(err, syscall.EIO):
		return http.StatusInternalServerError
	}
	return http.StatusNotFound
}

// fileReply decides what of a file is answered, and owns f until it returns it
// in the reply.
func fileReply(req *http.Request, f *os.File, info fs.FileInfo) *reply {
	r := newReply(http.StatusOK)
	r.file, r.info, r.length = f, info, info.Size()
	modified := info.ModTime().UTC().Truncate(time.Second) // what a date in HTTP can say
	r.set("Last-Modified", modified.Format(http.TimeFormat))
	if since, err := http.ParseTime(req.Header.Get("If-Modified-Since")); err == nil && !modified.After(since) {
		r.status = http.StatusNotModified
		return r
	}
	r.set("Accept-Ranges", "bytes")
	asked, found := askedRange(req, modified, info.Size())
	switch {
	case !found:
	case asked.n == 0:
		r.status, r.length, r.file = http.StatusRequestedRangeNotSatisfiable, 0, nil
		f.Close()
		r.set("Content-Range", fmt.Sprintf("bytes */%d", info.Size()))
		r.text(http.StatusText(r.status))
		return r
	default:
		r.status, r.from, r.length = http.StatusPartialContent, asked.from, asked.n
		r.set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", asked.from, asked.from+asked.n-1, info.Size()))
	}
	r.set("Content-Type", contentType(info.Name()))
	r.set("X-Content-Type-Options", "nosniff") // a browser shall not guess either
	return r
}

// contentType goes by the name: to look into each file would be a read(2) of
// what is not to be copied.
func contentType(name string) string {
	if t := mime.TypeByExtension(path.Ext(name)); t != "" {
		return t
	}
	return "application/octet-stream"
}
