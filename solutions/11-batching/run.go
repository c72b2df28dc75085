package batching

import "io"

// run writes one batch after the other, until Close or the sink's end.
func (w *Writer) run() {
	defer close(w.ended)
	for {
		b, ok := w.next()
		if !ok {
			return
		}
		written, err := w.writeAll(b)
		w.finish(b, written, err)
	}
}

// next waits for a batch that is due, and puts the other one in its place: while
// one is written, the other one fills, and nobody waits for a lock.
func (w *Writer) next() (b *batch, ok bool) {
	for {
		w.mu.Lock()
		switch {
		case w.err != nil, w.closing && len(w.filling.messages) == 0:
			w.mu.Unlock()
			return nil, false
		case w.due != none:
			b, w.filling, w.spare = w.filling, w.spare, nil
			w.stats.count(w.due)
			w.due = none
			w.serial++
			if w.timer != nil {
				w.timer.Stop()
			}
			w.mu.Unlock()
			return b, true
		}
		w.mu.Unlock()
		<-w.wake
	}
}

// writeAll writes the batch, however many calls of the sink that takes, and
// returns how many bytes the sink has taken.
func (w *Writer) writeAll(b *batch) (written int, err error) {
	rest := b.pieces(nil)
	for len(rest) > 0 {
		n, err := w.sink.Writev(rest[:min(len(rest), MaxPieces)])
		w.countWrite(n)
		written += n
		if err != nil {
			return written, err
		}
		if n == 0 {
			return written, io.ErrNoProgress
		}
		rest = advance(rest, n)
	}
	return written, nil
}

// advance drops n bytes from the front of pieces.
func advance(pieces [][]byte, n int) [][]byte {
	for len(pieces) > 0 && n >= len(pieces[0]) {
		n -= len(pieces[0])
		pieces = pieces[1:]
	}
	if n > 0 {
		pieces[0] = pieces[0][n:]
	}
	return pieces
}

// finish makes room and tells everybody.
func (w *Writer) finish(b *batch, written int, err error) {
	var left *batch
	w.mu.Lock()
	w.pending -= b.bytes
	w.stats.Lost += uint64(b.lost(written))
	if err != nil {
		left = w.fail(err)
	} else {
		w.admit()
	}
	w.mu.Unlock()
	b.tell(written, err)
	if left != nil {
		left.tell(nothing, err)
	}
	b.reset()
	w.mu.Lock()
	w.spare = b
	w.mu.Unlock()
}

// fail ends the writing: err is what everybody gets from now on. It returns what
// was accepted and will not be written, for its writers to be told. mu is held.
func (w *Writer) fail(err error) *batch {
	w.err = err
	w.dismiss(err)
	left := w.filling
	w.pending -= left.bytes
	w.stats.Lost += uint64(left.lost(nothing))
	w.filling, w.due = &batch{}, none
	w.serial++
	if w.timer != nil {
		w.timer.Stop()
	}
	return left
}

func (w *Writer) countWrite(n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.stats.Writes++
	w.stats.Bytes += uint64(n)
}
