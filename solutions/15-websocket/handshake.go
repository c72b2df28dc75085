package websocket

import (
	"crypto/sha1"
	"encoding/base64"
	"fmt"
	"net/http"
	"slices"
)

// guid is in every accept value, so that no server that does not speak WebSocket
// can give one by accident (RFC 6455, 1.3).
const guid = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"

// readRequest answers the opening handshake (RFC 6455, 4.2) when it is whole.
func (c *Conn) readRequest(data []byte) (n int) {
	n = headLength(data, int(c.scanned))
	if limit := c.opts.maxHeader(); n > limit || n == 0 && len(data) >= limit {
		c.refuse(http.StatusRequestHeaderFieldsTooLarge, "")
		return 0
	}
	c.scanned = int32(len(data))
	if n == 0 {
		return 0
	}
	r, ok := parseRequest(data[:n])
	if !ok {
		c.refuse(http.StatusBadRequest, "")
		return 0
	}
	if status, extra := r.check(); status != 0 {
		c.refuse(status, extra)
		return 0
	}
	if fn := c.opts.OnRequest; fn != nil {
		status := fn(c, r.target, r.header)
		switch {
		case c.state != handshake: // it has called Close
			return 0
		case status != 0:
			c.refuse(status, "")
			return 0
		}
	}
	c.accept(r)
	return n
}

// check holds the request against RFC 6455, 4.2.1, and returns the status that
// refuses it, and fields that have to go with it, or 0.
func (r *request) check() (status int, extra string) {
	switch {
	case r.method != http.MethodGet:
		return http.StatusMethodNotAllowed, "Allow: GET\r\n"
	case r.one("Host") == "":
		return http.StatusBadRequest, ""
	case r.header.Get("Content-Length") != "" && r.one("Content-Length") != "0", r.header.Get("Transfer-Encoding") != "":
		return http.StatusBadRequest, "" // a body would be taken for frames
	case r.header.Get("Upgrade") == "":
		return http.StatusUpgradeRequired, "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
	case !r.has("Upgrade", "websocket"), !r.has("Connection", "Upgrade"):
		return http.StatusBadRequest, ""
	case r.one("Sec-WebSocket-Version") != "13":
		return http.StatusUpgradeRequired, "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
	case !isKey(r.one("Sec-WebSocket-Key")):
		return http.StatusBadRequest, ""
	}
	return 0, ""
}

// isKey reports whether key is 16 bytes in base64.
func isKey(key string) bool {
	raw, err := base64.StdEncoding.Strict().DecodeString(key)
	return err == nil && len(raw) == 16
}

// accept answers 101. No extension is ever in the answer, which declines all
// that were offered (RFC 6455, 9.1).
func (c *Conn) accept(r *request) {
	c.choose(r)
	answer := "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
		"Sec-WebSocket-Accept: " + acceptValue(r.one("Sec-WebSocket-Key")) + "\r\n"
	if c.protocol != 0 {
		answer += "Sec-WebSocket-Protocol: " + c.Protocol() + "\r\n"
	}
	if _, err := c.transport.Write([]byte(answer + "\r\n")); err != nil {
		c.end(err)
		return
	}
	c.state, c.opened, c.scanned = open, true, 0
	if fn := c.opts.OnOpen; fn != nil {
		fn(c)
	}
}

// choose takes the first of our protocols that the client offers.
func (c *Conn) choose(r *request) {
	offered := r.list("Sec-WebSocket-Protocol")
	for i, p := range c.opts.Protocols {
		if slices.Contains(offered, p) {
			c.protocol = int16(i + 1)
			return
		}
	}
}

// acceptValue is SHA-1 of the key and the GUID, in base64 (RFC 6455, 4.2.2).
func acceptValue(key string) string {
	sum := sha1.Sum([]byte(key + guid))
	return base64.StdEncoding.EncodeToString(sum[:])
}

// refuse answers with an HTTP status, and ends the transport.
func (c *Conn) refuse(status int, extra string) {
	text := fmt.Sprintf("%d %s\n", status, http.StatusText(status))
	answer := fmt.Sprintf("HTTP/1.1 %d %s\r\n%sConnection: close\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: %d\r\n\r\n%s",
		status, http.StatusText(status), extra, len(text), text)
	c.transport.Write([]byte(answer))
	c.finish()
}
