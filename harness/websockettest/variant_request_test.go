package websockettest

import (
	"bytes"
	"crypto/sha1"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"unsafe"
)

const variantGUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"

// What a request is, as one pattern: the line, the fields, the empty line. With
// a fault it is another one.
var (
	strictHead = requestPattern(`[A-Z]+`, ` `, `HTTP/1\.1`, "", `[^\x00-\x08\x0a-\x1f\x7f]*`)
	looseHeads = map[fault]*regexp.Regexp{
		"the request line is split at any spaces": requestPattern(` *[A-Z]+`, ` +`, `HTTP/1\.1 *`, "", `[^\x00-\x08\x0a-\x1f\x7f]*`),
		"any version of HTTP":                     requestPattern(`[A-Z]+`, ` `, `HTTP/[0-9.]+`, "", `[^\x00-\x08\x0a-\x1f\x7f]*`),
		"a space before the colon":                requestPattern(`[A-Z]+`, ` `, `HTTP/1\.1`, `[ \t]*`, `[^\x00-\x08\x0a-\x1f\x7f]*`),
		"control characters get through":          requestPattern(`[A-Z]+`, ` `, `HTTP/1\.1`, "", `[^\r\n]*`),
	}
)

func requestPattern(method, space, version, beforeColon, value string) *regexp.Regexp {
	token := "[-!#$%&'*+.^_`|~0-9A-Za-z]+"
	return regexp.MustCompile(`^(` + method + `)` + space + `(/[^ \x00-\x1f\x7f]*)` + space + version +
		`\r\n((?:` + token + beforeColon + `:` + value + `\r\n)*)\r\n$`)
}

// takeRequest keeps bytes until the empty line is there. What stands behind it is
// not taken.
func (c *vconn) takeRequest(data []byte) int {
	before, limit := len(c.request), c.o.MaxHeader
	if limit == 0 {
		limit = 8 << 10
	}
	c.request = append(c.request, data...)
	end := bytes.Index(c.request, []byte("\r\n\r\n"))
	size := len(c.request)
	if end >= 0 && c.fault != "frames behind the request count" {
		size = end + 4
	}
	whole := end >= 0
	switch {
	case c.fault == "no limit on the request", c.fault == "only a whole request can be too long" && !whole:
	case size > limit || size == limit && !whole:
		c.refuse(http.StatusRequestHeaderFieldsTooLarge, "")
		return len(data)
	}
	if c.fault == "TLS is not expected" && c.request[0] == 0x16 {
		panic("variant: not HTTP")
	}
	if !whole {
		if c.fault == "a request comes in one piece" {
			c.refuse(http.StatusBadRequest, "")
		}
		return len(data)
	}
	head := c.request[:end+4]
	c.request = nil
	if c.fault == "keeps the request" {
		c.kept = head
	}
	c.decide(head)
	if c.fault == "the fields refer to the buffer" {
		clear(head)
	}
	if c.fault == "what stands behind the request is dropped" {
		return len(data)
	}
	return end + 4 - before
}

// asked is a request that was taken apart.
type asked struct {
	method, target string
	header         http.Header
	f              fault
}

func (c *vconn) decide(head []byte) {
	text := string(head)
	if c.fault == "the fields refer to the buffer" {
		text = unsafe.String(unsafe.SliceData(head), len(head))
	}
	pattern := strictHead
	if loose := looseHeads[c.fault]; loose != nil {
		pattern = loose
	}
	parts := pattern.FindStringSubmatch(text)
	if parts == nil {
		c.refuse(http.StatusBadRequest, "")
		return
	}
	q := asked{method: parts[1], target: parts[2], header: http.Header{}, f: c.fault}
	for line := range strings.SplitSeq(strings.TrimSuffix(parts[3], "\r\n"), "\r\n") {
		if name, value, found := strings.Cut(line, ":"); found {
			q.header.Add(strings.TrimSpace(name), strings.Trim(value, " \t"))
		}
	}
	status := q.verdict()
	if status == 426 && c.fault == "does not say which version" {
		c.refuse(status, "")
		return
	}
	if status != 0 {
		c.refuse(status, "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n")
		return
	}
	c.ask(&q)
}

// ask has the application decide, and accepts.
func (c *vconn) ask(q *asked) {
	if c.fault == "OnRequest behind the 101" {
		c.accept(q)
	}
	status := 0
	if c.o.OnRequest != nil || c.fault == "OnRequest must be set" {
		status = c.o.OnRequest(c, q.target, q.header)
		if c.fault == "OnRequest is called twice" {
			c.o.OnRequest(c, q.target, q.header)
		}
	}
	switch {
	case c.state == vOver || c.fault == "OnRequest behind the 101":
	case status != 0 && c.fault != "OnRequest's status is ignored":
		c.refuse(status, "")
	default:
		c.accept(q)
	}
}

