package batching

// copyBelow is the size from which a message that the writer owns is not copied
// into the batch: about where copying costs as much as a piece of its own.
const copyBelow = 2 << 10

// batch is messages that are written together. Its memory is used again.
type batch struct {
	copied   []byte    // messages that were copied, one after the other
	segments []segment // what was not, and where it stands among them
	messages []message
	bytes    int
}

// segment is a message that was not copied. It comes behind the bytes of copied
// up to at.
type segment struct {
	at   int
	data []byte
}

// message knows whom to tell when the batch is written up to end.
type message struct {
	end  int
	done func(error) // may be nil
	asks bool        // it is a Flush, and no message
}

// add appends p. It is kept, not copied, when that is allowed and worth it.
func (b *batch) add(p []byte, keep bool, done func(error)) {
	if keep && len(p) >= copyBelow {
		b.segments = append(b.segments, segment{len(b.copied), p})
	} else {
		b.copied = append(b.copied, p...)
	}
	b.bytes += len(p)
	b.messages = append(b.messages, message{end: b.bytes, done: done})
}

// ask has done called when all before it is written.
func (b *batch) ask(done func(error)) {
	b.messages = append(b.messages, message{b.bytes, done, true})
}

// pieces appends to dst what the batch consists of, in order.
func (b *batch) pieces(dst [][]byte) [][]byte {
	from := 0
	for _, s := range b.segments {
		if s.at > from {
			dst = append(dst, b.copied[from:s.at])
		}
		dst = append(dst, s.data)
		from = s.at
	}
	if len(b.copied) > from {
		dst = append(dst, b.copied[from:])
	}
	return dst
}

// nothing of a batch was written: not even a message of no bytes, or the mark of
// a Flush at its beginning, which waits for the batch before.
const nothing = -1

// tell calls every done: with nil for what was written, with err for the rest.
func (b *batch) tell(written int, err error) {
	for _, m := range b.messages {
		switch {
		case m.done == nil:
		case m.end <= written:
			m.done(nil)
		default:
			m.done(err)
		}
	}
}

// lost is how many messages are not written, or not as a whole.
func (b *batch) lost(written int) (n int) {
	for _, m := range b.messages {
		if m.end > written && !m.asks {
			n++
		}
	}
	return n
}

// reset empties the batch. It lets go of a burst's memory and of the callers'.
func (b *batch) reset() {
	clear(b.segments)
	clear(b.messages)
	b.segments, b.messages, b.bytes = b.segments[:0], b.messages[:0], 0
	if b.copied = b.copied[:0]; cap(b.copied) > 1<<20 {
		b.copied = nil
	}
}
