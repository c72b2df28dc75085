package queuetest

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// vfile is a segment. Its index has every batch.
type vfile struct {
	base, next  int64
	path        string
	file        File
	size        int64
	first, last time.Time
	batches     []vbatch
	fetches     int  // that read it; guarded by mu
	gone        bool // removed; guarded by mu
	kept        bool // only by a fault
}

// over closes a file that was removed, behind its last reader. mu is held.
func (f *vfile) over() {
	if f.gone && f.fetches == 0 && !f.kept {
		f.file.Close()
	}
}

type vbatch struct {
	base  int64
	count int
	at    int64
	size  int64
}

type vcorrupt Corrupt

func (c *vcorrupt) Error() string {
	return fmt.Sprintf("variant: %s at %d: %s", c.File, c.Position, c.Reason)
}

// A batch is: "!", CRC of the rest, size, position, base, time, count, and
// records with their lengths; big endian.
const vheader = 1 + 4 + 4 + 8 + 8 + 8 + 4

func (f fault) encode(all []vrecord, base int64, at int64, now time.Time) []byte {
	be := binary.BigEndian
	p := make([]byte, vheader)
	for _, r := range all {
		p = be.AppendUint32(p, uint32(len(r.key)))
		p = be.AppendUint32(p, uint32(len(r.value)))
		p = append(append(p, r.key...), r.value...)
	}
	p[0] = '!'
	be.PutUint32(p[5:], uint32(len(p)))
	be.PutUint64(p[9:], uint64(at))
	be.PutUint64(p[17:], uint64(base))
	be.PutUint64(p[25:], uint64(now.UnixNano()))
	be.PutUint32(p[33:], uint32(len(all)))
	be.PutUint32(p[1:], f.sum(p))
	return p
}

// sum is the CRC, of what the fault leaves of a batch.
func (f fault) sum(p []byte) uint32 {
	c := crc32.MakeTable(crc32.Castagnoli)
	switch {
	case f.is("no CRC"):
		return 0
	case f.is("the CRC does not cover the header"):
		return crc32.Checksum(p[vheader:], c)
	case f.is("the CRC does not cover the base"):
		return crc32.Update(crc32.Checksum(p[5:17], c), c, p[25:])
	case f.is("the CRC does not cover the lengths of records"):
		sum := uint32(0)
		for rest := p[vheader:]; len(rest) >= 8; {
			n := int(binary.BigEndian.Uint32(rest)) + int(binary.BigEndian.Uint32(rest[4:]))
			rest = rest[8:]
			n = min(max(n, 0), len(rest))
			sum = crc32.Update(sum, c, rest[:n])
			rest = rest[n:]
		}
		return crc32.Update(sum, c, p[5:vheader])
	}
	return crc32.Checksum(p[5:], c)
}

// decode reads a batch from the beginning of p. at is where it should be, -1 for
// anywhere.
func (f fault) decode(p []byte, at int64) ([]Record, error) {
	be := binary.BigEndian
	switch {
	case len(p) < vheader || p[0] != '!':
		return nil, errors.New("no batch")
	case be.Uint32(p[5:]) > uint32(len(p)) || be.Uint32(p[5:]) < vheader:
		return nil, errors.New("no room for a batch")
	case at >= 0 && be.Uint64(p[9:]) != uint64(at):
		return nil, errors.New("another place's batch")
	}
	p = p[:be.Uint32(p[5:])]
	if f.sum(p) != be.Uint32(p[1:]) && !f.is("no CRC") {
		return nil, errors.New("wrong CRC")
	}
	return f.split(p)
}

// split takes a batch apart.
func (f fault) split(p []byte) (all []Record, err error) {
	be := binary.BigEndian
	base, at := int64(be.Uint64(p[17:])), time.Unix(0, int64(be.Uint64(p[25:])))
	count := int(be.Uint32(p[33:]))
	rest := p[vheader:]
	for i := range count {
		if len(rest) < 8 {
			return all, io.ErrUnexpectedEOF
		}
		k, v := int(be.Uint32(rest)), int(be.Uint32(rest[4:]))
		rest = rest[8:]
		if k < 0 || v < 0 || k+v > len(rest) {
			return all, io.ErrUnexpectedEOF
		}
		if f.is("a key runs on into its value") {
			all = append(all, Record{base + int64(i), at, rest[:k], rest[k : k+v]})
			rest = rest[k+v:]
			continue
		}
		all = append(all, Record{base + int64(i), at, append([]byte(nil), rest[:k]...), append([]byte(nil), rest[k:k+v]...)})
		rest = rest[k+v:]
	}
	if len(rest) > 0 {
		return all, errors.New("more than the records")
	}
	return all, nil
}

