package queue

import (
	"errors"
	"io"
	"net"

	zerocopy "github.com/asynclab/asynclab/solutions/09-zerocopy"
)

// FetchTo writes whole batches to c, as they are in the file: from the one with
// offset on, at least one when there is one, and then as long as they have no
// more than maxBytes together; it may write fewer than there are. It returns the
// offset to go on with, which is offset itself at the end of the log.
//
// The first batch may begin before offset: who reads it skips those records.
// What is sent is not checked here; ReadBatch does that at the other end, which
// sees what went wrong on the way as well. Where c is a TCP connection and the
// log has files of the operating system, nothing is copied through the
// program's memory: this is lab 09's sendfile. It blocks while the peer does not
// read; set c's deadline.
//
// The errors are those of Read, and c's: then some of a batch may have been
// written, and c is of no more use.
func (l *Log) FetchTo(c net.Conn, offset int64, maxBytes int) (next int64, err error) {
	s, position, end, err := l.locate(offset)
	if s == nil {
		return offset, err
	}
	defer l.release(s)
	n, next, err := s.span(position, end, int64(maxBytes))
	if err != nil {
		return offset, err
	}
	if err := send(c, s.file, position, n); err != nil {
		return offset, err
	}
	return next, nil
}

// span is how many bytes from position on are whole batches, at least one and
// otherwise no more than atMost, and the offset behind them. It reads headers
// only.
func (s *segment) span(position, end, atMost int64) (n, next int64, err error) {
	for position+n < end {
		h, err := s.readHeader(position+n, end)
		if err != nil {
			return 0, 0, err
		}
		if n > 0 && n+int64(h.size) > atMost {
			break
		}
		n, next = n+int64(h.size), h.next()
	}
	return n, next, nil
}

// send writes n bytes of f to c: by reference where both are the system's own.
func send(c net.Conn, f File, position, n int64) error {
	tcp, isTCP := c.(*net.TCPConn)
	file, isOS := f.(osFile)
	if !isTCP || !isOS {
		_, err := io.Copy(c, io.NewSectionReader(f, position, n))
		return err
	}
	for n > 0 {
		sent, err := zerocopy.Send(tcp, file.File, position, n, zerocopy.Sendfile)
		position, n = position+sent, n-sent
		if !errors.Is(err, zerocopy.ErrChanged) {
			return err
		}
		// Somebody has appended meanwhile. What is there never changes in a log, so
		// what was sent counts; unless it is not there any more.
		if size, failed := file.Size(); failed != nil || size < position+n {
			return err
		}
	}
	return nil
}
