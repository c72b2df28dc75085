package capstone

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	pooling "github.com/asynclab/asynclab/solutions/10-pooling"
	workerpool "github.com/asynclab/asynclab/solutions/12-workerpool"
	queue "github.com/asynclab/asynclab/solutions/14-queue"
	websocket "github.com/asynclab/asynclab/solutions/15-websocket"
)

// A kept room has a log on disk (lab 14). What is published there is heard when
// it is on the disk, and not before: so whatever anybody has heard can be asked
// for after a crash, by its number.
//
//	loop: publish --TryAppend--> log, fsync --acknowledged--> every loop: deliver
//	loop: catchUp --TrySubmit--> a worker reads the log --Then, Post--> loop: show
//
// No loop ever touches a file. Which files a loop's thread could see is another
// question, too: it may have a descriptor table of its own (lab 04).
type history struct {
	server  *Server
	books   map[string]*book // by the room's name; immutable
	readers *workerpool.Pool // lab 12: reads from the disk
	refused atomic.Int64     // messages that found no room on the way to the disk, or no disk
}

// book is what a kept room has beside its members. Messages are numbered from 1
// on; number n is record n-1 of the log.
type book struct {
	history *history
	room    *room
	log     *queue.Log
	written atomic.Int64 // the number acknowledged last
	lines   []line       // by loop
}

// line is what is acknowledged and waits for one loop, in the order of numbers.
type line struct {
	mu     sync.Mutex
	ready  []delivery // guarded by mu
	number int64      // guarded by mu: of the last one in ready

	delivered atomic.Int64 // the number that the loop has delivered last; written by the loop
}

const (
	numberSize = 20       // digits of a number and a space, at most
	maxAhead   = 64 << 10 // messages on the disk that a loop has not delivered yet
	maxPiece   = 32 << 10 // bytes of history that one client is given at a time
	readers    = 4        // reads at the same time
)

// openHistory opens the logs of the kept rooms. The rooms are there for good,
// with or without members.
func (s *Server) openHistory() error {
	h := &history{server: s, books: map[string]*book{}}
	s.history = h
	var err error
	// Everybody may come back at the same time, each with one read.
	if h.readers, err = workerpool.New(workerpool.Options{Workers: readers, Queue: max(1, s.config.MaxConns)}); err != nil {
		return err
	}
	if s.config.History == "" {
		return nil
	}
	if err := os.MkdirAll(s.config.History, 0o755); err != nil {
		return fmt.Errorf("history: %w (set -history to a folder that can be written)", err)
	}
	for _, name := range s.config.HistoryRooms {
		log, err := queue.Open(filepath.Join(s.config.History, name), queue.Options{RetainBytes: int64(s.config.HistoryBytes)})
		if err != nil {
			h.close(context.Background())
			return fmt.Errorf("history of room %s: %w", name, err)
		}
		b := &book{history: h, room: s.rooms.enter(name), log: log, lines: make([]line, len(s.shards))}
		b.room.book = b
		_, next := log.Bounds()
		b.written.Store(next)
		for i := range b.lines {
			b.lines[i].delivered.Store(next)
		}
		h.books[name] = b
	}
	return nil
}

// close has everything written and posted to the loops that was accepted, and
// accepts nothing any more. It waits until ctx ends.
func (h *history) close(ctx context.Context) {
	for _, b := range h.books {
		if err := b.log.Close(ctx); err != nil {
			h.server.log.Error("history not closed in order", "room", b.room.name, "error", err)
		}
	}
}

// end ends the readers, when the loops have ended.
func (h *history) end() {
	h.close(context.Background())
	h.readers.StopNow(context.Background())
}

// record is a message as it lies in the log: one byte for its kind, and the
// message. The caller owns the buffer.
func (s *Server) record(text bool, payload []byte) *pooling.Buffer {
	b := s.frames.Get(1 + len(payload))
	p := b.Bytes()
	p[0] = 'b'
	if text {
		p[0] = 't'
	}
	copy(p[1:], payload)
	return b
}

// publish hands a message to the log. It runs on a loop and does not wait: where
// the disk is behind the message is refused, and counted. It takes over the
// record.
func (b *book) publish(record *pooling.Buffer) {
	if !b.keepsUp() || b.log.TryAppend(nil, record.Bytes(), b.told(record)) != nil {
		record.Release()
		b.history.refused.Add(1)
	}
}

// publishInOrder is publish for the stream of a sender that numbers its messages,
// whose goroutine may wait: what it loses now it would refuse later, as repeated.
func (b *book) publishInOrder(ctx context.Context, records []delivery) {
	for _, d := range records {
		if b.log.AppendAsync(ctx, nil, d.frame.Bytes(), b.told(d.frame)) != nil {
			d.frame.Release()
			b.history.refused.Add(1)
		}
	}
}

// keepsUp reports whether all loops deliver about as fast as the disk writes.
func (b *book) keepsUp() bool {
	for i := range b.lines {
		if b.written.Load()-b.lines[i].delivered.Load() > maxAhead {
			return false
		}
	}
	return true
}

// told makes what the log calls when the record is on the disk, or cannot be. The
// calls come one at a time, in the order of the offsets.
func (b *book) told(record *pooling.Buffer) func(offset int64, err error) {
	arrived := time.Now()
	return func(offset int64, err error) {
		defer record.Release()
		if err != nil {
			b.history.refused.Add(1)
			return
		}
		frame := b.history.server.numbered(offset+1, record.Bytes())
		b.acknowledged(offset+1, delivery{room: b.room, frame: frame, arrived: arrived})
	}
}

// numbered makes a record into what members get, as in "12 hello".
func (s *Server) numbered(number int64, record []byte) *pooling.Buffer {
	frame := s.frames.Get(len(record) + numberSize + frameHead)
	frame.Resize(len(appendNumbered(frame.Bytes()[:0], number, record)))
	return frame
}

func appendNumbered(dst []byte, number int64, record []byte) []byte {
	var digits [numberSize]byte
	payload := append(strconv.AppendInt(digits[:0], number, 10), ' ')
	return websocket.Prepare(dst, record[0] == 't', append(payload, record[1:]...))
}

// acknowledged gives a message to every loop, with or without members there: a
// loop knows by that what it has delivered. One post takes all that has come
// until it runs.
func (b *book) acknowledged(number int64, d delivery) {
	b.written.Store(number) // before anybody can hear it, and ask for what comes after it
	shards := b.history.server.shards
	d.frame.Retain(len(shards))
	for i, sh := range shards {
		l := &b.lines[i]
		l.mu.Lock()
		l.ready, l.number = append(l.ready, d), number
		first := len(l.ready) == 1
		l.mu.Unlock()
		if first {
			// An error means that the loops have ended: nobody is there to hear it.
			_ = b.history.server.reactor.Post(i, func() { b.deliver(sh) })
		}
	}
	d.frame.Release()
}

// deliver gives what is ready to the members on sh's loop.
func (b *book) deliver(sh *shard) {
	l := &b.lines[sh.index]
	l.mu.Lock()
	batch, number := l.ready, l.number
	l.ready = nil
	l.mu.Unlock()
	b.room.deliver(sh, batch)
	l.delivered.Store(number)
}
