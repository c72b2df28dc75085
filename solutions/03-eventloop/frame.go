package eventloop

import (
	"encoding/binary"
	"fmt"
)

// headerSize is the length in front of each payload, in bytes.
//
//	 0       4                4+n
//	┌────────┬─────────────────┐
//	│ n, u32 │ payload, n bytes│   big-endian
//	└────────┴─────────────────┘
const headerSize = 4

// splitFrames calls OnMessage for each complete frame in data and returns how
// many bytes they take. The payloads are slices of data: nothing is copied.
//
// It starts at a frame's first byte each time, and looks at an incomplete
// frame's header only: a large frame that arrives in k pieces costs k looks at
// 4 bytes.
func (l *Loop) splitFrames(c *Conn, data []byte) (consumed int) {
	for !c.ended.Load() { // a callback may have called Close
		rest := data[consumed:]
		if len(rest) < headerSize {
			return consumed
		}
		size := int64(binary.BigEndian.Uint32(rest))
		if size > int64(l.opts.MaxMessage) {
			c.end(fmt.Errorf("eventloop: a frame of %d bytes, MaxMessage is %d: %w",
				size, l.opts.MaxMessage, ErrTooLarge))
			return consumed
		}
		end := headerSize + int(size)
		if len(rest) < end {
			return consumed
		}
		if c.congested() {
			// Replies are much longer than requests here. Let them be sent
			// before more are made, or Send would fail for a peer that does
			// nothing wrong.
			c.held = true
			return consumed
		}
		consumed += end
		l.opts.OnMessage(c, rest[headerSize:end:end])
	}
	return consumed
}

// appendFrame appends msg with its length in front.
func appendFrame(dst, msg []byte) []byte {
	dst = binary.BigEndian.AppendUint32(dst, uint32(len(msg)))
	return append(dst, msg...)
}
