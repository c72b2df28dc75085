package workerpool

import "context"

// Stop accepts nothing any more, has everything run that was accepted, and waits
// until the workers have ended. Submits that wait for room return ErrStopped.
// When ctx ends first it goes on as StopNow does, and returns ctx's error
// without waiting. It may be called more than once; each call waits.
func (p *Pool) Stop(ctx context.Context) error {
	p.refuse()
	return p.await(ctx)
}

// StopNow accepts nothing any more, ends the context of all tasks, and discards
// those that have not begun: their result is ErrStopped. It waits until those
// that run have ended, or ctx has: then it returns ctx's error.
func (p *Pool) StopNow(ctx context.Context) error {
	p.refuse()
	p.discard()
	return p.await(ctx)
}

// refuse begins the end.
func (p *Pool) refuse() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.stopping = true
	for _, w := range p.waiters {
		w.err = ErrStopped
		close(w.ready)
	}
	p.waiters = nil
	p.work.Broadcast()
}

// discard ends what runs, as far as it listens, and gives up what does not yet.
func (p *Pool) discard() {
	p.cancel()
	p.mu.Lock()
	var all []*Future
	for key, line := range p.keys {
		all = append(all, line...)
		p.keys[key] = nil // its task may be running
	}
	for p.queue.n > 0 {
		f := p.queue.pop()
		if f.keyed {
			delete(p.keys, f.key) // it is not
		}
		all = append(all, f)
	}
	p.held = 0
	p.counts.Discarded += uint64(len(all))
	p.work.Broadcast()
	p.mu.Unlock()
	for _, f := range all {
		f.resolve(ErrStopped)
	}
}

// await waits for the workers.
func (p *Pool) await(ctx context.Context) error {
	select {
	case <-p.ended:
		return nil
	case <-ctx.Done():
		p.discard()
		return ctx.Err()
	}
}
