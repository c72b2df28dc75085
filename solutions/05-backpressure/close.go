package backpressure

// Close ends the sending: Sends that wait, and all that come later, return
// ErrClosed, and these are not counted. What is queued can still be received;
// a receiver that finds nothing returns ErrClosed. A second Close does nothing.
func (c *Channel[T]) Close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed = true
	for l := range c.senders {
		c.dismiss(&c.senders[l])
	}
	c.dismiss(&c.receivers) // they wait, so the queue is empty
}

// dismiss sends everybody in the line home. mu is held.
func (c *Channel[T]) dismiss(q *queue[T]) {
	for q.first != nil {
		c.serve(q.first, ErrClosed)
	}
}
