package zerocopytest

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/asynclab/asynclab/harness/spec"
)

var answerRules = []spec.Rule[lab]{
	{
		Name: "AnswersAFile", Group: "answers", Points: 2, Section: step3,
		Why: "After Hijack, what is in w.Header() is written by nobody: the article's client sees a file where a status line must be. Who sends bytes himself writes the head himself.",
		Hints: [3]string{
			"Read what you send with curl -v. Which header is missing, or wrong?",
			"A status line, Date, Content-Length, Last-Modified, Accept-Ranges, Content-Type by the name's ending, an empty line; then the file.",
			"time.Now().UTC().AppendFormat(h, http.TimeFormat)",
		},
		Check: answersAFile,
	},
	{
		Name: "HeadHasNoBody", Group: "answers", Points: 1, Section: step3,
		Why: "HEAD is GET without the body. Who sends it all the same has it taken for the next answer.",
		Hints: [3]string{
			"What follows your answer to HEAD on the wire?",
			"The same head as for GET, with the length the body would have, and nothing behind it.",
			"if req.Method == http.MethodHead { r.file, r.body = nil, nil }",
		},
		Check: headHasNoBody,
	},
	{
		Name: "KeepsConnections", Group: "answers", Points: 2, Section: step3,
		Why: "A connection costs more than a small file. HTTP/1.1 keeps it, unless one side says otherwise, and requests may come before the answers.",
		Hints: [3]string{
			"Who reads the second request when it came with the first in one read?",
			"Keep one bufio.Reader for the life of the connection. req.Close says whether the client wants no more; HTTP/1.0 has to be told keep-alive.",
			"keep := !req.Close; Connection: keep-alive or close, always one of them",
		},
		Check: keepsConnections,
	},
	{
		Name: "RangesAreExact", Group: "answers", Points: 3, Section: step3,
		Why: "Downloads are resumed with them, and players jump. One byte too few, and the file is worthless.",
		Hints: [3]string{
			"bytes=0-0 is how many bytes? What is bytes=-5, and what bytes=5-2?",
			"Both ends are included; -n are the last n; what is not understood, or several, is answered with the whole file; from behind the end on it is 416.",
			"Content-Range: bytes from-(from+n-1)/size, and for 416: bytes */size",
		},
		Check: rangesAreExact,
	},
	{
		Name: "IfRangeGuards", Group: "answers", Points: 1, Section: step3,
		Why: "A download that goes on after the file was replaced makes one file of two.",
		Hints: [3]string{
			"What does a client say in If-Range, and when does the range hold?",
			"Only when the date is exactly Last-Modified; otherwise the whole file comes, with 200.",
			"if at, err := http.ParseTime(v); err != nil || !at.Equal(modified) { no range }",
		},
		Check: ifRangeGuards,
	},
	{
		Name: "IfModifiedSince", Group: "answers", Points: 1, Section: step3,
		Why: "The cheapest way to send a file is not to.",
		Hints: [3]string{
			"File times have nanoseconds, dates of HTTP do not.",
			"Cut the time to seconds before you compare; 304 has no body and no Content-Length of one.",
			"info.ModTime().UTC().Truncate(time.Second)",
		},
		Check: ifModifiedSince,
	},
}

var page = map[string]int64{"empty.txt": 0, "one": 1, "page.html": 4096, "large.bin": 300_001}

func answersAFile(r *spec.Run, l lab) error {
	return byEach(r, func(way string) error {
		s, err := open(r, l, Options{Way: way}, page)
		if err != nil {
			return err
		}
		if err := put(s.dir, "index.html", 10); err != nil {
			return err
		}
		for _, q := range []struct {
			path string
			n    int64
		}{{"page.html", 4096}, {"one", 1}, {"empty.txt", 0}, {"large.bin", 300_001}, {"", 10}} {
			path, n := q.path, q.n
			resp, g, err := s.get("GET /" + path + " HTTP/1.1")
			if err != nil {
				return err
			}
			if err := whole(resp, g, n); err != nil {
				return of("GET /"+path, err)
			}
			if err := headers(s, resp, path); err != nil {
				return err
			}
		}
		return nil
	})
}

