package queuetest

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"

	"github.com/asynclab/asynclab/harness/spec"
)

var fetchRules = []spec.Rule[lab]{
	{
		Name: "FetchSendsTheFile", Group: "fetch", Points: 2, Section: step6,
		Why: "Batches go to a consumer as they are in the file, so nobody has to take them apart, and the kernel can send them from its cache. Whole ones only: half a batch has no CRC.",
		Hints: [3]string{
			"Where does what you send begin, and where does it end?",
			"At the batch with the offset in it; behind a whole batch, at least one, and then no more than maxBytes.",
			"locate(offset); walk the headers from there; zerocopy.Send(c, file, position, n, zerocopy.Sendfile), and on where it stopped when it says ErrChanged: the file has only grown",
		},
		Check: fetchSends,
	},
	{
		Name: "FetchIsPatient", Group: "fetch", Points: 1, Section: step6,
		Why: "A consumer on a slow line takes a minute for a megabyte. Appending and reading go on meanwhile. A consumer that is gone is an error, and what is not acknowledged is sent to nobody.",
		Hints: [3]string{
			"Who holds which lock while the socket is full?",
			"Nobody: look up file, position and length under the lock, and send without it.",
			"locate(offset) locks and unlocks; then send(c, s.file, position, n)",
		},
		Check: fetchPatient,
	},
	{
		Name: "BatchesAreChecked", Group: "fetch", Points: 1, Section: step6,
		Why: "Between this disk and the consumer are caches, cards and cables. The CRC that was made when the batch was written is checked where it is used.",
		Hints: [3]string{
			"A bit has changed on the way. Who notices, and when?",
			"ReadBatch, for every bit of the batch; before it believes any record of it.",
			"io.ReadFull the header, then size bytes; if crc32.Checksum(batch[4:], castagnoli) != crc { error }",
		},
		Check: batchesChecked,
	},
}

// countBytes reads c to its end, and says how many bytes there were.
func countBytes(c net.Conn) <-chan []byte {
	all := make(chan []byte, 1)
	go func() {
		p, _ := io.ReadAll(c)
		all <- p
	}()
	return all
}

// tcpPair is two ends of a connection.
func tcpPair(r *spec.Run) (near, far *net.TCPConn, err error) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, nil, err
	}
	defer ln.Close()
	a, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		return nil, nil, err
	}
	b, err := ln.Accept()
	if err != nil {
		a.Close()
		return nil, nil, err
	}
	r.Cleanup(func() {
		a.Close()
		b.Close()
	})
	return b.(*net.TCPConn), a.(*net.TCPConn), nil
}

// folder is a directory on a real disk.
func folder(r *spec.Run) (string, error) {
	dir, err := os.MkdirTemp("", "asynclab-queue-")
	if err == nil {
		r.Cleanup(func() { os.RemoveAll(dir) })
	}
	return dir, err
}

func fetchSends(r *spec.Run, l lab) error {
	dir, err := folder(r)
	if err != nil {
		return err
	}
	dir = filepath.Join(dir, "log")
	q, err := l.Open(dir, Options{SegmentBytes: 2000, IndexBytes: 200})
	if err != nil {
		return spec.Fail("Open to open a log on a real file system", "it returned: %v", err)
	}
	r.Cleanup(func() { q.Close(r.Context()) })
	const n = 120
	for i := 0; i < n; {
		to := min(i+1+i%4, n)
		if err := batch(r, q, i, to, nil); err != nil {
			return err
		}
		if err := r.Call("Wait to return", func() error { return q.Wait(r.Context(), int64(to-1)) }); err != nil {
			return err
		}
		i = to
	}
	var files []byte
	names, _ := filepath.Glob(filepath.Join(dir, "*.log"))
	for _, name := range names {
		p, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		files = append(files, p...)
	}
	r.Step("%d records in %d files; FetchTo over TCP from every offset, with maxBytes 1, 300 and 100,000", n, len(names))
	for at := int64(0); at <= n; at++ {
		for _, most := range []int{1, 300, 100_000} {
			if err := fetchOnce(r, l, q, files, at, n, most); err != nil {
				return err
			}
		}
	}
	near, _, err := tcpPair(r)
	if err != nil {
		return err
	}
	if _, err := q.FetchTo(near, n+1, 100); !isErr(err, l.Range) {
		return spec.Fail("FetchTo beyond the end to return ErrRange", "it returned %s", l.name(err))
	}
	return nil
}