// verdict is the status that refuses the request, 0 if it is right.
func (q *asked) verdict() int {
	switch {
	case q.method != "GET" && q.f != "any method":
		return 400
	case len(q.header.Values("Host")) != 1 && q.f != "Host is not asked for":
		return 400
	case q.header.Get("Content-Length")+q.header.Get("Transfer-Encoding") != "" && q.f != "a body is taken for frames":
		return 400
	case !q.lists("Upgrade", "websocket"), !q.lists("Connection", "Upgrade"):
		return 400
	case q.f != "any version" && (len(q.header.Values("Sec-Websocket-Version")) != 1 || q.header.Get("Sec-WebSocket-Version") != "13"):
		return 426
	case !q.keyed():
		return 400
	}
	return 0
}

// lists reports whether a word is in a field that is a list.
func (q *asked) lists(name, word string) bool {
	if q.f == "a substring is enough" {
		return strings.Contains(strings.ToLower(strings.Join(q.header.Values(name), ",")), strings.ToLower(word))
	}
	for i, line := range q.header.Values(name) {
		if q.f == "only the first line of a field" && i > 0 {
			return false
		}
		if q.f == "a field is one word" {
			return strings.EqualFold(line, word)
		}
		for item := range strings.SplitSeq(line, ",") {
			item = strings.Trim(item, " \t")
			if item == word || q.f != "words in one case only" && strings.EqualFold(item, word) {
				return true
			}
		}
	}
	return false
}

func (q *asked) keyed() bool {
	keys := q.header.Values("Sec-Websocket-Key")
	if q.f == "any key" {
		return true
	}
	if len(keys) != 1 {
		return false
	}
	raw, err := base64.StdEncoding.DecodeString(keys[0])
	return err == nil && (len(raw) == 16 || q.f == "a key of any length")
}

func (c *vconn) accept(q *asked) {
	for _, p := range c.o.Protocols {
		if q.offers(p) && c.protocol == "" {
			c.protocol = p
		}
	}
	if c.fault == "the client's order decides" {
		c.protocol = q.firstOf(c.o.Protocols)
	}
	if len(c.o.Protocols) > 0 && c.fault == "a protocol is chosen, offered or not" {
		c.protocol = c.o.Protocols[0]
	}
	answer := "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: " + c.proof(q) + "\r\n"
	if c.protocol != "" {
		answer += "Sec-WebSocket-Protocol: " + c.protocol + "\r\n"
	}
	if offer := q.header.Get("Sec-WebSocket-Extensions"); offer != "" && c.fault == "repeats the offer of extensions" {
		answer += "Sec-WebSocket-Extensions: " + offer + "\r\n"
	}
	if c.fault == "the chosen protocol is not kept" {
		c.protocol = ""
	}
	if _, err := c.t.Write([]byte(answer + "\r\n")); err != nil {
		c.state = vOver
		c.t.Abort(err)
		return
	}
	c.state, c.opened = vOpen, true
	if c.o.OnOpen != nil {
		c.o.OnOpen(c)
	}
}

func (q *asked) offered() (all []string) {
	for _, line := range q.header.Values("Sec-Websocket-Protocol") {
		for item := range strings.SplitSeq(line, ",") {
			all = append(all, strings.Trim(item, " \t"))
		}
	}
	return all
}

func (q *asked) offers(protocol string) bool {
	for _, p := range q.offered() {
		if p == protocol {
			return true
		}
	}
	return false
}

func (q *asked) firstOf(ours []string) string {
	for _, p := range q.offered() {
		for _, mine := range ours {
			if p == mine {
				return p
			}
		}
	}
	return ""
}

// proof is the answer to the client's key.
func (c *vconn) proof(q *asked) string {
	key := q.header.Get("Sec-WebSocket-Key")
	if c.fault == "hashes the decoded key" {
		raw, _ := base64.StdEncoding.DecodeString(key)
		key = string(raw)
	}
	sum := sha1.Sum([]byte(key + variantGUID))
	if c.fault == "the proof in hexadecimal" {
		return hex.EncodeToString(sum[:])
	}
	return base64.StdEncoding.EncodeToString(sum[:])
}

func (c *vconn) refuse(status int, fields string) {
	body := http.StatusText(status)
	size := len(body)
	if c.fault == "Content-Length is wrong" {
		size--
	}
	fmt.Fprintf(c.t, "HTTP/1.1 %d %s\r\n%sConnection: close\r\nContent-Length: %d\r\n\r\n%s", status, body, fields, size, body)
	switch c.fault {
	case "a refusal is cut off":
		c.state = vOver
		c.t.Abort(fmt.Errorf("variant: refused with %d", status))
	case "a refused client may try again":
		c.request = nil
		c.t.Close()
	default:
		c.over()
	}
}