// of adds to a failure what was asked for.
func of(asked string, err error) error {
	var f *spec.Failure
	if !errors.As(err, &f) {
		return err
	}
	return &spec.Failure{Expected: f.Expected + ", for " + asked, Happened: f.Happened}
}

// headers looks at what goes with every file.
func headers(s *site, resp *http.Response, path string) error {
	if path == "" {
		path = "index.html"
	}
	info, err := os.Stat(filepath.Join(s.dir, path))
	if err != nil {
		return err
	}
	kind := "application/octet-stream"
	switch filepath.Ext(path) {
	case ".html":
		kind = "text/html"
	case ".txt":
		kind = "text/plain"
	}
	if got := resp.Header.Get("Content-Type"); !strings.HasPrefix(got, kind) {
		return spec.Fail("Content-Type "+kind+" for "+path, "%q", got)
	}
	if want, got := info.ModTime().UTC().Format(http.TimeFormat), resp.Header.Get("Last-Modified"); got != want {
		return spec.Fail("Last-Modified: "+want, "%q", got)
	}
	if date, err := http.ParseTime(resp.Header.Get("Date")); err != nil || time.Since(date).Abs() > time.Hour {
		return spec.Fail("Date: with the time", "%q", resp.Header.Get("Date"))
	}
	if got := resp.Header.Get("Accept-Ranges"); got != "bytes" {
		return spec.Fail("Accept-Ranges: bytes", "%q", got)
	}
	return nil
}

func headHasNoBody(r *spec.Run, l lab) error {
	s, err := open(r, l, Options{}, page)
	if err != nil {
		return err
	}
	v, err := visit(r, s.addr, 0)
	if err != nil {
		return err
	}
	r.Step("HEAD, a HEAD of nothing, and GET on one connection")
	for _, q := range []struct {
		method, path string
		status       int
		length, body int64
	}{
		{"HEAD", "/large.bin", 200, 300_001, 0},
		{"HEAD", "/missing", 404, -2, 0},
		{"GET", "/page.html", 200, 4096, 4096},
	} {
		if err := v.ask(q.method + " " + q.path + " HTTP/1.1"); err != nil {
			return err
		}
		resp, g, err := v.answer(q.method)
		if err != nil {
			return spec.Fail(fmt.Sprintf("%s %s to be answered", q.method, q.path), "%v", err)
		}
		if resp.StatusCode != q.status || q.length >= 0 && resp.ContentLength != q.length || g.n != q.body {
			return spec.Fail(fmt.Sprintf("%s %s: %d, Content-Length %d, and %d bytes", q.method, q.path, q.status, q.length, q.body), "%d, Content-Length %d; %s", resp.StatusCode, resp.ContentLength, g)
		}
	}
	return nil
}