func fetchOnce(r *spec.Run, l lab, q judged, files []byte, at, n int64, most int) error {
	near, far, err := tcpPair(r)
	if err != nil {
		return err
	}
	defer near.Close()
	defer far.Close()
	all := countBytes(far)
	next, err := q.FetchTo(near, at, most)
	if err != nil {
		return spec.Fail("FetchTo to return nil", "FetchTo(%d, %d) returned %s", at, most, l.name(err))
	}
	near.CloseWrite()
	got, late := spec.Wait(r, "what was fetched to arrive", all)
	if late != nil {
		return late
	}
	call := fmt.Sprintf("FetchTo(%d, %d)", at, most)
	if at == n {
		if len(got) > 0 || next != n {
			return spec.Fail(call+" at the end to send nothing", "it sent %d bytes and returned %d", len(got), next)
		}
		return nil
	}
	if !bytes.Contains(files, got) || len(got) == 0 {
		return spec.Fail(call+" to send bytes as they are in a segment", "the %d bytes that came are not there in one piece", len(got))
	}
	in := bytes.NewReader(got)
	var records []Record
	batches := 0
	for {
		some, err := l.ReadBatch(in)
		if err == io.EOF {
			break
		}
		if err != nil {
			return spec.Fail(call+" to send whole batches, which ReadBatch reads", "ReadBatch returned %v at byte %d of %d", err, len(got)-in.Len(), len(got))
		}
		if batches == 0 && (len(some) == 0 || some[0].Offset > at || some[len(some)-1].Offset < at) {
			return spec.Fail(fmt.Sprintf("%s to begin with the batch that has offset %d", call, at), "it begins with %v", offsets(some))
		}
		batches++
		records = append(records, some...)
	}
	if batches > 1 && len(got) > most {
		return spec.Fail(fmt.Sprintf("%s to send at most %d bytes, or one batch", call, most), "it sent %d batches of %d bytes", batches, len(got))
	}
	first := int(records[0].Offset)
	if err := same(records, "in what "+call+" sent", first, first+len(records)); err != nil {
		return err
	}
	if want := records[len(records)-1].Offset + 1; next != want {
		return spec.Fail(fmt.Sprintf("%s to return %d, the offset behind what it has sent", call, want), "it returned %d", next)
	}
	return nil
}

func fetchPatient(r *spec.Run, l lab) error {
	d, q, err := filled(r, l, Options{}, 5)
	if err != nil {
		return err
	}
	r.Step("a consumer fetches and does not read; 50 records come")
	f, err := slowFetch(r, q)
	if err != nil {
		return err
	}
	if err := r.Call("Append and Read to go on while a consumer does not read: is a lock held?", func() error { return fill(r, l, q, 5, 55) }); err != nil {
		return err
	}
	if err := f.finish(r, l); err != nil {
		return err
	}
	r.Step("another consumer is gone")
	near, far := pipe(r)
	far.Close()
	if _, err := q.FetchTo(near, 0, 1000); err == nil {
		return spec.Fail("FetchTo to return the connection's error", "it returned nil")
	}
	r.Step("a record is written, and its fsync runs")
	g := newGate(r, logSyncs)
	d.change(g.before, nil)
	if err := batch(r, q, 55, 56, nil); err != nil {
		return err
	}
	if err := r.Until("an fsync to begin", func() bool { return g.came() == 1 }); err != nil {
		return err
	}
	near, far = pipe(r)
	all := countBytes(far)
	if next, err := q.FetchTo(near, 55, 1000); err != nil || next != 55 {
		return spec.Fail("FetchTo to send nothing and return 55 while the fsync of offset 55 runs", "it returned %d and %s", next, l.name(err))
	}
	for at := int64(50); at < 55; { // it may send fewer than there are
		next, err := q.FetchTo(near, at, 1<<20)
		if err != nil || next <= at || next > 55 {
			return spec.Fail("FetchTo to end with offset 55 while its fsync runs", "from %d on it returned %d and %s", at, next, l.name(err))
		}
		at = next
	}
	near.Close()
	<-all
	return fetchWhileItGrows(r, l)
}

