package retry

import (
	"context"
	"errors"
	"net"
	"time"
)

// ServerOptions is the configuration of a [Server]. Zero values are the defaults
// that the comments name; NewServer refuses negative ones.
type ServerOptions struct {
	// Handle works on a call. It runs on the loop's goroutine and must not
	// block: what takes time goes elsewhere (lab 12), and calls reply from
	// there. reply may be called from any goroutine, once; what comes after
	// the first time is ignored. An error becomes a RemoteError at the client,
	// and so do a panic and an answer that does not fit into MaxMessage; but
	// ErrBusy refuses the call: then nothing must have been done. ctx ends with
	// the call's deadline, with the reply, or when the client gives the call up,
	// unless it has a key: another try may come for the answer. body is Handle's
	// to keep. Required.
	Handle func(ctx context.Context, body []byte, reply func(body []byte, err error))

	MaxMessage int // of a frame's payload, in bytes; 0 means 1 MiB
	MaxRunning int // calls that Handle works on; 0 means 1024
	MaxWaiting int // behind these; above it calls are refused as busy; 0 means 1024, -1 means none

	Keys   int           // answers to calls with a key that are remembered; 0 means 100,000
	KeyAge time.Duration // and how long; 0 means 10 minutes

	Sessions       int           // sessions without a connection that are remembered; 0 means 10,000
	SessionAge     time.Duration // and how long; 0 means a minute
	SessionPushes  int           // pushes of a session that are not acknowledged; above it the session ends; 0 means 1024
	SessionAnswers int           // answers of a session that its client may ask for again; 0 means 10,000

	// Now is the clock for deadlines in the queue and for ages; it is read on
	// the loop's goroutine. nil means time.Now.
	Now func() time.Time
}

// ServerStats is what a server has done and holds.
type ServerStats struct {
	Worked     uint64 // calls that Handle was called for
	Duplicates uint64 // calls answered with the work of another one
	Expired    uint64 // calls whose time was over before work on them began
	Busy       uint64 // calls refused
	Running    int
	Waiting    int
	Keys       int // remembered answers of calls with a key
	Sessions   int
	Connected  int // sessions that have a connection
}

// Server is the other side: what a client needs to try again safely.
type Server struct {
	// Yours to add: lab 03's loop, and what belongs to its goroutine: sessions, keys, who waits.
}

// NewServer returns a server that does not listen yet.
func NewServer(o ServerOptions) (*Server, error) {
	return nil, errors.New("not implemented: step 8, the server")
}

// Listen opens a listening socket and returns its address. Before Run.
func (s *Server) Listen(addr string) (net.Addr, error) {
	return nil, errors.New("not implemented: step 8, the server")
}

// Run serves on the calling goroutine until Shutdown.
func (s *Server) Run() error {
	return errors.New("not implemented: step 8, the server")
}

// Shutdown sends what is queued, closes every connection, and waits for Run to
// end, or for ctx, as lab 03's does. Answers that come later reach nobody.
func (s *Server) Shutdown(ctx context.Context) error {
	return errors.New("not implemented: step 8, the server")
}

// Stats returns the counts as they are at one instant. Any goroutine but the
// loop's, after the call of Run.
func (s *Server) Stats() ServerStats {
	return ServerStats{} // not implemented: step 8, the server
}