func keepsConnections(r *spec.Run, l lab) error {
	s, err := open(r, l, Options{}, page)
	if err != nil {
		return err
	}
	v, err := visit(r, s.addr, 0)
	if err != nil {
		return err
	}
	r.Step("three requests in one write")
	get := request("GET /large.bin HTTP/1.1")
	if _, err := io.WriteString(v, get+request("GET /missing HTTP/1.1")+get); err != nil {
		return err
	}
	for i, status := range []int{200, 404, 200} {
		resp, g, err := v.answer("GET")
		if err != nil {
			return spec.Fail(fmt.Sprintf("answer %d of 3", i+1), "%v", err)
		}
		if resp.StatusCode != status || status == 200 && (g.n != 300_001 || g.bad >= 0) {
			return spec.Fail(fmt.Sprintf("answer %d of 3 to be %d", i+1, status), "%d; %s", resp.StatusCode, g)
		}
	}
	r.Step("300 requests in one write: their heads are longer than MaxHead together")
	if v, err = visit(r, s.addr, 0); err != nil {
		return err
	}
	if _, err := io.WriteString(v, strings.Repeat(request("GET /one HTTP/1.1"), 300)); err != nil {
		return err
	}
	for i := range 300 {
		resp, _, err := v.answer("GET")
		if err != nil {
			return spec.Fail(fmt.Sprintf("answer %d of 300", i+1), "%v", err)
		}
		if resp.StatusCode != 200 {
			return spec.Fail(fmt.Sprintf("answer %d of 300 to be 200", i+1), "%d", resp.StatusCode)
		}
	}
	for _, q := range []struct {
		what  string
		lines []string
		keeps bool
	}{
		{"HTTP/1.1", []string{"GET /one HTTP/1.1"}, true},
		{"HTTP/1.1 with Connection: close", []string{"GET /one HTTP/1.1", "Connection: close"}, false},
		{"HTTP/1.0", []string{"GET /one HTTP/1.0"}, false},
		{"HTTP/1.0 with Connection: keep-alive", []string{"GET /one HTTP/1.0", "Connection: keep-alive"}, true},
	} {
		r.Step("%s", q.what)
		v, err := visit(r, s.addr, 0)
		if err != nil {
			return err
		}
		if err := v.ask(q.lines...); err != nil {
			return err
		}
		resp, g, err := v.answer("GET")
		if err != nil {
			return err
		}
		if err := whole(resp, g, 1); err != nil {
			return err
		}
		if !q.keeps {
			if got := resp.Header.Get("Connection"); !resp.Close && !strings.EqualFold(got, "close") {
				return spec.Fail(q.what+": the answer to say Connection: close", "%q", got)
			}
			if err := v.end(); err != nil {
				return spec.Fail(q.what+": the connection to end behind the answer", "%v", err)
			}
			continue
		}
		if strings.Contains(q.what, "1.0") && !strings.EqualFold(resp.Header.Get("Connection"), "keep-alive") {
			return spec.Fail(q.what+": the answer to say Connection: keep-alive", "%q", resp.Header.Get("Connection"))
		}
		if err := v.ask(q.lines...); err != nil {
			return err
		}
		if _, _, err := v.answer("GET"); err != nil {
			return spec.Fail(q.what+": a second answer on the same connection", "%v", err)
		}
	}
	return nil
}

func rangesAreExact(r *spec.Run, l lab) error {
	const (
		size    = 10_000
		invalid = 0 // may be ignored, or refused with 416: RFC 9110, 14.2
	)
	s, err := open(r, l, Options{}, map[string]int64{"f": size})
	if err != nil {
		return err
	}
	for _, q := range []struct {
		value   string
		status  int
		from, n int64
	}{
		{"bytes=0-0", 206, 0, 1},
		{"bytes=0-9999", 206, 0, size},
		{"bytes=5000-", 206, 5000, 5000},
		{"bytes=9999-", 206, 9999, 1},
		{"bytes=100-199", 206, 100, 100},
		{"bytes=9000-20000", 206, 9000, 1000},
		{"bytes=-1", 206, 9999, 1},
		{"bytes=-3000", 206, 7000, 3000},
		{"bytes=-20000", 206, 0, size},
		{"Bytes=7-8", 206, 7, 2},
		{"bytes=10000-", 416, 0, 0},
		{"bytes=20000-30000", 416, 0, 0},
		{"bytes=-0", 416, 0, 0},
		{"bytes=5-2", invalid, 0, size},
		{"bytes=a-b", invalid, 0, size},
		{"bytes=-", invalid, 0, size},
		{"bytes=", invalid, 0, size},
		{"bytes=--5", invalid, 0, size},
		{"lines=1-2", 200, 0, size},
		{"bytes", 200, 0, size},
	} {
		r.Step("Range: %s", q.value)
		resp, g, err := s.get("GET /f HTTP/1.1", "Range: "+q.value)
		if err != nil {
			return err
		}
		if q.status == invalid {
			if q.status = 200; resp.StatusCode == 416 {
				continue
			}
		}
		want, content := fmt.Sprintf("Range: %s of a file of %d bytes to be answered with %d", q.value, size, q.status), ""
		switch q.status {
		case 206:
			content = fmt.Sprintf("bytes %d-%d/%d", q.from, q.from+q.n-1, size)
			want += fmt.Sprintf(", Content-Range: %s, and %d bytes", content, q.n)
		case 416:
			content = fmt.Sprintf("bytes */%d", size)
			want += ", Content-Range: " + content
		default:
			want += ", no Content-Range, and the whole file"
		}
		wrong := q.status != 416 && (g.n != q.n || g.bad >= 0 || g.err != nil || resp.ContentLength != q.n)
		if resp.StatusCode != q.status || resp.Header.Get("Content-Range") != content || wrong {
			return spec.Fail(want, "%d, Content-Range %q; %s", resp.StatusCode, resp.Header.Get("Content-Range"), g)
		}
	}
	r.Step("numbers that no int64 holds")
	for _, value := range []string{"bytes=5-99999999999999999999", "bytes=99999999999999999999-", "bytes=-99999999999999999999"} {
		resp, g, err := s.get("GET /f HTTP/1.1", "Range: "+value)
		if err != nil {
			return err
		}
		if resp.StatusCode != 416 && g.bad >= 0 || resp.StatusCode/100 == 5 {
			return spec.Fail("Range: "+value+" to be answered with bytes of the file, or refused", "%d; %s", resp.StatusCode, g)
		}
	}
	r.Step("two ranges: the whole file, or both parts as multipart/byteranges")
	resp, _, err := s.get("GET /f HTTP/1.1", "Range: bytes=0-1,5-6")
	if err != nil {
		return err
	}
	parts := resp.StatusCode == 206 && strings.HasPrefix(resp.Header.Get("Content-Type"), "multipart/byteranges")
	if resp.StatusCode != 200 && !parts {
		return spec.Fail("two ranges to be answered with 200 and the whole file, or as multipart/byteranges", "%d, %q", resp.StatusCode, resp.Header.Get("Content-Type"))
	}
	return nil
}

