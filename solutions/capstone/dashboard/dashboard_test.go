package dashboard

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

const patient = 10 * time.Second

func TestSnapshotIsJSON(t *testing.T) {
	server := newFake("")
	s := httptest.NewServer(Handler(server.snapshot, time.Second))
	defer s.Close()
	answer, err := http.Get(s.URL + "/api/stats")
	require.NoError(t, err)
	defer answer.Body.Close()
	require.Equal(t, http.StatusOK, answer.StatusCode)
	require.Equal(t, "application/json", answer.Header.Get("Content-Type"))
	require.Equal(t, "no-store", answer.Header.Get("Cache-Control"))
	var got Snapshot
	decoder := json.NewDecoder(answer.Body)
	decoder.DisallowUnknownFields()
	require.NoError(t, decoder.Decode(&got))
	require.EqualValues(t, 100_000, got.Connections)
	require.Len(t, got.Loops, 2)
}

// The page and whoever else reads the figures depend on these names.
func TestNamesOfTheFigures(t *testing.T) {
	const want = `{"time_ms":0,"uptime_s":0,"websocket":"","draining":false,` +
		`"connections":0,"accepted":0,"rooms":0,"messages":0,"deliveries":0,"bytes_in":0,"bytes_out":0,` +
		`"refused":{"rate":0,"total":0,"address":0,"handshake":0},` +
		`"drops":{"oldest":0,"newest":0,"disconnected":0,"publish_rate":0,"unordered":0,"history":0},"numbered":{"repeated":0,"lost":0},` +
		`"closed":{"normal":0,"protocol":0,"error":0,"zombie":0},` +
		`"latency_us":{"p50":0,"p90":0,"p99":0,"p999":0,"max":0,"count":0},` +
		`"loops":[{"connections":0,"messages":0,"deliveries":0,"queued_bytes":0,"lag_us":0}],` +
		`"rss_bytes":0,"heap_bytes":0,"goroutines":0,"cpu_seconds":0,"limits":{"connections":0,"queue_bytes":0}}`
	text, err := json.Marshal(Snapshot{Loops: []Loop{{}}})
	require.NoError(t, err)
	require.JSONEq(t, want, string(text))
}

func TestPage(t *testing.T) {
	w := httptest.NewRecorder()
	Handler(newFake("").snapshot, time.Second).ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/", nil))
	require.Equal(t, http.StatusOK, w.Code)
	require.Equal(t, "text/html; charset=utf-8", w.Header().Get("Content-Type"))
	require.Contains(t, w.Header().Get("Content-Security-Policy"), "default-src 'none'")
	require.Equal(t, "nosniff", w.Header().Get("X-Content-Type-Options"))
	for _, foreign := range []string{`src="`, `href="http`, "@import", "innerHTML", "document.write"} {
		require.NotContains(t, w.Body.String(), foreign)
	}
}

func TestOtherRequestsAreRefused(t *testing.T) {
	for _, c := range []struct {
		method, path string
		want         int
	}{
		{http.MethodGet, "/other", http.StatusNotFound},
		{http.MethodGet, "/index.html", http.StatusNotFound},
		{http.MethodGet, "/api/", http.StatusNotFound},
		{http.MethodPost, "/api/stats", http.StatusMethodNotAllowed},
	} {
		w := httptest.NewRecorder()
		Handler(newFake("").snapshot, time.Second).ServeHTTP(w, httptest.NewRequest(c.method, c.path, nil))
		require.Equal(t, c.want, w.Code, "%s %s", c.method, c.path)
	}
}

// openStream gives the answer to a request for the stream, and a channel that is
// closed when its handler has returned.
func openStream(t *testing.T, ctx context.Context, serve func(http.Handler) (url string)) (*http.Response, <-chan struct{}) {
	over := make(chan struct{})
	h := Handler(newFake("").snapshot, time.Millisecond)
	url := serve(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer close(over)
		h.ServeHTTP(w, r)
	}))
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url+"/api/stream", nil)
	require.NoError(t, err)
	answer, err := http.DefaultClient.Do(request)
	require.NoError(t, err)
	t.Cleanup(func() { answer.Body.Close() })
	return answer, over
}

func ended(t *testing.T, over <-chan struct{}) {
	t.Helper()
	select {
	case <-over:
	case <-time.After(patient):
		t.Fatal("the stream's handler still runs")
	}
}

func TestStreamEndsWithTheRequest(t *testing.T) {
	ctx, leave := context.WithCancel(t.Context())
	answer, over := openStream(t, ctx, func(h http.Handler) string {
		s := httptest.NewServer(h)
		t.Cleanup(s.Close)
		return s.URL
	})
	require.Equal(t, "text/event-stream", answer.Header.Get("Content-Type"))
	require.Equal(t, "no-store", answer.Header.Get("Cache-Control"))
	lines := bufio.NewScanner(answer.Body)
	before := int64(0)
	for range 3 { // an event is one line of data and an empty one, and each is newer
		require.True(t, lines.Scan())
		text, found := strings.CutPrefix(lines.Text(), "data: ")
		require.True(t, found, lines.Text())
		var s Snapshot
		require.NoError(t, json.Unmarshal([]byte(text), &s))
		require.Greater(t, s.TimeMS, before)
		before = s.TimeMS
		require.True(t, lines.Scan())
		require.Empty(t, lines.Text())
	}
	leave()
	ended(t, over)
}

// Shutdown waits for requests; a stream has no end of its own.
func TestStreamEndsAtShutdown(t *testing.T) {
	base, cancel := context.WithCancel(t.Context())
	s := &http.Server{BaseContext: func(net.Listener) context.Context { return base }}
	answer, over := openStream(t, t.Context(), func(h http.Handler) string {
		s.Handler = h
		l, err := net.Listen("tcp", "127.0.0.1:0")
		require.NoError(t, err)
		go s.Serve(l)
		t.Cleanup(func() { s.Close() })
		return "http://" + l.Addr().String()
	})
	cancel()
	ctx, done := context.WithTimeout(t.Context(), patient)
	defer done()
	require.NoError(t, s.Shutdown(ctx))
	ended(t, over)
	_, err := io.Copy(io.Discard, answer.Body)
	require.NoError(t, err, "the stream ends as a stream should, not in the middle of an event")
}

// A figure that the page never reads is a figure that nobody sees.
func TestPageReadsEveryFigure(t *testing.T) {
	unused := map[string]bool{"accepted": true, "p90": true, "queue_bytes": true}
	script := string(page)
	var walk func(reflect.Type)
	walk = func(of reflect.Type) {
		for f := range of.Fields() {
			name := f.Tag.Get("json")
			if !unused[name] {
				require.Regexp(t, `\b(\.|\?\.)?`+name+`\b`, script, name)
			}
			switch f.Type.Kind() {
			case reflect.Struct:
				walk(f.Type)
			case reflect.Slice:
				walk(f.Type.Elem())
			}
		}
	}
	walk(reflect.TypeFor[Snapshot]())
}
