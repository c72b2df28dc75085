package blocking

import "context"

// Shutdown stops accepting, lets each connection write back what it has read,
// closes it, and waits until Serve and all connections have ended. When ctx
// ends first it closes every connection at once, waits for the goroutines to
// end, and returns ctx's error. It may be called from any goroutine, more than
// once, and before Serve.
//
// What waits in the kernel's receive buffer, not read yet, is not echoed.
func (s *Server) Shutdown(ctx context.Context) error {
	s.drain()
	ended := make(chan struct{})
	go func() {
		s.tasks.Wait()
		close(ended)
	}()
	select {
	case <-ended:
		return nil
	case <-ctx.Done():
		s.closeAll()
		<-ended // soon: no read or write of a closed connection blocks
		return ctx.Err()
	}
}

// drain lets nothing new in and ends reading everywhere. Only the first call
// does something.
func (s *Server) drain() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.draining {
		return
	}
	s.draining = true
	close(s.quit)
	if s.ln != nil {
		s.ln.Close() // wakes a blocked Accept
	}
	for c := range s.conns {
		c.drain()
	}
}

// closeAll cuts every connection off, in whatever it is doing.
func (s *Server) closeAll() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.conns {
		c.Close()
	}
}
