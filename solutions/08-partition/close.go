package partition

import "context"

// Close accepts nothing any more, has everything handled that was accepted,
// evicts every key, and waits until the shards' goroutines have ended. Send
// calls that wait for room return ErrClosed.
//
// When ctx ends first, what is still queued is discarded, no further message is
// handled, and Close returns ctx's error without waiting for the callbacks that
// are running. Close may be called more than once; each call waits.
func (p *Partition[V, S]) Close(ctx context.Context) error {
	p.closeOnce.Do(func() {
		close(p.closed)      // Resize gives up
		p.turn <- struct{}{} // and has given up
		for _, s := range *p.table.Load() {
			s.beginClose()
		}
	})
	for _, s := range *p.table.Load() {
		select {
		case <-s.ended:
		case <-ctx.Done():
			p.abandon()
			return ctx.Err()
		}
	}
	return nil
}

// beginClose has the goroutine drain and end.
func (s *shard[V, S]) beginClose() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closing = true
	s.refuseWaiters()
	s.wakeUp()
}

// abandon discards what is queued, everywhere.
func (p *Partition[V, S]) abandon() {
	for _, s := range *p.table.Load() {
		s.mu.Lock()
		s.abandoned = true
		s.discarded += uint64(s.n)
		clear(s.ring)
		s.n = 0
		s.mu.Unlock()
	}
}
