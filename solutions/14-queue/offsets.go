package queue

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"strings"
)

// A group's file says what is done. It is never changed, always replaced: the
// new content goes into a file of its own, is synced, and renamed over the old
// one. A crash leaves one or the other. When an fsync fails, the whole file is
// written anew, so that, other than with a log, trying again is right.
//
//	CRC-32C (4)  "aqg1" (4)  committed (8)  then for each record that was
//	delivered from there on:  offset (8)  attempts (8), or -1 when it is done
const (
	groupsDir   = "groups"
	groupMagic  = "aqg1"
	groupHeader = 16
	done        = -1
	unfinished  = ".new"
)

// versions is who writes the file: one Ack writes for all who came before it
// began, as the committer does.
type versions struct {
	wanted, saved uint64
	saving        bool
}

// save has the group's state on the disk when it returns nil. mu is held, but
// not while the disk works.
func (g *Group) save() error {
	g.file.wanted++
	for mine := g.file.wanted; g.file.saved < mine; {
		if g.file.saving {
			g.saver.Wait()
			continue
		}
		text, version, committed := g.encode(), g.file.wanted, g.committed
		g.file.saving = true
		g.mu.Unlock()
		err := replace(g.log.opt.FS, g.path, text)
		if err == nil {
			g.log.setFloor(g.name, committed)
		}
		g.mu.Lock()
		g.file.saving = false
		if err == nil {
			g.file.saved = version
		}
		g.saver.Broadcast()
		if err != nil {
			return fmt.Errorf("save what group %s has done: %w", g.name, err)
		}
	}
	return nil
}

// replace makes text the content of the file at path, on the disk, as a whole.
func replace(fs FS, path string, text []byte) error {
	f, err := fs.Open(path+unfinished, true)
	if err != nil {
		return err
	}
	if err = f.Truncate(0); err == nil {
		err = writeAll(f, text, 0)
	}
	if err == nil {
		err = f.Sync()
	}
	if failed := f.Close(); err == nil {
		err = failed
	}
	if err == nil {
		err = fs.Rename(path+unfinished, path)
	}
	if err != nil {
		return err
	}
	return fs.SyncDir(filepath.Dir(path))
}

// setFloor notes for Retain what a group has committed.
func (l *Log) setFloor(name string, committed int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.floors[name] = committed
}

// encode is the group's file. mu is held.
func (g *Group) encode() []byte {
	le := binary.LittleEndian
	p := append(make([]byte, 4, 64), groupMagic...)
	p = le.AppendUint64(p, uint64(g.committed))
	pair := func(offset, what int64) { p = le.AppendUint64(le.AppendUint64(p, uint64(offset)), uint64(what)) }
	for offset := range g.done {
		pair(offset, done)
	}
	for offset, l := range g.leases {
		pair(offset, int64(l.attempt))
	}
	for offset, n := range g.attempts {
		pair(offset, int64(n))
	}
	le.PutUint32(p, crc32.Checksum(p[4:], castagnoli))
	return p
}

// load reads the group's file, or writes the first one. Nobody else knows the
// group yet.
func (g *Group) load() error {
	l := g.log
	p, err := readFile(l.opt.FS, g.path)
	if errors.Is(err, os.ErrNotExist) {
		return g.create()
	}
	if err != nil {
		return err
	}
	if g.committed, err = committedIn(g.path, p); err != nil {
		return err
	}
	if _, next := l.Bounds(); g.committed > next {
		return &CorruptError{g.path, 0, fmt.Sprintf("offset %d is committed, and the log ends at %d", g.committed, next)}
	}
	le := binary.LittleEndian
	for p = p[groupHeader:]; len(p) > 0; p = p[16:] {
		offset, what := int64(le.Uint64(p)), int64(le.Uint64(p[8:]))
		if what == done {
			g.done[offset] = true
		} else {
			g.attempts[offset] = int(what)
		}
	}
	return nil
}

// create makes a new group, which keeps what is there from now on.
func (g *Group) create() error {
	l := g.log
	l.mu.Lock()
	g.committed = l.segments[0].base
	l.floors[g.name] = g.committed
	l.mu.Unlock()
	dir := filepath.Dir(g.path)
	if err := l.opt.FS.Mkdir(dir); err != nil {
		return err
	}
	if err := l.opt.FS.SyncDir(l.dir); err != nil {
		return err
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.save()
}

// committedIn checks a group's file.
func committedIn(path string, p []byte) (int64, error) {
	le := binary.LittleEndian
	if len(p) < groupHeader || len(p)%16 != 0 || string(p[4:8]) != groupMagic || le.Uint32(p) != crc32.Checksum(p[4:], castagnoli) {
		return 0, &CorruptError{path, 0, "this is not what was written there"}
	}
	return int64(le.Uint64(p[8:])), nil
}

// loadFloors reads what all groups have committed, those that nobody will open
// too: they keep their records.
func (l *Log) loadFloors() error {
	dir := filepath.Join(l.dir, groupsDir)
	names, err := l.opt.FS.List(dir)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, name := range names {
		if strings.HasSuffix(name, unfinished) {
			continue
		}
		path := filepath.Join(dir, name)
		p, err := readFile(l.opt.FS, path)
		if err != nil {
			return err
		}
		if l.floors[name], err = committedIn(path, p); err != nil {
			return err
		}
	}
	return l.opt.FS.SyncDir(dir) // for Retain goes by them, and who renamed one may have been killed then
}

func readFile(fs FS, path string) ([]byte, error) {
	f, err := fs.Open(path, false)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	n, err := f.Size()
	if err != nil {
		return nil, err
	}
	p := make([]byte, n)
	return p, readFull(f, p, 0)
}

// close ends the group: with its log.
func (g *Group) close(ctx context.Context) error {
	g.mu.Lock()
	err := g.save() // the attempts
	g.closed = true
	g.wake()
	g.mu.Unlock()
	if failed := g.dead.Close(ctx); err == nil {
		err = failed
	}
	return err
}
