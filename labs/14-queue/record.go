package queue

import (
	"errors"
	"io"
	"time"
)

// MaxRecord is the largest record, key and value together, in bytes. Who reads
// a batch takes it as a whole, so it must have a bound.
const MaxRecord = 16 << 20

// A Record is one entry of a log.
type Record struct {
	Offset int64     // its number
	Time   time.Time // when its batch was written, in nanoseconds since 1970
	Key    []byte    // who it belongs to, if anybody: a room, a user
	Value  []byte
}

// A batch is what is written, synced, checked and sent as a whole. In the file,
// in what FetchTo sends, and in memory it is the same bytes:
//
//	0       4       8      12      16              24              32              40
//	+-------+-------+-------+-------+---------------+---------------+---------------+---
//	|  CRC  | size  | "aqb1"| count |     base      |     time      |   position    | records
//	+-------+-------+-------+-------+---------------+---------------+---------------+---
//	        |<------------------- covered by the CRC, to the batch's end ------------...
//
//	record:  length of key (4), length of value (4), key, value
//
// Numbers are little endian. size counts all bytes of the batch; base is the
// offset of the first record, the others follow; position is where in its file
// the batch stands, so that a batch found elsewhere, in a record's value for
// example, is no batch of this file.
//
// The CRC is CRC-32C (Castagnoli), for which processors have an instruction.

// What encodes and decodes them goes here (step 1).

// ReadBatch reads one batch of those that FetchTo sends, and checks it. The
// error is io.EOF where r ends before it, io.ErrUnexpectedEOF where r ends
// within it, or says what is wrong with it. It reads no byte too many. The
// records are the caller's.
func ReadBatch(r io.Reader) ([]Record, error) {
	return nil, errors.New("not implemented: step 6, straight to the socket")
}
