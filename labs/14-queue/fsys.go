package queue

import (
	"io"
	"os"
	"slices"

	"golang.org/x/sys/unix"
)

// FS is what a log asks of a file system. It is an interface so that tests can
// have a disk that is full, that fails, and that forgets what was not synced.
//
// A file's content is on the disk when its Sync has returned nil; that the file
// is there, has this name, or is gone, is on the disk when SyncDir of its
// directory has. See fsync(2), which says so of the two, too.
type FS = interface {
	Mkdir(dir string) error                      // nil when it is there already
	List(dir string) ([]string, error)           // the names in it, sorted; of files and directories
	Open(name string, create bool) (File, error) // for reading and writing; os.ErrNotExist when it is not there and create is false
	Rename(from, to string) error                // takes the place of to, as a whole
	Remove(name string) error
	SyncDir(dir string) error
}

// File is an open file.
//
// After a Sync that has failed nobody knows which of the pages before it are on
// the disk. The kernel may count them as written, so that the next Sync returns
// nil: it says nothing about them. See "PostgreSQL's fsync() surprise", LWN 2018.
type File = interface {
	io.ReaderAt

	// Pwrite is pwrite(2): it may take fewer bytes than it was given, without
	// an error.
	Pwrite(p []byte, off int64) (n int, err error)

	Truncate(size int64) error
	Sync() error
	Size() (int64, error)
	Close() error
}

// osFS is the operating system's, for an Options.FS that is nil. It is given.
type osFS struct{}

func (osFS) Mkdir(dir string) error {
	if err := os.Mkdir(dir, 0o755); err != nil && !os.IsExist(err) {
		return err
	}
	return nil
}

func (osFS) List(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	slices.Sort(names)
	return names, err
}

func (osFS) Open(name string, create bool) (File, error) {
	flags := os.O_RDWR
	if create {
		flags |= os.O_CREATE
	}
	f, err := os.OpenFile(name, flags, 0o644)
	if err != nil {
		return nil, err
	}
	return osFile{f}, nil
}

func (osFS) Rename(from, to string) error { return os.Rename(from, to) }
func (osFS) Remove(name string) error     { return os.Remove(name) }

func (osFS) SyncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}

type osFile struct{ *os.File }

func (f osFile) Pwrite(p []byte, off int64) (n int, err error) {
	err = f.call(func(fd int) error { n, err = unix.Pwrite(fd, p, off); return err })
	return max(n, 0), err
}

// Sync is fdatasync(2): the content, and of the metadata what is needed to read
// it, the size above all.
func (f osFile) Sync() error { return f.call(unix.Fdatasync) }

// call makes a system call, again when a signal has interrupted it. The
// descriptor is not closed meanwhile.
func (f osFile) call(do func(fd int) error) error {
	raw, err := f.SyscallConn()
	if err != nil {
		return err
	}
	gone := raw.Control(func(fd uintptr) {
		for err = unix.EINTR; err == unix.EINTR; {
			err = do(int(fd))
		}
	})
	if gone != nil {
		return gone
	}
	return err
}

func (f osFile) Size() (int64, error) {
	info, err := f.Stat()
	if err != nil {
		return 0, err
	}
	return info.Size(), nil
}

var _ FS = osFS{}

// What writes all of a batch, however many calls of Pwrite that takes, goes here
// (step 4).