func ifRangeGuards(r *spec.Run, l lab) error {
	s, err := open(r, l, Options{}, map[string]int64{"f": 10_000})
	if err != nil {
		return err
	}
	first, _, err := s.get("GET /f HTTP/1.1")
	if err != nil {
		return err
	}
	last := first.Header.Get("Last-Modified")
	at, err := http.ParseTime(last)
	if err != nil {
		return spec.Fail("Last-Modified with a date", "%q", last)
	}
	for _, q := range []struct {
		what, value string
		status      int
	}{
		{"the file's own date", last, 206},
		{"an earlier date", at.Add(-time.Hour).Format(http.TimeFormat), 200},
		{"a later date", at.Add(time.Hour).Format(http.TimeFormat), 200},
		{"an unknown tag", `"abc"`, 200},
	} {
		resp, g, err := s.get("GET /f HTTP/1.1", "Range: bytes=5000-", "If-Range: "+q.value)
		if err != nil {
			return err
		}
		if resp.StatusCode != q.status || g.bad >= 0 {
			return spec.Fail(fmt.Sprintf("a range with %s in If-Range to be answered with %d", q.what, q.status), "%d; %s", resp.StatusCode, g)
		}
	}
	return nil
}

func ifModifiedSince(r *spec.Run, l lab) error {
	s, err := open(r, l, Options{}, map[string]int64{"f": 10_000})
	if err != nil {
		return err
	}
	at := time.Now().Add(-time.Hour).Truncate(time.Second).Add(700 * time.Millisecond)
	if err := os.Chtimes(filepath.Join(s.dir, "f"), at, at); err != nil {
		return err
	}
	v, err := visit(r, s.addr, 0)
	if err != nil {
		return err
	}
	for _, q := range []struct {
		what, value string
		status      int
	}{
		{"the file's own time", at.UTC().Format(http.TimeFormat), 304},
		{"a later time", at.Add(time.Minute).UTC().Format(http.TimeFormat), 304},
		{"a second earlier", at.Add(-time.Second).UTC().Format(http.TimeFormat), 200},
		{"nonsense", "yesterday", 200},
	} {
		r.Step("If-Modified-Since: %s (%s)", q.value, q.what)
		for _, method := range []string{"GET", "HEAD"} {
			if err := v.ask(method+" /f HTTP/1.1", "If-Modified-Since: "+q.value); err != nil {
				return err
			}
			resp, g, err := v.answer(method)
			if err != nil {
				return spec.Fail(fmt.Sprintf("%s to be answered, on one connection", method), "%v", err)
			}
			want := int64(0)
			if q.status == 200 && method == "GET" {
				want = 10_000
			}
			if resp.StatusCode != q.status || g.n != want {
				return spec.Fail(fmt.Sprintf("%s with %s in If-Modified-Since: %d, and %d bytes", method, q.what, q.status, want), "%d; %s", resp.StatusCode, g)
			}
		}
	}
	return nil
}
