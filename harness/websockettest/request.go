package websockettest

import (
	"strings"
)

// request is an opening handshake as a client writes it, right or wrong.
type request struct {
	line   string
	fields []string
}

// usual is the client's example in RFC 6455, 1.3.
var usual = request{"GET /chat HTTP/1.1", []string{
	"Host: server.example.com",
	"Upgrade: websocket",
	"Connection: Upgrade",
	"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
	"Origin: http://example.com",
	"Sec-WebSocket-Version: 13",
}}

// bytes is the request on the wire.
func (q request) bytes() []byte {
	return []byte(q.line + "\r\n" + strings.Join(q.fields, "\r\n") + "\r\n\r\n")
}

// without leaves out the fields of a name.
func (q request) without(name string) request {
	var kept []string
	for _, f := range q.fields {
		if !strings.EqualFold(f[:strings.IndexByte(f, ':')], name) {
			kept = append(kept, f)
		}
	}
	return request{q.line, kept}
}

// with adds fields at the end.
func (q request) with(fields ...string) request {
	return request{q.line, append(append([]string(nil), q.fields...), fields...)}
}

// but has other fields in place of those of the same name.
func (q request) but(fields ...string) request {
	for _, f := range fields {
		q = q.without(f[:strings.IndexByte(f, ':')])
	}
	return q.with(fields...)
}

// ask has another request line.
func (q request) ask(line string) request { q.line = line; return q }

// filled is the request with a field that brings it to so many bytes.
func (q request) filled(size int) request {
	const name = "X-Filler: "
	room := size - len(q.bytes()) - len(name) - len("\r\n")
	return q.with(name + strings.Repeat("x", room))
}
