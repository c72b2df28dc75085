//go:build !light

package main

import (
	"bytes"
	"context"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"regexp"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// said is what a command has printed so far.
type said struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (s *said) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.Write(p)
}

func (s *said) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.String()
}

var bookAddress = regexp.MustCompile(`http://127\.0\.0\.1:\d+/`)

func TestBookIsServedUntilItIsInterrupted(t *testing.T) {
	ctx, interrupt := context.WithCancel(t.Context())
	defer interrupt()
	out, over := &said{}, make(chan int, 1)
	go func() { over <- execute(ctx, []string{"book", "--port", "0"}, out, io.Discard) }()
	address := ""
	require.Eventually(t, func() bool { address = bookAddress.FindString(out.String()); return address != "" }, 5*time.Minute, 10*time.Millisecond)
	for path, want := range map[string]string{"": "asynclab", "labs/01-blocking/": "Lab 01", "assets/style.css": "--paper"} {
		r, err := http.Get(address + path)
		require.NoError(t, err)
		body, err := io.ReadAll(r.Body)
		r.Body.Close()
		require.NoError(t, err)
		require.Equal(t, http.StatusOK, r.StatusCode)
		require.Contains(t, string(body), want)
	}
	interrupt()
	select {
	case <-over:
	case <-time.After(5 * time.Minute):
		t.Fatal("interrupted, and still serving")
	}
	_, err := http.Get(address)
	require.Error(t, err, "nobody listens any more")
}

func TestBookIsWritten(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "book")
	var out bytes.Buffer
	require.Equal(t, 0, execute(t.Context(), []string{"book", "--out", dir}, &out, io.Discard))
	require.FileExists(t, filepath.Join(dir, "index.html"))
	require.Contains(t, out.String(), "written to "+dir)
	require.NotRegexp(t, bookAddress, out.String())
}

func TestAPortThatIsAskedForIsTheOne(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer taken.Close()
	port := taken.Addr().(*net.TCPAddr).Port
	err = serveBook(t.Context(), http.NotFoundHandler(), port, true, io.Discard)
	require.ErrorContains(t, err, "name another port with --port")

	ctx, interrupt := context.WithCancel(t.Context())
	out, over := &said{}, make(chan error, 1)
	go func() { over <- serveBook(ctx, http.NotFoundHandler(), port, false, out) }()
	require.Eventually(t, func() bool { return bookAddress.MatchString(out.String()) }, time.Minute, 10*time.Millisecond)
	interrupt()
	require.NoError(t, <-over)
}
