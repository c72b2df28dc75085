package zerocopy

import (
	"net/http"
	"strconv"
	"strings"
	"time"
)

// A piece is a range of bytes within a file.
type piece struct{ from, n int64 }

// askedRange returns the range of bytes that a request asks for. found is false
// where the whole file is to be sent: no range, one that is not understood,
// several of them (RFC 9110, 14.2 allows all that), or one of another version
// of the file. n is 0 for a range that begins behind the end.
func askedRange(req *http.Request, modified time.Time, size int64) (p piece, found bool) {
	value := req.Header.Get("Range")
	if value == "" || req.Method != http.MethodGet {
		return piece{}, false // HEAD has no ranges: RFC 9110, 14.2
	}
	// If-Range: the part only if the rest of it is of the same file. A date
	// must be the very same one; "later" is for If-Modified-Since.
	if same := req.Header.Get("If-Range"); same != "" {
		if at, err := http.ParseTime(same); err != nil || !at.Equal(modified) {
			return piece{}, false
		}
	}
	return parseRange(value, size)
}

// parseRange understands "bytes=a-b", "bytes=a-" and "bytes=-n" (RFC 9110,
// 14.1.2) of a file of size bytes.
func parseRange(value string, size int64) (p piece, understood bool) {
	unit, spec, ok := strings.Cut(value, "=")
	if !ok || !strings.EqualFold(unit, "bytes") {
		return piece{}, false
	}
	first, last, ok := strings.Cut(strings.TrimSpace(spec), "-")
	if !ok {
		return piece{}, false
	}
	if first == "" { // the last n bytes
		n, ok := number(last)
		n = min(n, size)
		return piece{size - n, n}, ok
	}
	from, ok := number(first)
	if !ok {
		return piece{}, false
	}
	to := size - 1
	if last != "" {
		end, ok := number(last)
		if !ok || end < from {
			return piece{}, false
		}
		to = min(to, end)
	}
	return piece{from, max(to-from+1, 0)}, true
}

// number parses digits and nothing else. A number above what an int64 holds is
// as good as the largest one: no file is that long.
func number(s string) (int64, bool) {
	for _, c := range []byte(s) {
		if c < '0' || c > '9' {
			return 0, false
		}
	}
	n, _ := strconv.ParseInt(s, 10, 64) // out of range gives the largest
	return n, s != ""
}
