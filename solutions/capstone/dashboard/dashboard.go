// Package dashboard shows a server to the people who run it: one page without
// any part from elsewhere, and the figures that it draws.
package dashboard

import (
	_ "embed"
	"encoding/json"
	"fmt"
	"net/http"
	"time"
)

// page is immutable. It holds its own style and script: no build, no network.
//
//go:embed index.html
var page []byte

// policy lets the page run what it holds itself, connect to where it came from
// and to WebSockets (the server's port is another origin), and nothing else: what
// somebody says in the chat could load nothing, even if it became markup.
const policy = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:; " +
	"connect-src 'self' ws: wss:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

// patience is how long one event may take to be written. A browser that has gone
// to sleep holds a goroutine and a socket no longer than that.
const patience = 10 * time.Second

// Handler serves the page at /, one snapshot as JSON at /api/stats, and at
// /api/stream (text/event-stream) one at once and one every interval.
//
// snapshot is called from many goroutines at a time and must not keep a caller
// waiting. interval must be positive.
//
// A stream ends with its request: when the browser goes, at http.Server.Close, or
// when the server's BaseContext is cancelled. http.Server.Shutdown alone waits for
// streams, and so for ever: cancel BaseContext first.
//
// WHATWG HTML, 9.2: server-sent events.
func Handler(snapshot func() Snapshot, interval time.Duration) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) {
		head(w, "text/html; charset=utf-8")
		w.Header().Set("Content-Security-Policy", policy)
		w.Write(page)
	})
	mux.HandleFunc("GET /api/stats", func(w http.ResponseWriter, _ *http.Request) {
		head(w, "application/json")
		json.NewEncoder(w).Encode(snapshot())
	})
	mux.HandleFunc("GET /api/stream", func(w http.ResponseWriter, r *http.Request) {
		stream(w, r, snapshot, interval)
	})
	return mux
}

// head: figures are of now, and a page is of the server that sent it, so neither
// is kept.
func head(w http.ResponseWriter, contentType string) {
	w.Header().Set("Content-Type", contentType)
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("X-Content-Type-Options", "nosniff")
}

func stream(w http.ResponseWriter, r *http.Request, snapshot func() Snapshot, interval time.Duration) {
	head(w, "text/event-stream")
	w.Header().Set("X-Accel-Buffering", "no") // a proxy in between must not save events up
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	for {
		if send(w, snapshot()) != nil {
			return
		}
		select {
		case <-ticker.C:
		case <-r.Context().Done():
			return
		}
	}
}

// send writes one event, and out of every buffer.
func send(w http.ResponseWriter, s Snapshot) error {
	text, err := json.Marshal(s)
	if err != nil {
		return err
	}
	conn := http.NewResponseController(w)
	conn.SetWriteDeadline(time.Now().Add(patience)) // a recorder in a test has none
	if _, err := fmt.Fprintf(w, "data: %s\n\n", text); err != nil {
		return err
	}
	return conn.Flush()
}
