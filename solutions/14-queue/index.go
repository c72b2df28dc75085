package queue

import (
	"encoding/binary"
	"hash/crc32"
	"sort"
	"strings"
	"time"
)

// An index says for some offsets of a segment where in the file their batch is:
// one for every IndexBytes. Who looks for an offset begins at the last entry
// that is not above it, and reads on from there.
//
// It holds nothing that the segment does not. So it is written without an
// fsync, once, when the segment is full; and what is missing or wrong is made
// anew from the segment.
type index []entry

type entry struct{ offset, position int64 }

// add notes a batch, if the last one that was noted is far enough away.
func (x *index) add(offset, position int64, every int) {
	if n := len(*x); n == 0 || position-(*x)[n-1].position >= int64(every) {
		*x = append(*x, entry{offset, position})
	}
}

// find is the last entry that is not above offset. The first one is the
// segment's first batch, so that there is one for every offset of the segment.
func (x index) find(offset int64) entry {
	i := sort.Search(len(x), func(i int) bool { return x[i].offset > offset })
	return x[i-1]
}

// A full segment's index in its file: all that Open needs to know of it.
//
//	CRC-32C (4)  "aqi1" (4)  base (8)  next (8)  size (8)  last (8)  entries (16 each)
const (
	indexMagic  = "aqi1"
	indexHeader = 40
)

// indexName is where the index of the segment at path is.
func indexName(path string) string { return strings.TrimSuffix(path, suffix) + ".index" }

// encodeIndex is the index file of a segment. mu is held.
func (s *segment) encodeIndex() []byte {
	le := binary.LittleEndian
	p := append(make([]byte, 4, indexHeader+16*len(s.index)), indexMagic...)
	for _, v := range []int64{s.base, s.next, s.size, s.last.UnixNano()} {
		p = le.AppendUint64(p, uint64(v))
	}
	for _, e := range s.index {
		p = le.AppendUint64(le.AppendUint64(p, uint64(e.offset)), uint64(e.position))
	}
	le.PutUint32(p, crc32.Checksum(p[4:], castagnoli))
	return p
}

// decodeIndex fills in what p says about a segment of size bytes behind which
// the segment next begins. It reports false, and changes nothing, when p is not
// that segment's index.
func (s *segment) decodeIndex(p []byte, size, next int64) bool {
	le := binary.LittleEndian
	if len(p) < indexHeader || len(p)%16 != indexHeader%16 || string(p[4:8]) != indexMagic || le.Uint32(p) != crc32.Checksum(p[4:], castagnoli) {
		return false
	}
	number := func(i int) int64 { return int64(le.Uint64(p[i:])) }
	if number(8) != s.base || number(16) != next || number(24) != size {
		return false
	}
	s.next, s.size, s.last = next, size, time.Unix(0, number(32))
	for i := indexHeader; i < len(p); i += 16 {
		s.index = append(s.index, entry{number(i), number(i + 8)})
	}
	return len(s.index) > 0
}

// saveIndex writes the index of a full segment. That it fails does not matter:
// the next Open will be slower.
func (l *Log) saveIndex(s *segment) {
	l.mu.Lock()
	p := s.encodeIndex()
	l.mu.Unlock()
	f, err := l.opt.FS.Open(indexName(s.path), true)
	if err != nil {
		return
	}
	defer f.Close()
	if f.Truncate(0) == nil {
		_ = writeAll(f, p, 0)
	}
}

// loadIndex reports whether a full segment's index file was there and right.
func (l *Log) loadIndex(s *segment, next int64) bool {
	size, err := s.file.Size()
	if err != nil {
		return false
	}
	f, err := l.opt.FS.Open(indexName(s.path), false)
	if err != nil {
		return false
	}
	defer f.Close()
	n, err := f.Size()
	if err != nil || n > 16<<20 {
		return false
	}
	p := make([]byte, n)
	return readFull(f, p, 0) == nil && s.decodeIndex(p, size, next)
}