func (f fault) readBatch(r io.Reader) ([]Record, error) {
	if f.is("ReadBatch reads ahead") {
		p, err := io.ReadAll(r)
		if len(p) == 0 {
			return nil, io.EOF
		}
		if err == nil && (len(p) < vheader || int(binary.BigEndian.Uint32(p[5:])) > len(p)) {
			return nil, io.ErrUnexpectedEOF
		}
		return f.decode(p, -1)
	}
	head := make([]byte, vheader)
	if _, err := io.ReadFull(r, head); err != nil {
		return nil, err
	}
	n := binary.BigEndian.Uint32(head[5:])
	if n < vheader || n > 20<<20 {
		return nil, errors.New("no batch")
	}
	p := append(head, make([]byte, n-vheader)...)
	if _, err := io.ReadFull(r, p[vheader:]); err != nil {
		if f.is("a torn batch is the end") {
			return nil, io.EOF
		}
		return nil, io.ErrUnexpectedEOF
	}
	if f.is("ReadBatch checks nothing") {
		return f.split(p)
	}
	return f.decode(p, -1)
}

func (v *variant) name(base int64) string {
	if v.is("files are called by their number") {
		base = int64(len(v.files))
	}
	return filepath.Join(v.dir, fmt.Sprintf("%020d.log", base))
}

// store writes a batch. written is called behind the write. mu is held, but not
// while the disk works.
func (v *variant) store(all []vrecord, written func(base int64)) (int64, error) {
	if !v.is("the lock is held over the fsync") {
		v.mu.Unlock()
		defer v.mu.Lock()
	}
	lock, unlock := v.mu.Lock, v.mu.Unlock
	if v.is("the lock is held over the fsync") {
		lock, unlock = func() {}, func() {}
	}
	lock()
	f := v.last()
	unlock()
	if f.size >= v.o.SegmentBytes && !v.is("one file for ever") {
		next, err := v.roll(f, lock, unlock)
		if err != nil {
			return -1, err
		}
		f = next
		if v.is("the first record of a new file is lost") {
			return f.next, nil
		}
	}
	base, at := f.next, f.size
	if v.is("offsets begin with 1") && base == 0 {
		base = 1
	}
	now := time.Now()
	p := v.fault.encode(all, base, at, now)
	if err := v.writeAll(f.file, p, at); err != nil && !v.is("a full disk is acknowledged") {
		return -1, v.failedWrite(f, all, err)
	}
	show := func() {
		lock()
		defer unlock()
		if len(f.batches) == 0 {
			f.first = now
		}
		f.batches = append(f.batches, vbatch{base, len(all), at, int64(len(p))})
		f.next, f.size, f.last = base+int64(len(all)), at+int64(len(p)), now
		v.n.Records += uint64(len(all))
		v.n.Batches++
		v.grow()
	}
	if v.is("readers see what is not synced") || v.is("acknowledges before the fsync") {
		show()
		lock()
		written(base)
		unlock()
	}
	if err := v.sync(f.file); err != nil {
		return -1, fmt.Errorf("%w: %w", errFailed, err)
	}
	if !v.is("readers see what is not synced") && !v.is("acknowledges before the fsync") {
		show()
	}
	return base, nil
}

func (v *variant) sync(f File) error {
	if v.is("never syncs") {
		return nil
	}
	err := f.Sync()
	switch {
	case err != nil && v.is("an fsync that fails is tried again"):
		return f.Sync()
	case v.is("ignores the error of fsync"):
		return nil
	}
	return err
}

// failedWrite takes back what a failed write has left.
func (v *variant) failedWrite(f *vfile, all []vrecord, err error) error {
	switch {
	case v.is("a full disk leaves a hole"):
		if n, _ := f.file.Size(); n > f.size {
			f.size = n
		}
		return err
	case v.is("what a full disk has taken stays"):
		v.mu.Lock()
		defer v.mu.Unlock()
		if f.next += int64(len(all)); len(f.batches) == 0 {
			f.base = f.next
		}
		return err
	case v.is("a full disk is the end"):
		return fmt.Errorf("%w: %w", errFailed, err)
	}
	if failed := f.file.Truncate(f.size); failed != nil && !v.is("hopes that it was cut off") {
		return fmt.Errorf("%w: %w", errFailed, errors.Join(err, failed))
	}
	return err
}

