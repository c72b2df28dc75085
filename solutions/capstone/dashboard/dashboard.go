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

//go:embed index.html
var page []byte

// Handler serves the page at /, one snapshot as JSON at /api/stats, and one every
// interval at /api/stream (text/event-stream), until the request ends. snapshot is
// called by many goroutines.
func Handler(snapshot func() Snapshot, interval time.Duration) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		w.Write(page)
	})
	mux.HandleFunc("GET /api/stats", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		json.NewEncoder(w).Encode(snapshot())
	})
	mux.HandleFunc("GET /api/stream", func(w http.ResponseWriter, r *http.Request) {
		stream(w, r, snapshot, interval)
	})
	return mux
}

func stream(w http.ResponseWriter, r *http.Request, snapshot func() Snapshot, interval time.Duration) {
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("Cache-Control", "no-store")
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	flush := http.NewResponseController(w)
	for {
		text, err := json.Marshal(snapshot())
		if err != nil {
			return
		}
		if _, err := fmt.Fprintf(w, "data: %s\n\n", text); err != nil || flush.Flush() != nil {
			return
		}
		select {
		case <-ticker.C:
		case <-r.Context().Done():
			return
		}
	}
}
