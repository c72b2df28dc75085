package queuetest

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path"
	"slices"
	"strings"
	"sync"
)

// The judge's disk is in memory. It has what a real one has: what a process
// sees, which is everything that was written, and what a loss of power leaves,
// which is what was synced, and perhaps a part of the rest.

const (
	base   = "/data"     // is there, and durable
	logDir = "/data/log" // where the judge puts its logs
)

var (
	errPower  = errors.New("the power is gone")
	errNoRoom = errors.New("no space left on device") // says what ENOSPC says
	errIO     = errors.New("input/output error")      // and EIO
)

// disk is an [FS].
type disk struct {
	// before is asked for every operation, without the lock: it may wait, and
	// its error is the operation's. wrote is asked for every Pwrite: how many
	// of n bytes it takes, and with which error. Set before the log is opened,
	// or through change.
	before func(op op) error
	wrote  func(op op, n int) (int, error)

	mu    sync.Mutex        // guards the following
	now   map[string]*inode // what a process sees, by path
	saved map[string]*inode // what is in the directories on the disk
	count int               // operations that change something
	dead  bool
	read  int64 // bytes
	syncs int   // of files

	handles map[*handle]bool // that are open
}

// op is one operation.
type op struct {
	kind   string // "open", "create", "write", "truncate", "sync", "rename", "remove", "syncdir", "mkdir", "list", "read"
	path   string
	number int // counting those that change something, from 1 on; 0 for the others
}

func (o op) changes() bool { return o.kind != "open" && o.kind != "list" && o.kind != "read" }

// isLog reports whether the operation is on a segment of the log in logDir.
func (o op) isLog() bool { return path.Dir(o.path) == logDir && strings.HasSuffix(o.path, ".log") }

// inode is a file or a directory.
type inode struct {
	dir     bool
	data    []byte // what a process sees
	synced  []byte
	pending []change // since then
	lost    []change // counted as synced, and not on the disk: see forget
	bounds  []int64  // the size at each Sync, when it had grown
}

// change is a write, or a truncation when data is nil.
type change struct {
	data []byte
	at   int64
}

func (c change) apply(p []byte) []byte {
	end := c.at + int64(len(c.data))
	for int64(len(p)) < end || c.data == nil && int64(len(p)) < c.at {
		p = append(p, 0)
	}
	if c.data == nil {
		return p[:c.at]
	}
	copy(p[c.at:], c.data)
	return p
}

func newDisk() *disk {
	d := &disk{now: map[string]*inode{}, saved: map[string]*inode{}, handles: map[*handle]bool{}}
	for _, dir := range []string{"/", base} {
		n := &inode{dir: true}
		d.now[dir], d.saved[dir] = n, n
	}
	return d
}

// change sets what the disk does from now on.
func (d *disk) change(before func(op) error, wrote func(op, int) (int, error)) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.before, d.wrote = before, wrote
}

// begin is the beginning of every operation.
func (d *disk) begin(kind, name string) (op, error) {
	o := op{kind: kind, path: path.Clean(name)}
	d.mu.Lock()
	if o.changes() {
		d.count++
		o.number = d.count
	}
	dead, before := d.dead, d.before
	d.mu.Unlock()
	switch {
	case dead:
		return o, errPower
	case before != nil:
		return o, before(o)
	}
	return o, nil
}

