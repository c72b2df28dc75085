package capstonetest

import (
	"encoding/binary"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/gorilla/websocket"
)

// book is a kept room: a file, and all of it in memory. It is the stand-in's way,
// not one for long histories. Nothing is synced: the judge kills processes, not
// machines. Guarded by the stand-in's mu.
type book struct {
	file  *os.File
	items []item
	first int // for a fault: how many there were when the process began
}

// openBooks reads the kept rooms.
func (s *standin) openBooks() error {
	if s.history == "" {
		return nil
	}
	if err := os.MkdirAll(s.history, 0o755); err != nil {
		return err
	}
	for name := range strings.SplitSeq(s.historyRooms, ",") {
		b, err := openBook(filepath.Join(s.history, name), s.fault)
		if err != nil {
			return err
		}
		s.books[name] = b
	}
	return nil
}

func openBook(path, fault string) (*book, error) {
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return nil, err
	}
	b := &book{file: file}
	all, err := os.ReadFile(path)
	if err != nil || fault == "history is forgotten" {
		return b, firstError(err, file.Truncate(0))
	}
	end := 0
	for len(all)-end >= 5 {
		n := int(binary.BigEndian.Uint32(all[end:]))
		if len(all)-end-5 < n {
			break // torn
		}
		b.items = append(b.items, item{int(all[end+4]), all[end+5 : end+5+n]})
		end += 5 + n
	}
	if fault == "numbers begin again" {
		b.first = len(b.items)
	}
	_, err = file.Seek(int64(end), 0)
	return b, firstError(err, file.Truncate(int64(end)))
}

// keep writes a message down, and returns it with its number.
func (s *standin) keep(b *book, it item) item {
	if s.fault != "heard before it is written" {
		head := append(binary.BigEndian.AppendUint32(nil, uint32(len(it.payload))), byte(it.kind))
		b.file.Write(append(head, it.payload...))
	}
	b.items = append(b.items, it)
	return s.numbered(b, len(b.items)-1)
}

// numbered is message i of b as members hear it.
func (s *standin) numbered(b *book, i int) item {
	it := b.items[i]
	switch {
	case s.fault == "no numbers in a kept room":
		return it
	case s.fault == "all history is text":
		it.kind = websocket.TextMessage
	}
	return item{it.kind, append(fmt.Appendf(nil, "%d ", i+1-b.first), it.payload...)}
}

// since is what a client has seen last: -1 for one that wants nothing that was.
func (s *standin) since(r *http.Request, room string) (n int, ok bool) {
	if !r.URL.Query().Has("since") || s.fault == "since means nothing" {
		return -1, true
	}
	n, err := strconv.Atoi(r.URL.Query().Get("since"))
	if s.fault == "any since will do" {
		return n, true
	}
	return n, err == nil && n >= 0 && s.books[room] != nil
}

// catchUp writes what the guest has missed, and then makes it a member. It runs
// on the guest's writer.
func (g *guest) catchUp(s *standin) bool {
	b := s.books[g.room]
	next := g.since
	s.mu.Lock()
	if next < 0 || next > len(b.items) {
		next = len(b.items)
	}
	if s.fault == "history begins one late" && next+1 < len(b.items) {
		next++
	}
	if s.fault == "a member before its history" {
		s.seat(g)
	}
	if s.fault == "history through the queue" {
		for ; next < len(b.items); next++ {
			g.put(s, s.numbered(b, next), false)
		}
	}
	s.mu.Unlock()
	for {
		s.mu.Lock()
		var piece []item
		for ; next < len(b.items) && len(piece) < 16; next++ {
			piece = append(piece, s.numbered(b, next))
		}
		if len(piece) == 0 {
			if s.fault == "a gap at the seam" && g.since > 0 && len(b.items) > 0 {
				before := len(b.items)
				s.mu.Unlock()
				for end := time.Now().Add(100 * time.Millisecond); time.Now().Before(end) && before == s.length(b); {
					time.Sleep(time.Millisecond)
				}
				s.mu.Lock()
			}
			g.put(s, item{websocket.TextMessage, fmt.Appendf(nil, "=%d", next-b.first)}, true)
			if s.fault != "a member before its history" {
				s.seat(g)
			}
			s.mu.Unlock()
			return true
		}
		if s.fault != "the room waits for a reader of history" {
			s.mu.Unlock()
		}
		for _, it := range piece {
			if g.conn.WriteMessage(it.kind, it.payload) != nil {
				return false
			}
		}
		if s.fault == "the room waits for a reader of history" {
			s.mu.Unlock()
		}
	}
}

func (s *standin) length(b *book) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(b.items)
}

// seat makes g a member. mu is held.
func (s *standin) seat(g *guest) {
	if s.rooms[g.room] == nil {
		s.rooms[g.room] = map[*guest]struct{}{}
	}
	s.rooms[g.room][g] = struct{}{}
}
