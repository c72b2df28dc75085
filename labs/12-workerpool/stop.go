package workerpool

import (
	"context"
	"errors"
)

// Stop accepts nothing any more, has everything run that was accepted, and waits
// until the workers have ended. Submits that wait for room return ErrStopped.
// When ctx ends first it goes on as StopNow does, and returns ctx's error
// without waiting. It may be called more than once; each call waits.
func (p *Pool) Stop(ctx context.Context) error {
	return errors.New("not implemented: step 6, the end")
}

// StopNow accepts nothing any more, ends the context of all tasks, and discards
// those that have not begun: their result is ErrStopped. It waits until those
// that run have ended, or ctx has: then it returns ctx's error.
func (p *Pool) StopNow(ctx context.Context) error {
	return errors.New("not implemented: step 1, workers and a queue: what New starts must end")
}