func (d *disk) Mkdir(dir string) error {
	o, err := d.begin("mkdir", dir)
	if err != nil {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.now[path.Dir(o.path)] == nil {
		return fmt.Errorf("mkdir %s: %w", dir, os.ErrNotExist)
	}
	if d.now[o.path] == nil {
		d.now[o.path] = &inode{dir: true}
	}
	return nil
}

func (d *disk) List(dir string) ([]string, error) {
	o, err := d.begin("list", dir)
	if err != nil {
		return nil, err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if n := d.now[o.path]; n == nil || !n.dir {
		return nil, fmt.Errorf("list %s: %w", dir, os.ErrNotExist)
	}
	var names []string
	for p := range d.now {
		if path.Dir(p) == o.path && p != "/" {
			names = append(names, path.Base(p))
		}
	}
	slices.Sort(names)
	return names, nil
}

func (d *disk) Open(name string, create bool) (File, error) {
	p := path.Clean(name)
	d.mu.Lock()
	n := d.now[p]
	d.mu.Unlock()
	kind := "open"
	if n == nil && create {
		kind = "create"
	}
	if _, err := d.begin(kind, name); err != nil {
		return nil, err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if n = d.now[p]; n == nil && create && d.now[path.Dir(p)] != nil {
		n = &inode{}
		d.now[p] = n
	}
	if n == nil || n.dir {
		return nil, fmt.Errorf("open %s: %w", name, os.ErrNotExist)
	}
	h := &handle{d: d, n: n, path: p}
	d.handles[h] = true
	return h, nil
}

func (d *disk) Rename(from, to string) error {
	if _, err := d.begin("rename", to); err != nil {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	n := d.now[path.Clean(from)]
	if n == nil {
		return fmt.Errorf("rename %s: %w", from, os.ErrNotExist)
	}
	delete(d.now, path.Clean(from))
	d.now[path.Clean(to)] = n
	return nil
}

func (d *disk) Remove(name string) error {
	o, err := d.begin("remove", name)
	if err != nil {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.now[o.path] == nil {
		return fmt.Errorf("remove %s: %w", name, os.ErrNotExist)
	}
	delete(d.now, o.path)
	return nil
}

func (d *disk) SyncDir(dir string) error {
	o, err := d.begin("syncdir", dir)
	if err != nil {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if n := d.now[o.path]; n == nil || !n.dir {
		return fmt.Errorf("sync %s: %w", dir, os.ErrNotExist)
	}
	for p := range d.saved {
		if path.Dir(p) == o.path && d.now[p] == nil {
			delete(d.saved, p)
		}
	}
	for p, n := range d.now {
		if path.Dir(p) == o.path {
			d.saved[p] = n
		}
	}
	return nil
}

// handle is a [File].
type handle struct {
	d      *disk
	n      *inode
	path   string
	closed bool // guarded by d.mu
}

func (h *handle) ReadAt(p []byte, off int64) (int, error) {
	if _, err := h.d.begin("read", h.path); err != nil {
		return 0, err
	}
	h.d.mu.Lock()
	defer h.d.mu.Unlock()
	if h.closed {
		return 0, fmt.Errorf("read %s: %w", h.path, os.ErrClosed)
	}
	if off >= int64(len(h.n.data)) {
		return 0, io.EOF
	}
	n := copy(p, h.n.data[off:])
	h.d.read += int64(n)
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

func (h *handle) Pwrite(p []byte, off int64) (int, error) {
	o, err := h.d.begin("write", h.path)
	if err != nil {
		return 0, err
	}
	h.d.mu.Lock()
	defer h.d.mu.Unlock()
	if h.closed {
		return 0, fmt.Errorf("write %s: %w", h.path, os.ErrClosed)
	}
	n, failed := len(p), error(nil)
	if h.d.wrote != nil {
		n, failed = h.d.wrote(o, len(p))
	}
	if n > 0 {
		h.n.apply(change{slices.Clone(p[:n]), off})
	}
	return n, failed
}

func (h *handle) Truncate(size int64) error {
	if _, err := h.d.begin("truncate", h.path); err != nil {
		return err
	}
	h.d.mu.Lock()
	defer h.d.mu.Unlock()
	h.n.apply(change{nil, size})
	return nil
}

func (n *inode) apply(c change) {
	n.data = c.apply(n.data)
	n.pending = append(n.pending, c)
}

func (h *handle) Sync() error {
	if _, err := h.d.begin("sync", h.path); err != nil {
		return err
	}
	h.d.mu.Lock()
	defer h.d.mu.Unlock()
	h.d.syncs++
	if len(h.n.lost) == 0 {
		h.n.synced, h.n.pending = slices.Clone(h.n.data), nil
	} else {
		for _, c := range h.n.pending { // around the pages that are lost
			h.n.synced = c.apply(h.n.synced)
		}
		h.n.pending = nil
	}
	if size := int64(len(h.n.data)); len(h.n.bounds) == 0 || h.n.bounds[len(h.n.bounds)-1] < size {
		h.n.bounds = append(h.n.bounds, size)
	}
	return nil
}

func (h *handle) Size() (int64, error) {
	h.d.mu.Lock()
	defer h.d.mu.Unlock()
	if h.d.dead {
		return 0, errPower
	}
	return int64(len(h.n.data)), nil
}

func (h *handle) Close() error {
	h.d.mu.Lock()
	defer h.d.mu.Unlock()
	h.closed = true
	delete(h.d.handles, h)
	return nil
}

// unlinked is how many files are open that have been removed: as long as they
// are, a real disk keeps their bytes.
func (d *disk) unlinked() (n int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for h := range d.handles {
		if d.now[h.path] != h.n {
			n++
		}
	}
	return n
}

// kill has every operation fail from now on: what is left of the process that
// had the disk cannot touch it any more.
func (d *disk) kill() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.dead = true
}

// loss is what becomes of that which was not synced.
type loss struct {
	what  string
	names bool // changes of names that were not synced are there all the same
	every int  // or, if not 0, only the removals of each second segment: the first, third (1), or the others (2)
	torn  func(synced []byte, pending []change) []byte
}

// The losses that the judge tries. A write that was not synced may be there in
// part; a file may have got its length and not its bytes.
var (
	process = loss{what: "the process is killed: what it has written is there", names: true, torn: func(p []byte, all []change) []byte {
		return applied(p, all, func(n int) int { return n })
	}}
	power = loss{what: "the power goes: what was not synced is gone", torn: func(p []byte, _ []change) []byte { return p }}
	// Directories promise no order: of two files that were removed, the first
	// may be back and the second not.
	odd  = loss{what: "the power goes: of the removals that were not synced some are there", every: 1, torn: power.torn}
	even = loss{what: "the power goes: of the removals that were not synced the others are there", every: 2, torn: power.torn}

	half = loss{what: "the power goes: half of what was not synced is there", names: true, torn: func(p []byte, all []change) []byte {
		return applied(p, all, func(n int) int { return n / 2 })
	}}
	zeros = loss{what: "the power goes: files have their length, and zeros where they were not synced", names: true, torn: func(p []byte, all []change) []byte {
		full := applied(p, all, func(n int) int { return n })
		out := make([]byte, len(full))
		copy(out, p)
		return out
	}}
)

// tornAt keeps the first n bytes of the last write; with zeros behind them, or
// nothing.
func tornAt(n int, filled bool) loss {
	return loss{what: fmt.Sprintf("the power goes: %d bytes of the last write are there, zeros behind them: %v", n, filled), names: true, torn: func(p []byte, all []change) []byte {
		out := applied(p, all, func(int) int { return n })
		if filled {
			full := applied(p, all, func(n int) int { return n })
			out = append(out, make([]byte, max(0, len(full)-len(out)))...)
		}
		return out
	}}
}

// applied applies the changes, of the last write as much as keep says.
func applied(p []byte, all []change, keep func(n int) int) []byte {
	p = slices.Clone(p)
	last := -1
	for i, c := range all {
		if c.data != nil {
			last = i
		}
	}
	for i, c := range all {
		if i == last {
			c.data = c.data[:min(keep(len(c.data)), len(c.data))]
			if len(c.data) == 0 {
				continue
			}
		}
		p = c.apply(p)
	}
	return p
}

// after is the disk as a new process finds it. d stays as it is.
func (d *disk) after(l loss) *disk {
	d.mu.Lock()
	defer d.mu.Unlock()
	out := newDisk()
	names := d.saved
	if l.names {
		names = d.now
	}
	if l.every > 0 {
		names = d.someRemoved(l.every)
	}
	for p, n := range names {
		if !n.dir && d.reachable(names, p) {
			left := l.torn(n.synced, n.pending)
			out.now[p] = &inode{data: slices.Clone(left), synced: slices.Clone(left), bounds: slices.Clone(n.bounds)}
		} else if n.dir && d.reachable(names, p) {
			out.now[p] = &inode{dir: true}
		}
		if out.now[p] != nil {
			out.saved[p] = out.now[p]
		}
	}
	if l.what == process.what { // it is still in the kernel's memory only
		for p, n := range out.now {
			if old := d.now[p]; !n.dir {
				n.synced, n.pending = slices.Clone(old.synced), slices.Clone(old.pending)
			}
			switch old := d.saved[p]; {
			case old == d.now[p]:
			case old == nil:
				delete(out.saved, p)
			default: // a rename put another file there, and its directory was not synced
				out.saved[p] = &inode{dir: old.dir, data: slices.Clone(old.synced), synced: slices.Clone(old.synced)}
			}
		}
	}
	return out
}

// someRemoved is what is in the directories when some of the removals that were
// not synced are there.
func (d *disk) someRemoved(which int) map[string]*inode {
	var gone []string
	for p := range d.saved {
		if d.now[p] == nil && strings.HasSuffix(p, ".log") {
			gone = append(gone, p)
		}
	}
	slices.Sort(gone)
	names := maps.Clone(d.saved)
	for i, p := range gone {
		if i%2 == which-1 {
			delete(names, p)
		}
	}
	return names
}

// reachable reports whether all directories above p are there.
func (d *disk) reachable(names map[string]*inode, p string) bool {
	for p != "/" {
		p = path.Dir(p)
		if n := names[p]; n == nil || !n.dir {
			return false
		}
	}
	return true
}

// paths lists the files below dir that want accepts, sorted.
func (d *disk) paths(want func(p string) bool) []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	var all []string
	for p, n := range d.now {
		if !n.dir && want(p) {
			all = append(all, p)
		}
	}
	slices.Sort(all)
	return all
}

// segments lists the log's files.
func (d *disk) segments() []string {
	return d.paths(func(p string) bool { return op{path: p}.isLog() })
}

// content is a copy of what is in a file.
func (d *disk) content(p string) []byte {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.now[p] == nil {
		return nil
	}
	return slices.Clone(d.now[p].data)
}

// put replaces a file's content, durably.
func (d *disk) put(p string, data []byte) {
	d.mu.Lock()
	defer d.mu.Unlock()
	n := d.now[p]
	n.data, n.synced, n.pending = slices.Clone(data), slices.Clone(data), nil
}

// delete removes a file, durably.
func (d *disk) delete(p string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.now, p)
	delete(d.saved, p)
}

// bounds is where the batches of a file end: its sizes when it was synced.
func (d *disk) bounds(p string) []int64 {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Clone(d.now[p].bounds)
}

// counts is how many changes there were, how many files were synced, and how
// many bytes were read.
func (d *disk) counts() (changes, syncs int, read int64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.count, d.syncs, d.read
}
