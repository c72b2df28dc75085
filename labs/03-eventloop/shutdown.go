package eventloop

import (
	"context"
	"errors"
)

// Shutdown takes who waits in the backlog, for they believe themselves
// connected, and nobody after; delivers what has arrived, sends what is queued,
// closes every connection, and waits until Run has ended. When ctx ends first
// it closes at once, connections with ErrForced, and returns ctx's error. It
// may be called from any goroutine but the loop's, where it would wait for
// itself, more than once, and before Run, which then returns nil at once. A
// callback that blocks holds it up, with ctx ended or not.
func (l *Loop) Shutdown(ctx context.Context) error {
	return errors.New("not implemented: step 7, shutdown")
}
