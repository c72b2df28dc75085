package websocket

import "encoding/binary"

// The opcodes of RFC 6455, 5.2. From opClose on they are control frames.
const (
	opContinuation = 0x0
	opText         = 0x1
	opBinary       = 0x2
	opClose        = 0x8
	opPing         = 0x9
	opPong         = 0xA
)

const (
	finBit     = 0x80
	rsvBits    = 0x70
	maskBit    = 0x80
	maxControl = 125 // payload bytes of a control frame
)

// head is the head of a frame.
//
//	 0               1               2 ...
//	┌─┬───┬───────┬─┬─────────────┬───────────────┬──────────┐
//	│F│RSV│ op    │M│ len (7)     │ 16 or 64 bits │ mask (4) │
//	│ │   │       │ │             │ if len >= 126 │ if M     │
//	└─┴───┴───────┴─┴─────────────┴───────────────┴──────────┘
type head struct {
	mask   uint32 // the 4 bytes as a little-endian number
	at     uint8  // of the mask: how far the payload has come, modulo 4
	opcode byte
	fin    bool
}

func (h *head) control() bool { return h.opcode >= opClose }

// parseHead reads the head of a client's frame: how long it is, 0 if it is not
// whole, and how long the payload. code is not 0 if the frame breaks a rule by
// itself (RFC 6455, 5.1 and 5.2), and is then given as soon as that shows.
func parseHead(data []byte) (h head, n int, size uint64, code int) {
	if len(data) < 1 {
		return h, 0, 0, 0
	}
	h.fin, h.opcode = data[0]&finBit != 0, data[0]&0xf
	if data[0]&rsvBits != 0 || h.opcode > opBinary && h.opcode < opClose || h.opcode > opPong {
		return h, 0, 0, ProtocolError // no extension was agreed on; reserved opcode
	}
	if len(data) < 2 {
		return h, 0, 0, 0
	}
	short := data[1] &^ maskBit
	switch {
	case data[1]&maskBit == 0:
		return h, 0, 0, ProtocolError // a client must mask
	case h.control() && (short > maxControl || !h.fin):
		return h, 0, 0, ProtocolError
	}
	n, size, ok := parseLength(data, short)
	if !ok {
		return h, 0, 0, ProtocolError
	}
	if n == 0 || len(data) < n+4 {
		return h, 0, 0, 0
	}
	h.mask = binary.LittleEndian.Uint32(data[n:])
	return h, n + 4, size, 0
}

// parseLength reads the payload's length. n is where it ends, 0 if it is not
// whole. It must be in the shortest of the three forms, and have 63 bits.
func parseLength(data []byte, short byte) (n int, size uint64, ok bool) {
	switch {
	case short < 126:
		return 2, uint64(short), true
	case short == 126 && len(data) >= 4:
		size = uint64(binary.BigEndian.Uint16(data[2:]))
		return 4, size, size >= 126
	case short == 127 && len(data) >= 10:
		size = binary.BigEndian.Uint64(data[2:])
		return 10, size, size > 1<<16-1 && size < 1<<63
	}
	return 0, 0, true
}

// appendHead appends the head of a server's frame, which is not masked.
func appendHead(dst []byte, opcode byte, size int) []byte {
	dst = append(dst, finBit|opcode)
	switch {
	case size < 126:
		return append(dst, byte(size))
	case size < 1<<16:
		return binary.BigEndian.AppendUint16(append(dst, 126), uint16(size))
	default:
		return binary.BigEndian.AppendUint64(append(dst, 127), uint64(size))
	}
}
