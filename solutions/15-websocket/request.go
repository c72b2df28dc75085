package websocket

import (
	"bytes"
	"net/http"
	"strings"
)

// request is the head of an HTTP/1.1 request (RFC 9112).
type request struct {
	method, target, version string
	header                  http.Header
}

var endOfHead = []byte("\r\n\r\n")

// headLength is the length of the request's head at the beginning of data, its
// empty line included, or 0 if that is not there yet. scanned is how much of
// data was looked at before: a request that comes byte by byte costs no more
// looks than one that comes at once.
func headLength(data []byte, scanned int) int {
	from := max(0, scanned-len(endOfHead)+1)
	i := bytes.Index(data[from:], endOfHead)
	if i < 0 {
		return 0
	}
	return from + i + len(endOfHead)
}

// parseRequest is strict. What two programs can read in two ways (a bare LF, a
// folded line, a space before the colon) is how requests are smuggled past a
// proxy, and no WebSocket client sends any of it.
func parseRequest(head []byte) (*request, bool) {
	text := string(head[:len(head)-len(endOfHead)])
	if !printable(text) {
		return nil, false
	}
	lines := strings.Split(text, "\r\n")
	r := &request{header: make(http.Header, len(lines))}
	parts := strings.Split(lines[0], " ")
	if len(parts) != 3 {
		return nil, false
	}
	r.method, r.target, r.version = parts[0], parts[1], parts[2]
	if !isToken(r.method) || !strings.HasPrefix(r.target, "/") || r.version != "HTTP/1.1" {
		return nil, false
	}
	for _, line := range lines[1:] {
		name, value, found := strings.Cut(line, ":")
		if !found || !isToken(name) { // a folded line begins with a space: no token
			return nil, false
		}
		r.header.Add(name, strings.Trim(value, " \t"))
	}
	return r, true
}

// printable reports whether there is no control character but TAB and the CR LF
// between lines.
func printable(s string) bool {
	for i := 0; i < len(s); i++ {
		switch b := s[i]; {
		case b == '\r' && i+1 < len(s) && s[i+1] == '\n':
			i++
		case b == '\t':
		case b < ' ' || b == 0x7f:
			return false
		}
	}
	return true
}

// isToken reports whether s is a token (RFC 9110, 5.6.2).
func isToken(s string) bool {
	for i := 0; i < len(s); i++ {
		b := s[i]
		letterOrDigit := b|0x20 >= 'a' && b|0x20 <= 'z' || b >= '0' && b <= '9'
		if !letterOrDigit && !strings.ContainsRune("!#$%&'*+-.^_`|~", rune(b)) {
			return false
		}
	}
	return s != ""
}

// has reports whether a field that is a list, over all of its lines, has a
// token, in any case of letters.
func (r *request) has(name, token string) bool {
	for _, item := range r.list(name) {
		if strings.EqualFold(item, token) {
			return true
		}
	}
	return false
}

// list is the items of a field that is a comma-separated list.
func (r *request) list(name string) (items []string) {
	for _, value := range r.header.Values(name) {
		for item := range strings.SplitSeq(value, ",") {
			if item = strings.Trim(item, " \t"); item != "" {
				items = append(items, item)
			}
		}
	}
	return items
}

// one is the value of a field that must be there once, "" otherwise.
func (r *request) one(name string) string {
	if values := r.header.Values(name); len(values) == 1 {
		return values[0]
	}
	return ""
}