// fetchWhileItGrows has a consumer on a real connection that reads late, from a
// file to which others append.
func fetchWhileItGrows(r *spec.Run, l lab) error {
	const n, size = 64, 256 << 10 // 16 MiB: more than sockets hold
	dir, err := folder(r)
	if err != nil {
		return err
	}
	q, err := l.Open(filepath.Join(dir, "log"), Options{})
	if err != nil {
		return spec.Fail("Open to open a log on a real file system", "it returned: %v", err)
	}
	r.Cleanup(func() { q.Close(r.Context()) })
	more := func() error {
		if _, err := q.Append(r.Context(), nil, make([]byte, size)); err != nil {
			return spec.Fail("Append to return nil", "it returned %s", l.name(err))
		}
		return nil
	}
	for range n {
		if err := more(); err != nil {
			return err
		}
	}
	near, far, err := tcpPair(r)
	if err != nil {
		return err
	}
	r.Step("a consumer on a TCP connection fetches 16 MiB and reads them late; meanwhile others append to the file")
	f := &fetch{far: far, done: make(chan error, 1)}
	go func() {
		defer near.CloseWrite()
		before, err := int64(-1), error(nil)
		for err == nil && before < f.next && f.next < n {
			before = f.next
			f.next, err = q.FetchTo(near, before, 2*n*size)
		}
		f.done <- err
	}()
	for range 4 {
		if _, err := io.CopyN(&f.read, far, 3<<20); err != nil {
			break // records says why
		}
		if err := more(); err != nil {
			return err
		}
	}
	records, err := f.records(r, l)
	if err != nil {
		return err
	}
	for i, got := range records {
		if got.Offset != int64(i) || len(got.Value) != size {
			return spec.Fail(fmt.Sprintf("record %d of %d bytes", i, size), "offset %d of %d bytes came", got.Offset, len(got.Value))
		}
	}
	if int64(len(records)) != f.next {
		return spec.Fail(fmt.Sprintf("the records to %d, which FetchTo has returned", f.next), "%d came", len(records))
	}
	return nil
}

// fetch is a FetchTo from offset 0 on, of which some was read.
type fetch struct {
	far  net.Conn
	read bytes.Buffer
	next int64 // when done
	done chan error
}

func slowFetch(r *spec.Run, q judged) (*fetch, error) {
	near, far := pipe(r)
	f := &fetch{far: far, done: make(chan error, 1)}
	go func() {
		var err error
		f.next, err = q.FetchTo(near, 0, 1<<20)
		near.Close()
		f.done <- err
	}()
	return f, r.Call("the first byte to come", func() error { _, err := io.CopyN(&f.read, far, 1); return err })
}

// finish reads the rest, and holds that it is the log from offset 0 on.
func (f *fetch) finish(r *spec.Run, l lab) error {
	records, err := f.records(r, l)
	if err != nil {
		return err
	}
	return same(records, "for a consumer that was slow", 0, int(f.next))
}

// records reads the rest, and returns all.
func (f *fetch) records(r *spec.Run, l lab) (records []Record, err error) {
	rest, late := spec.Wait(r, "the rest to come", countBytes(f.far))
	if late != nil {
		return nil, late
	}
	if err := <-f.done; err != nil {
		return nil, spec.Fail("FetchTo to return nil: what it sends is there until it has ended, and does not change", "it returned %s", l.name(err))
	}
	f.read.Write(rest)
	in := bytes.NewReader(f.read.Bytes())
	for {
		some, err := l.ReadBatch(in)
		if err == io.EOF {
			return records, nil
		}
		if err != nil {
			return nil, spec.Fail("whole batches", "ReadBatch returned %v", err)
		}
		records = append(records, some...)
	}
}

func batchesChecked(r *spec.Run, l lab) error {
	_, q, err := filled(r, l, Options{}, 2)
	if err != nil {
		return err
	}
	near, far := pipe(r)
	all := countBytes(far)
	for at := int64(0); at < 2; { // it may send fewer than there are
		next, err := q.FetchTo(near, at, 1<<20)
		if err != nil || next <= at {
			return spec.Fail("FetchTo to send the next batch and return nil", "FetchTo(%d) returned %d and %s", at, next, l.name(err))
		}
		at = next
	}
	near.Close()
	good := <-all
	in := bytes.NewReader(good)
	if _, err := l.ReadBatch(in); err != nil {
		return spec.Fail("ReadBatch to read what FetchTo has sent", "it returned %v", err)
	}
	one := len(good) - in.Len()
	if one >= len(good) || one == 0 {
		return spec.Fail("ReadBatch to read one batch, and no byte of the next", "it has read %d of %d bytes", one, len(good))
	}
	r.Step("a batch of %d bytes ends at every byte; each of its bits is changed", one)
	for n := range one {
		_, err := l.ReadBatch(bytes.NewReader(good[:n]))
		want := io.ErrUnexpectedEOF
		if n == 0 {
			want = io.EOF
		}
		if !errors.Is(err, want) || n > 0 && err == io.EOF {
			return spec.Fail(fmt.Sprintf("ReadBatch to return %v after %d of %d bytes", want, n, one), "it returned %v", err)
		}
	}
	for bit := range one * 8 {
		bad := bytes.Clone(good)
		bad[bit/8] ^= 1 << (bit % 8)
		if got, err := l.ReadBatch(bytes.NewReader(bad)); err == nil {
			return spec.Fail(fmt.Sprintf("ReadBatch to refuse a batch whose byte %d has changed", bit/8), "it returned %d records: %v", len(got), offsets(got))
		}
	}
	return nil
}
