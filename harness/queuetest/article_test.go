package queuetest

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"path/filepath"
	"sync"
	"time"
)

// lines is the queue that everybody writes first, in our own code: JSON, a line
// for each record, appended to a file and flushed to the kernel; the consumer's
// offset is a variable. The article's title promises a message queue, and its
// text has none; this is the one that would have been there.
type lines struct {
	fs     FS
	file   File
	synced bool

	mu      sync.Mutex // guards the following
	size    int64
	records []Record
	closed  bool
}

// jsonRecord is a line of the file.
type jsonRecord struct {
	Offset int64
	Time   time.Time
	Key    []byte
	Value  []byte
}

// articleLab is it as it is written first; articleSynced has an fsync for each
// record, which is usually the second version.
var articleLab, articleSynced = linesLab(false), linesLab(true)

func linesLab(synced bool) lab {
	return lab{Full: errFull, TooLarge: errTooLarge, Closed: errClosed, Failed: errFailed, Range: errRange, Stale: errStale,
		ReadBatch: readLine, Damage: func(error) *Corrupt { return nil },
		Open: func(dir string, o Options) (judged, error) {
			f, err := openLines(dir, o)
			if err != nil {
				return nil, err
			}
			f.synced = synced
			return f, errors.Join(f.fs.SyncDir(filepath.Dir(dir)), f.fs.SyncDir(dir))
		}}
}

func openLines(dir string, o Options) (*lines, error) {
	fs := o.FS
	if fs == nil {
		fs = realFS{}
	}
	if err := fs.Mkdir(dir); err != nil {
		return nil, err
	}
	file, err := fs.Open(filepath.Join(dir, fmt.Sprintf("%020d.log", 0)), true)
	if err != nil {
		return nil, err
	}
	f := &lines{fs: fs, file: file}
	if f.size, err = file.Size(); err != nil {
		return nil, err
	}
	in := bufio.NewScanner(io.NewSectionReader(file, 0, f.size))
	in.Buffer(nil, 1<<20)
	for in.Scan() {
		var r jsonRecord
		if json.Unmarshal(in.Bytes(), &r) != nil {
			continue // whatever that was
		}
		f.records = append(f.records, Record(r))
	}
	return f, nil
}

func (f *lines) Append(_ context.Context, key, value []byte) (int64, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed {
		return -1, errClosed
	}
	r := Record{int64(len(f.records)), time.Now(), bytes.Clone(key), bytes.Clone(value)}
	line, err := json.Marshal(jsonRecord(r))
	if err != nil {
		return -1, err
	}
	n, err := f.file.Pwrite(append(line, '\n'), f.size)
	f.size += int64(n)
	if err == nil && f.synced {
		err = f.file.Sync()
	}
	if err != nil {
		return -1, err
	}
	f.records = append(f.records, r)
	return r.Offset, nil
}

func (f *lines) AppendAsync(ctx context.Context, key, value []byte, done func(int64, error)) error {
	offset, err := f.Append(ctx, key, value)
	if err == nil && done != nil {
		done(offset, nil)
	}
	return err
}

func (f *lines) TryAppend(key, value []byte, done func(int64, error)) error {
	return f.AppendAsync(context.Background(), key, value, done)
}

func (f *lines) Read(offset int64, most int) ([]Record, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if offset < 0 || offset > int64(len(f.records)) {
		return nil, errRange
	}
	var out []Record
	used := 0
	for _, r := range f.records[offset:] {
		if used += len(r.Key) + len(r.Value); used > most && len(out) > 0 {
			break
		}
		out = append(out, r)
	}
	return out, nil
}

func (f *lines) FetchTo(c net.Conn, offset int64, most int) (int64, error) {
	some, err := f.Read(offset, most)
	if err != nil {
		return offset, err
	}
	for _, r := range some {
		line, _ := json.Marshal(jsonRecord(r))
		if _, err := c.Write(append(line, '\n')); err != nil {
			return offset, err
		}
		offset++
	}
	return offset, nil
}

func readLine(r io.Reader) ([]Record, error) {
	var one jsonRecord
	if err := json.NewDecoder(r).Decode(&one); err != nil {
		return nil, err
	}
	return []Record{Record(one)}, nil
}

func (f *lines) Wait(ctx context.Context, offset int64) error {
	for {
		if _, next := f.Bounds(); next > offset {
			return nil
		}
		select {
		case <-time.After(10 * time.Millisecond):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (f *lines) Bounds() (int64, int64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return 0, int64(len(f.records))
}

func (f *lines) Retain() (int, error) { return 0, nil }

func (f *lines) Stats() Stats {
	f.mu.Lock()
	defer f.mu.Unlock()
	return Stats{Records: uint64(len(f.records)), Batches: uint64(len(f.records)), Segments: 1, Bytes: f.size}
}

func (f *lines) Close(context.Context) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.closed = true
	return nil
}

// linesGroup delivers from a variable on, and remembers who has what.
type linesGroup struct {
	f *lines

	mu    sync.Mutex // guards the following
	next  int64
	again []Delivery // that came back
	acked uint64
}

func (f *lines) Group(string, GroupOptions) (group, error) { return &linesGroup{f: f}, nil }

func (g *linesGroup) Receive(ctx context.Context) (Delivery, error) {
	for {
		g.mu.Lock()
		if len(g.again) > 0 {
			d := g.again[0]
			g.again = g.again[1:]
			g.mu.Unlock()
			d.Attempt++
			return d, nil
		}
		some, err := g.f.Read(g.next, 0)
		if err == nil && len(some) > 0 {
			g.next++
		}
		g.mu.Unlock()
		if err != nil || len(some) > 0 {
			return deliveryOf(some), err
		}
		select {
		case <-time.After(time.Second):
		case <-ctx.Done():
			return Delivery{}, ctx.Err()
		}
	}
}

func deliveryOf(some []Record) Delivery {
	if len(some) == 0 {
		return Delivery{}
	}
	r := some[0]
	return Delivery{r.Offset, r.Time, r.Key, r.Value, 1}
}

func (g *linesGroup) Ack(ds ...Delivery) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.acked += uint64(len(ds))
	return nil
}

func (g *linesGroup) Nack(d Delivery) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.again = append(g.again, d)
	return nil
}

func (g *linesGroup) Dead() judged { return &lines{} }

func (g *linesGroup) Stats() GroupStats {
	g.mu.Lock()
	defer g.mu.Unlock()
	return GroupStats{Committed: int64(g.acked), Acked: g.acked}
}