func (v *variant) writeAll(f File, p []byte, at int64) error {
	for len(p) > 0 {
		n, err := f.Pwrite(p, at)
		switch {
		case err != nil:
			return err
		case n < len(p) && v.is("a short write is an error"):
			return io.ErrShortWrite
		case v.is("a short write is a write"):
			return nil
		case n == 0:
			return io.ErrNoProgress
		}
		p, at = p[n:], at+int64(n)
	}
	return nil
}

// roll begins a new file.
func (v *variant) roll(f *vfile, lock, unlock func()) (*vfile, error) {
	if err := f.file.Sync(); err != nil {
		return nil, fmt.Errorf("%w: %w", errFailed, err)
	}
	lock()
	path := v.name(f.next)
	unlock()
	file, err := v.fs.Open(path, true)
	if err != nil {
		if v.is("a new file that cannot be made is the end") {
			err = fmt.Errorf("%w: %w", errFailed, err)
		}
		return nil, err
	}
	if !v.is("the name of a new file is not synced") {
		if err := v.fs.SyncDir(v.dir); err != nil && !v.is("ignores the error of the directory's fsync") {
			return nil, fmt.Errorf("%w: %w", errFailed, err)
		}
	}
	v.saveIndex(f)
	next := &vfile{base: f.next, next: f.next, path: path, file: file}
	lock()
	v.files = append(v.files, next)
	unlock()
	v.Retain()
	return next, nil
}

// create makes a file, for a fault.
func (v *variant) create(base int64) *vfile {
	path := v.name(base)
	file, err := v.fs.Open(path, true)
	if err != nil {
		panic(err)
	}
	v.fs.SyncDir(v.dir)
	return &vfile{base: base, next: base, path: path, file: file}
}

// vindex is an index file's content.
type vindex struct {
	Base, Next, Size int64
	First, Last      time.Time
	Batches          [][4]int64
	Sum              uint32
}

func (x vindex) sum() uint32 {
	x.Sum = 0
	p, _ := json.Marshal(x)
	return crc32.ChecksumIEEE(p)
}

func (v *variant) saveIndex(f *vfile) {
	x := vindex{Base: f.base, Next: f.next, Size: f.size, First: f.first.Round(0), Last: f.last.Round(0)}
	for _, b := range f.batches {
		x.Batches = append(x.Batches, [4]int64{b.base, int64(b.count), b.at, b.size})
	}
	x.Sum = x.sum()
	p, _ := json.Marshal(x)
	file, err := v.fs.Open(f.path+".index", true)
	if err != nil {
		return
	}
	defer file.Close()
	if file.Truncate(0) == nil {
		v.writeAll(file, p, 0)
	}
}

// loadIndex reports whether f's index is there and right. Its error comes only
// from a fault.
func (v *variant) loadIndex(f *vfile, next int64) (bool, error) {
	file, err := v.fs.Open(f.path+".index", false)
	if err != nil {
		if v.is("an index that is missing is an error") {
			return false, err
		}
		return false, nil
	}
	defer file.Close()
	n, _ := file.Size()
	p := make([]byte, n)
	file.ReadAt(p, 0)
	var x vindex
	size, err := f.file.Size()
	if failed := json.Unmarshal(p, &x); failed != nil || err != nil {
		if v.is("an index that is wrong is an error") {
			return false, failed
		}
		return false, nil
	}
	right := x.Sum == x.sum() && x.Base == f.base && x.Next == next && x.Size == size
	if v.is("believes any index that it can read") {
		right = len(x.Batches) > 0
	}
	if !right {
		return false, nil
	}
	f.next, f.size, f.first, f.last = x.Next, x.Size, x.First, x.Last
	for _, b := range x.Batches {
		f.batches = append(f.batches, vbatch{b[0], int(b[1]), b[2], b[3]})
	}
	return true, nil
}

