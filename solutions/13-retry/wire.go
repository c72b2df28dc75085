package retry

import (
	"encoding/binary"
	"errors"
)

// The payloads of lab 03's frames. All numbers are big-endian.
//
//	            from client                                   from server
//	hello    1  version u8, session u64, push u64
//	welcome  2                                                session u64, resumed u8
//	call     3  id u64, settled u64, left u32, n u8, key n, body
//	cancel   4  id u64
//	reply    5                                                id u64, status u8, body
//	push     6                                                seq u64, body
//	ack      7  seq u64
//	ping     8  -
//	pong     9                                                -
//
// A hello is first, and nothing follows before its welcome. version is 1. session
// is 0 for a new one; push is the last push received in it. A call's ids ascend
// within a session: what is sent again has the id it had, and comes before all
// that is new. Every id below settled is answered or given up. left is the time
// that the call still has, in milliseconds, at least 1; 0 means no bound. Pushes
// of a session have the numbers 1, 2, 3; an ack is for all up to seq.
const (
	kindHello = 1 + iota
	kindWelcome
	kindCall
	kindCancel
	kindReply
	kindPush
	kindAck
	kindPing
	kindPong
)

// The status of a reply.
const (
	statusDone    = iota // body is the handler's
	statusFailed         // body is the text of the handler's error
	statusExpired        // its time was over before work on it began
	statusBusy           // refused before work on it began
	statusUnknown        // seen before, and the answer is forgotten
)

const (
	protocolVersion = 1
	headerSize      = 4
	callOverhead    = 1 + 8 + 8 + 4 + 1 // of a call's payload, without key and body
	replyOverhead   = 1 + 8 + 1         // of a reply's, without body
	pushOverhead    = 1 + 8             // of a push's
	maxKey          = 255
)

var errMalformed = errors.New("retry: the peer sent a frame that makes no sense")

var order = binary.BigEndian

// begin appends a frame's length, for end to fill in, and its kind.
func begin(b []byte, kind byte) []byte { return append(b, 0, 0, 0, 0, kind) }

// end fills in the length of the frame that begins at start.
func end(b []byte, start int) []byte {
	order.PutUint32(b[start:], uint32(len(b)-start-headerSize))
	return b
}

// appendNumber appends a whole frame that is a kind and a number.
func appendNumber(b []byte, kind byte, n uint64) []byte {
	start := len(b)
	return end(order.AppendUint64(begin(b, kind), n), start)
}

// split takes the first whole frame from data: its payload, which is part of
// data, and what is behind it. ok is false when there is none yet.
func split(data []byte, most int) (payload, rest []byte, ok bool, err error) {
	if len(data) < headerSize {
		return nil, data, false, nil
	}
	size := int64(order.Uint32(data))
	if size > int64(most) || size == 0 {
		return nil, data, false, errMalformed
	}
	if int64(len(data)) < headerSize+size {
		return nil, data, false, nil
	}
	return data[headerSize : headerSize+size], data[headerSize+size:], true, nil
}

// number reads a u64 from the front of b.
func number(b []byte) (n uint64, rest []byte, err error) {
	if len(b) < 8 {
		return 0, nil, errMalformed
	}
	return order.Uint64(b), b[8:], nil
}
