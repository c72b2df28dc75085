package queue

import (
	"fmt"
	"io"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// A segment is one file of the log. Its name is the offset of its first record,
// so that a directory's listing says where every record is.
type segment struct {
	base int64  // immutable, as the next two
	path string // of the file
	file File

	// guarded by Log.mu:
	next  int64     // the offset behind its last record
	size  int64     // bytes of it that are on the disk
	last  time.Time // when its last batch was written
	index index
	users int  // that read it without the lock
	gone  bool // removed: the last user closes the file
}

const suffix = ".log"

// segmentName is where the segment that begins with base is: 20 digits, so that
// names sort as numbers do.
func segmentName(dir string, base int64) string {
	return filepath.Join(dir, fmt.Sprintf("%020d%s", base, suffix))
}

// baseOf reads a segment's name.
func baseOf(name string) (base int64, ok bool) {
	digits, found := strings.CutSuffix(name, suffix)
	base, err := strconv.ParseInt(digits, 10, 64)
	return base, found && len(digits) == 20 && err == nil && base >= 0
}

// A CorruptError says that the log holds bytes that it cannot have written: the
// disk, or somebody else, has changed them. Nothing behind them can be trusted
// to be complete, so they are not skipped. Put back a copy of the file, or cut
// it at Position, which gives up what is behind.
type CorruptError struct {
	File     string // its path
	Position int64  // of the batch in the file, in bytes
	Reason   string
}

// Error names the file and the position.
func (e *CorruptError) Error() string {
	return fmt.Sprintf("queue: %s is damaged at byte %d: %s", e.File, e.Position, e.Reason)
}

// readHeader reads the header at position. end is where the segment's batches
// end. Whether all of the batch is right only its CRC can say, see readBatch.
func (s *segment) readHeader(position, end int64) (h header, err error) {
	damaged := func(why string, args ...any) (header, error) {
		return h, &CorruptError{s.path, position, fmt.Sprintf(why, args...)}
	}
	if end-position < headerSize {
		return damaged("%d bytes are no batch", end-position)
	}
	var head [headerSize]byte
	if err := readFull(s.file, head[:], position); err != nil {
		return h, err
	}
	if h, err = parse(head[:]); err != nil {
		return damaged("%v", err)
	}
	if h.position != position || int64(h.size) > end-position {
		return damaged("a batch of %d bytes that belongs to %d", h.size, h.position)
	}
	return h, nil
}

// readBatch reads and checks the batch at position, into buf if that is large
// enough. An error of the file system is returned as it is.
func (s *segment) readBatch(position, end int64, buf []byte) (h header, batch []byte, err error) {
	if h, err = s.readHeader(position, end); err != nil {
		return h, nil, err
	}
	if uint32(cap(buf)) < h.size {
		buf = make([]byte, h.size)
	}
	batch = buf[:h.size]
	if err := readFull(s.file, batch, position); err != nil {
		return h, nil, err
	}
	if !h.intact(batch) {
		return h, nil, &CorruptError{s.path, position, "the CRC is wrong"}
	}
	return h, batch, nil
}

// readFull fills p. A file that ends before is an error: its size is known.
func readFull(f io.ReaderAt, p []byte, at int64) error {
	n, err := f.ReadAt(p, at)
	if n == len(p) {
		return nil // io.ReaderAt may say io.EOF with the last byte
	}
	if err == nil || err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	return fmt.Errorf("read %d bytes at %d: %w", len(p), at, err)
}
