package capstone

import (
	"context"

	websocket "github.com/asynclab/asynclab/solutions/15-websocket"
)

// Shutdown tells every client that the server goes away (1001), waits until all
// have answered or close-timeout has passed for them, and ends Run. Meanwhile
// new clients are answered 503. When ctx ends first, what is left is closed at
// once, and ctx's error returned. Any goroutine but a loop's, any number of
// times, also before Run.
func (s *Server) Shutdown(ctx context.Context) error {
	s.draining.Store(true)
	// Before the goodbye: it comes behind what is meant for a client.
	s.senders.close(ctx)
	s.history.close(ctx)
	if s.running.Load() {
		for i, sh := range s.shards {
			s.reactor.Post(i, sh.farewell)
		}
		for _, sh := range s.shards {
			select {
			case <-sh.empty:
			case <-ctx.Done():
			}
		}
	}
	err := s.reactor.Shutdown(ctx)
	if !s.running.Load() {
		s.end()
	}
	return err
}

// farewell says goodbye to every client of this loop.
func (sh *shard) farewell() {
	for _, c := range sh.clients {
		c.close(websocket.GoingAway, "the server is shutting down")
	}
	sh.checkEmpty()
}

// checkEmpty tells Shutdown when the last client has gone.
func (sh *shard) checkEmpty() {
	if !sh.server.draining.Load() || len(sh.clients) > 0 {
		return
	}
	select {
	case <-sh.empty: // it knows
	default:
		close(sh.empty)
	}
}
