package retry

import (
	"math"
	"net"
	"time"
)

// burst is how many bytes of frames are put together for one write. More would
// only make deadlines older than they need be.
const burst = 64 << 10

// write sends what there is to send, until conn fails or stop is closed. One
// write for all calls that came together: as in lab 11, the connection is busy
// with one burst while the next one gathers.
func (e *endpoint) write(conn net.Conn, stop <-chan struct{}) {
	var buf []byte
	for {
		select {
		case <-e.wake:
		case <-stop:
			return
		}
		for {
			e.c.mu.Lock()
			buf = e.compose(buf[:0])
			e.c.mu.Unlock()
			if len(buf) == 0 {
				break
			}
			n, err := conn.Write(buf)
			e.c.mu.Lock()
			e.written += uint64(n)
			e.c.mu.Unlock()
			if err != nil {
				conn.Close() // the reader notices
				return
			}
		}
	}
}

// compose appends what is to be sent next. Calls get their id here, and the time
// that they have left now, not when they were made: they may have waited for a
// connection. mu is held.
func (e *endpoint) compose(b []byte) []byte {
	if e.ping {
		e.ping = false
		b = end(begin(b, kindPing), len(b))
	}
	if e.acked < e.lastPush {
		e.acked = e.lastPush
		b = appendNumber(b, kindAck, e.acked)
	}
	for _, id := range e.cancels {
		b = appendNumber(b, kindCancel, id)
	}
	e.cancels = e.cancels[:0]
	now := time.Now()
	for a := e.queue.first; a != nil && len(b) < burst; a = e.queue.first {
		e.queue.remove(a)
		e.number(a)
		e.flying.pushBack(a)
		b = appendCall(b, a, e.flying.first.id, now)
		a.end = e.composed + uint64(len(b))
	}
	e.composed += uint64(len(b))
	return b
}

// number gives a its id, unless it has one from before. mu is held.
func (e *endpoint) number(a *attempt) {
	e.c.stats.Sent++
	if a.id != 0 {
		e.c.stats.Resent++
		return
	}
	e.lastID++
	a.id = e.lastID
	e.byID[a.id] = a
	if f := a.f; !f.req.Safe && f.req.Key != "" && f.pinned == nil {
		f.pinned, a.pins = e, true
	}
}

// appendCall appends a call's frame. No id below settled will be asked for again.
func appendCall(b []byte, a *attempt, settled uint64, now time.Time) []byte {
	start, r := len(b), &a.f.req
	b = begin(b, kindCall)
	b = order.AppendUint64(b, a.id)
	b = order.AppendUint64(b, settled)
	b = order.AppendUint32(b, milliseconds(a.f.until.Sub(now)))
	b = append(b, byte(len(r.Key)))
	b = append(b, r.Key...)
	return end(append(b, r.Body...), start)
}

// milliseconds rounds down, so that the server never believes in more time than
// there is, but not to 0, which means no bound.
func milliseconds(d time.Duration) uint32 {
	return uint32(min(max(d.Milliseconds(), 1), math.MaxUint32))
}