func (v *variant) recover() error {
	if err := v.fs.Mkdir(v.dir); err != nil {
		return err
	}
	if !v.is("the log's own directory is not synced") {
		if err := v.fs.SyncDir(filepath.Dir(v.dir)); err != nil {
			return err
		}
	}
	names, err := v.fs.List(v.dir)
	if err != nil {
		return err
	}
	for _, name := range names {
		digits, isLog := strings.CutSuffix(name, ".log")
		if !isLog {
			continue
		}
		base, err := strconv.ParseInt(digits, 10, 64)
		if err != nil {
			continue
		}
		path := filepath.Join(v.dir, name)
		file, err := v.fs.Open(path, false)
		if err != nil {
			return err
		}
		v.files = append(v.files, &vfile{base: base, next: base, path: path, file: file})
	}
	found := len(v.files) > 0
	if !found {
		file, err := v.fs.Open(v.name(0), true)
		if err != nil {
			return err
		}
		v.files = append(v.files, &vfile{path: v.name(0), file: file})
	}
	if !v.is("the tail is cut before the groups are read") {
		if err := v.loadFloors(); err != nil {
			return err
		}
	}
	for i, f := range v.files {
		last := i == len(v.files)-1
		if !last {
			if ok, err := v.loadIndex(f, v.files[i+1].base); ok || err != nil {
				if err != nil {
					return err
				}
				continue
			}
		}
		if err := v.scan(f, last); err != nil {
			return err
		}
		if last && f.size == 0 && i > 0 && v.is("an empty last file is an error") {
			return &vcorrupt{f.path, 0, "empty"}
		}
		if !last && f.next != v.files[i+1].base && !v.is("a missing file is none") {
			return &vcorrupt{f.path, f.size, "the next file is another one's"}
		}
	}
	if v.is("the tail is cut before the groups are read") {
		if err := v.loadFloors(); err != nil {
			return err
		}
	}
	if !v.is("believes what the kernel remembers") && !v.is("never syncs") {
		if err := v.last().file.Sync(); err != nil {
			return err
		}
	}
	if v.is("the directory is not synced at Open") || found && v.is("the directory is synced at the first Open only") {
		return nil
	}
	return v.fs.SyncDir(v.dir)
}

// scan reads a file through.
func (v *variant) scan(f *vfile, last bool) error {
	n, err := f.file.Size()
	if err != nil {
		return err
	}
	p := make([]byte, n)
	if k, err := f.file.ReadAt(p, 0); int64(k) < n {
		return fmt.Errorf("variant: read %s: %w", f.path, err)
	}
	for f.size < n {
		records, err := v.fault.decode(p[f.size:], f.size)
		if err == nil && (len(records) == 0 || records[0].Offset != f.next) && !v.is("offsets begin with 1") {
			err = errors.New("another offset")
		}
		if err != nil {
			err = v.broken(f, p, last, err.Error())
			if err == errSkip {
				continue
			}
			return err
		}
		size := int64(binary.BigEndian.Uint32(p[f.size+5:]))
		v.note(f, records, size)
	}
	return nil
}

func (v *variant) note(f *vfile, records []Record, size int64) {
	if len(f.batches) == 0 {
		f.first = records[0].Time
	}
	f.batches = append(f.batches, vbatch{records[0].Offset, len(records), f.size, size})
	f.next, f.size, f.last = records[len(records)-1].Offset+1, f.size+size, records[0].Time
}

var errSkip = errors.New("skip it")

// broken decides on what is wrong at f.size: the tail is cut, anything else is
// refused.
func (v *variant) broken(f *vfile, p []byte, last bool, why string) error {
	at := f.size
	behind := int64(-1) // where something whole is
	for i := at + 1; i+vheader <= int64(len(p)); i++ {
		where := i
		if v.is("looks behind damage in pieces") && (i-at-1)>>20 != (i-at-1+vheader-1)>>20 {
			continue
		}
		if v.is("takes a batch in a value for one of its own") {
			where = -1
		}
		if _, err := v.fault.decode(p[i:], where); err == nil {
			behind = i
			break
		}
	}
	damaged := behind >= 0 || !last
	switch {
	case damaged && v.is("damage is skipped") && behind >= 0:
		f.size = behind
		if records, err := v.fault.decode(p[behind:], behind); err == nil {
			f.next = records[0].Offset
		}
		return errSkip
	case damaged && v.is("damage is cut off"):
	case damaged && v.is("an error says nothing of the place"):
		return &vcorrupt{f.path, 0, why}
	case damaged && v.is("what is refused is cut all the same"):
		f.file.Truncate(at)
		return &vcorrupt{f.path, at, why}
	case damaged || v.is("a torn tail is an error"):
		return &vcorrupt{f.path, at, why}
	}
	switch {
	case v.is("a torn tail is read as far as it goes") && len(p[at:]) > vheader && p[at] == '!':
		if all, _ := v.fault.split(p[at:]); len(all) > 0 {
			whole := make([]vrecord, len(all))
			for i, r := range all {
				whole[i] = vrecord{key: r.Key, value: r.Value}
			}
			again := v.fault.encode(whole, all[0].Offset, at, all[0].Time)
			v.writeAll(f.file, again, at)
			f.file.Truncate(at + int64(len(again)))
			v.note(f, all, int64(len(again)))
			return nil
		}
	case v.is("the next batch goes behind a torn tail"):
		f.size = int64(len(p))
		return nil
	}
	return f.file.Truncate(at)
}
