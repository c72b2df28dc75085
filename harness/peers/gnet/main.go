// Command gnet is panjf2000/gnet v2 with a minimal codec of our own: enough of
// RFC 6455 for the load and no more, which flatters it. Answers of one turn are
// written together, for echo and for rooms: its best configuration.
package main

import (
	"bytes"
	"crypto/sha1"
	"encoding/base64"
	"encoding/binary"
	"strings"

	"github.com/panjf2000/gnet/v2"

	"github.com/asynclab/asynclab/harness/peers/peer"
)

type server struct {
	gnet.BuiltinEventEngine
	at    string
	rooms map[string]map[gnet.Conn]struct{} // one loop: no lock
	out   []byte
}

type session struct{ room string }

func (s *server) OnBoot(gnet.Engine) gnet.Action {
	go peer.Ready(s.at)
	return gnet.None
}

func (s *server) OnClose(c gnet.Conn, _ error) gnet.Action {
	if x, ok := c.Context().(*session); ok && x.room != "" {
		delete(s.rooms[x.room], c)
	}
	return gnet.None
}

func (s *server) OnTraffic(c gnet.Conn) gnet.Action {
	in, _ := c.Peek(-1)
	x, open := c.Context().(*session)
	if !open {
		head, _, found := bytes.Cut(in, []byte("\r\n\r\n"))
		if !found {
			return gnet.None
		}
		x = s.shake(c, string(head))
		c.Discard(len(head) + 4)
		in = in[len(head)+4:]
	}
	s.out = s.out[:0]
	used := 0
	for {
		n, ok := s.frame(in[used:])
		if !ok {
			return gnet.Close
		}
		if n == 0 {
			break
		}
		used += n
	}
	if used > 0 {
		c.Discard(used)
	}
	switch {
	case len(s.out) == 0:
	case x.room == "":
		c.Write(s.out)
	default:
		for m := range s.rooms[x.room] {
			m.Write(s.out)
		}
	}
	return gnet.None
}

func (s *server) shake(c gnet.Conn, head string) *session {
	lines := strings.Split(head, "\r\n")
	x := &session{room: peer.Room(strings.Fields(lines[0])[1])}
	key := ""
	for _, l := range lines[1:] {
		if name, v, _ := strings.Cut(l, ":"); strings.EqualFold(name, "Sec-WebSocket-Key") {
			key = strings.TrimSpace(v)
		}
	}
	sum := sha1.Sum([]byte(key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"))
	c.Write([]byte("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: " +
		base64.StdEncoding.EncodeToString(sum[:]) + "\r\n\r\n"))
	c.SetContext(x)
	if x.room != "" {
		if s.rooms[x.room] == nil {
			s.rooms[x.room] = map[gnet.Conn]struct{}{}
		}
		s.rooms[x.room][c] = struct{}{}
	}
	return x
}

// frame appends the answer to one frame. Control frames end the connection.
func (s *server) frame(p []byte) (n int, ok bool) {
	if len(p) < 6 {
		return 0, true
	}
	if p[0]&0xf > 2 || p[1]&0x80 == 0 || p[1]&0x7f == 127 {
		return 0, false
	}
	head, size := 2, int(p[1]&0x7f)
	if size == 126 {
		head, size = 4, int(binary.BigEndian.Uint16(p[2:]))
	}
	if len(p) < head+4+size {
		return 0, true
	}
	key, payload := p[head:head+4], p[head+4:head+4+size]
	s.out = append(s.out, p[0])
	if size < 126 {
		s.out = append(s.out, byte(size))
	} else {
		s.out = binary.BigEndian.AppendUint16(append(s.out, 126), uint16(size))
	}
	at := len(s.out)
	s.out = append(s.out, payload...)
	wide := uint64(binary.LittleEndian.Uint32(key))
	wide |= wide << 32
	body := s.out[at:]
	for len(body) >= 8 {
		binary.LittleEndian.PutUint64(body, binary.LittleEndian.Uint64(body)^wide)
		body = body[8:]
	}
	for i := range body {
		body[i] ^= key[i&3]
	}
	return head + 4 + size, true
}

func main() {
	l := peer.Listen()
	at := l.Addr().String()
	l.Close()
	s := &server{at: at, rooms: map[string]map[gnet.Conn]struct{}{}}
	peer.Check(gnet.Run(s, "tcp://"+at, gnet.WithMulticore(false), gnet.WithNumEventLoop(1), gnet.WithTCPNoDelay(gnet.TCPNoDelay)))
}
