package workerpool

// Stats is what a pool has done and holds. At every instant
// Submitted = Done + Discarded + Waiting + Running. A task is counted before its
// Future tells.
type Stats struct {
	Submitted uint64 // tasks accepted
	Done      uint64 // tasks that have ended, in whatever way
	Panics    uint64 // of these, in a panic
	Discarded uint64 // tasks that StopNow has given up
	Waiting   int    // tasks that have not begun, those behind their key among them
	Running   int
	Keys      int // keys with a task that waits or runs
	Blocked   int // Submits that wait for room
}

// Stats returns the counts as they are at one instant.
func (p *Pool) Stats() Stats {
	p.mu.Lock()
	defer p.mu.Unlock()
	s := p.counts
	s.Waiting, s.Running, s.Keys, s.Blocked = p.queue.n+p.held, p.running, len(p.keys), len(p.waiters)
	return s
}
