package websockettest

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"time"

	"github.com/gorilla/websocket"

	"github.com/asynclab/asynclab/harness/meter"
	"github.com/asynclab/asynclab/harness/spec"
)

const (
	readSize = 64 << 10 // bytes that come with one read, for either side
	rounds   = 9        // of each side, in turns
)

// against has the lab's parser and that of gorilla/websocket read the same
// frames from memory, in turns, and returns by how many times the lab's needs
// less CPU time: the median of the rounds, since a busy machine spoils single
// ones.
func against(r *spec.Run, l lab, size, frames int) (spec.Sample, error) {
	s := newStream(size, frames)
	r.Step("%d masked frames of %d bytes, %d rounds for each side", frames, size, rounds)
	var ratios, ours, theirs []float64
	for range rounds {
		lab, err := cpuOf(func() error { return s.readByLab(l) })
		if err != nil {
			return spec.Sample{}, err
		}
		other, err := cpuOf(s.readByGorilla)
		if err != nil {
			return spec.Sample{}, err
		}
		ratios = append(ratios, other.Seconds()/max(lab.Seconds(), 1e-6))
		ours = append(ours, s.perSecond(lab))
		theirs = append(theirs, s.perSecond(other))
		if err := r.Context().Err(); err != nil {
			return spec.Sample{}, err
		}
	}
	mib := float64(size) / (1 << 20)
	return spec.Sample{Value: middle(ratios), Also: map[string]float64{
		"frames/CPU-s": middle(ours), "gorilla frames/CPU-s": middle(theirs), "MiB/CPU-s": middle(ours) * mib, "gorilla MiB/CPU-s": middle(theirs) * mib,
	}}, nil
}

// cpuOf is what fn costs this process.
func cpuOf(fn func() error) (time.Duration, error) {
	before, err := meter.Self()
	failed := fn()
	after, last := meter.Self()
	return before.Until(after).CPU(), errors.Join(err, failed, last)
}

func middle(all []float64) float64 {
	slices.Sort(all)
	return all[len(all)/2]
}

// stream is frames from a client, the same few over and over.
type stream struct {
	block  []byte // frames on the wire
	first  []byte // their payloads' first bytes
	size   int    // of a payload
	blocks int
}

func newStream(size, frames int) *stream {
	perBlock := max(1, 4*readSize/size)
	s := &stream{size: size, blocks: (frames + perBlock - 1) / perBlock}
	for i := range perBlock {
		p := pattern(i, size)
		s.block, s.first = append(s.block, in(bin(p))...), append(s.first, p[0])
	}
	return s
}

func (s *stream) frames() int { return s.blocks * len(s.first) }

func (s *stream) perSecond(cpu time.Duration) float64 {
	return float64(s.frames()) / max(cpu.Seconds(), 1e-6)
}

// check looks at message n; it is cheap, as both sides pay for it.
func (s *stream) check(n int, p []byte) bool {
	return len(p) == s.size && p[0] == s.first[n%len(s.first)]
}

// readByLab gives the frames to the lab's Conn as lab 03's loop does: what it
// has not consumed stays in front of what the next read brings.
func (s *stream) readByLab(l lab) error {
	got, wrong := 0, 0
	c := l.New(&Options[Conn]{OnMessage: func(_ Conn, _ bool, p []byte) {
		if !s.check(got, p) {
			wrong++
		}
		got++
	}}, deaf{})
	give(c, usual.bytes(), 1000)
	from, buf, kept := s.reader(), make([]byte, readSize), 0
	for {
		n, err := from.Read(buf[kept:])
		if err == io.EOF {
			break
		}
		data := buf[:kept+n]
		kept = copy(buf, data[c.Data(data):])
		if kept == len(buf) {
			return fmt.Errorf("the connection leaves %d bytes unconsumed", kept)
		}
	}
	if got != s.frames() || wrong > 0 {
		return fmt.Errorf("of %d frames, %d became messages, %d of these wrong", s.frames(), got, wrong)
	}
	return nil
}

// readByGorilla reads them as gorilla's users do who care for speed: into a
// buffer that is used again, never with ReadMessage.
func (s *stream) readByGorilla() error {
	c, err := hijacked(s.reader())
	if err != nil {
		return err
	}
	buf := make([]byte, s.size+1)
	for got := range s.frames() {
		_, message, err := c.NextReader()
		if err != nil {
			return fmt.Errorf("gorilla/websocket, message %d: %w", got, err)
		}
		n, err := io.ReadFull(message, buf)
		if err != io.ErrUnexpectedEOF || !s.check(got, buf[:n]) {
			return fmt.Errorf("gorilla/websocket, message %d has %d bytes: %v", got, n, err)
		}
	}
	return nil
}

// reader is all of the stream from its beginning.
func (s *stream) reader() io.Reader { return &repeated{block: s.block, left: s.blocks} }

// repeated is a block of bytes, so many times. It fills what it is given.
type repeated struct {
	block []byte
	at    int
	left  int
}

func (f *repeated) Read(p []byte) (n int, err error) {
	for f.left > 0 && n < len(p) {
		took := copy(p[n:], f.block[f.at:])
		n += took
		if f.at += took; f.at == len(f.block) {
			f.at, f.left = 0, f.left-1
		}
	}
	if n == 0 {
		return 0, io.EOF
	}
	return n, nil
}

// hijacked is gorilla's server side of a connection whose bytes are in memory.
func hijacked(from io.Reader) (*websocket.Conn, error) {
	request, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(usual.without("Origin").bytes())))
	if err != nil {
		return nil, err
	}
	upgrader := websocket.Upgrader{ReadBufferSize: readSize}
	return upgrader.Upgrade(memory{from: from}, request, nil)
}

// memory is the net.Conn and the http.ResponseWriter of a connection that reads
// from memory and writes nowhere.
type memory struct {
	net.Conn // nil: nothing but the methods below is used
	from     io.Reader
}

func (m memory) Read(p []byte) (int, error)  { return m.from.Read(p) }
func (m memory) Write(p []byte) (int, error) { return len(p), nil }
func (m memory) Close() error                { return nil }
func (m memory) SetDeadline(time.Time) error { return nil }

func (m memory) Header() http.Header { return http.Header{} }
func (m memory) WriteHeader(int)     {}

func (m memory) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	return m, bufio.NewReadWriter(bufio.NewReader(m.from), bufio.NewWriter(m)), nil
}
