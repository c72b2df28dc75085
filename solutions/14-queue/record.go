package queue

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
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
const (
	headerSize = 40
	perRecord  = 8
	maxSize    = headerSize + perRecord + MaxRecord
)

var (
	magic      = []byte("aqb1")
	castagnoli = crc32.MakeTable(crc32.Castagnoli)
)

type header struct {
	crc, size, count     uint32
	base, time, position int64
}

// next is the offset behind the batch.
func (h header) next() int64 { return h.base + int64(h.count) }

// begin makes room for the header.
func begin(dst []byte) []byte { return append(dst[:0], make([]byte, headerSize)...) }

// appendRecord adds a record to a batch.
func appendRecord(dst, key, value []byte) []byte {
	dst = binary.LittleEndian.AppendUint32(dst, uint32(len(key)))
	dst = binary.LittleEndian.AppendUint32(dst, uint32(len(value)))
	dst = append(dst, key...)
	return append(dst, value...)
}

// seal fills in the header of a batch, the CRC last.
func seal(batch []byte, count int, base int64, at time.Time, position int64) {
	le := binary.LittleEndian
	le.PutUint32(batch[4:], uint32(len(batch)))
	copy(batch[8:], magic)
	le.PutUint32(batch[12:], uint32(count))
	le.PutUint64(batch[16:], uint64(base))
	le.PutUint64(batch[24:], uint64(at.UnixNano()))
	le.PutUint64(batch[32:], uint64(position))
	le.PutUint32(batch, crc32.Checksum(batch[4:], castagnoli))
}

// parse reads a header. It says only whether it may be one: the CRC is over the
// whole batch.
func parse(p []byte) (header, error) {
	le := binary.LittleEndian
	h := header{crc: le.Uint32(p), size: le.Uint32(p[4:]), count: le.Uint32(p[12:]),
		base: int64(le.Uint64(p[16:])), time: int64(le.Uint64(p[24:])), position: int64(le.Uint64(p[32:]))}
	switch {
	case !bytes.Equal(p[8:12], magic):
		return h, errors.New("no batch begins here")
	case h.size < headerSize || h.size > maxSize:
		return h, fmt.Errorf("a batch of %d bytes", h.size)
	}
	return h, nil
}

// intact reports whether a batch is as it was written.
func (h header) intact(batch []byte) bool {
	return crc32.Checksum(batch[4:], castagnoli) == h.crc
}

// records appends the batch's records, which refer to its bytes. The batch is
// intact, so an error means that it was written wrongly.
func (h header) records(batch []byte, dst []Record) ([]Record, error) {
	le, rest := binary.LittleEndian, batch[headerSize:]
	for i := range int64(h.count) {
		if len(rest) < perRecord {
			return dst, io.ErrUnexpectedEOF
		}
		key, value := uint64(le.Uint32(rest)), uint64(le.Uint32(rest[4:]))
		rest = rest[perRecord:]
		if key+value > uint64(len(rest)) {
			return dst, io.ErrUnexpectedEOF
		}
		end := key + value
		dst = append(dst, Record{h.base + i, time.Unix(0, h.time), rest[:key:key], rest[key:end:end]})
		rest = rest[end:]
	}
	if len(rest) > 0 {
		return dst, fmt.Errorf("%d bytes behind the last record", len(rest))
	}
	return dst, nil
}

// ReadBatch reads one batch of those that FetchTo sends, and checks it. The
// error is io.EOF where r ends before it, io.ErrUnexpectedEOF where r ends
// within it, or says what is wrong with it. It reads no byte too many. The
// records are the caller's.
func ReadBatch(r io.Reader) ([]Record, error) {
	var head [headerSize]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return nil, err
	}
	h, err := parse(head[:])
	if err != nil {
		return nil, fmt.Errorf("queue: read a batch: %w", err)
	}
	batch := make([]byte, h.size)
	copy(batch, head[:])
	if _, err := io.ReadFull(r, batch[headerSize:]); err != nil {
		if err == io.EOF {
			err = io.ErrUnexpectedEOF
		}
		return nil, err
	}
	if !h.intact(batch) {
		return nil, fmt.Errorf("queue: the batch of offset %d is damaged: its CRC is wrong", h.base)
	}
	return h.records(batch, nil)
}
