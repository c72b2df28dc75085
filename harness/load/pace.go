package load

import "time"

// pace is the clock of an open loop: message i is due at start + i/rate,
// whatever has happened to the ones before. This is what keeps a stalled
// server's delay in the figures: the messages that it held up were due all the
// same (coordinated omission is their being forgotten).
type pace struct {
	start time.Duration
	every float64 // nanoseconds between two messages
	sent  int64
}

func newPace(rate float64, start time.Duration) *pace {
	return &pace{start: start, every: float64(time.Second) / rate}
}

// restart begins anew at start, with the message that was next.
func (p *pace) restart(start time.Duration) {
	p.start = start - time.Duration(float64(p.sent)*p.every)
}

// next is when the next message is due.
func (p *pace) next() time.Duration {
	return p.start + time.Duration(float64(p.sent)*p.every)
}

// take returns when the next message is due, and counts it as sent.
func (p *pace) take() time.Duration {
	when := p.next()
	p.sent++
	return when
}
