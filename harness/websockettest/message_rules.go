package websockettest

import (
	"bytes"
	"fmt"
	"slices"
	"strings"

	"github.com/asynclab/asynclab/harness/spec"
)

const messageSection = "Step 5: messages and fragments"

var messageRules = []spec.Rule[lab]{
	{
		Name: "FramesBehindTheRequest", Group: "messages", Points: 1, Section: messageSection,
		Why: "A client need not wait for the 101 to arrive before its first frame is under way, and a proxy may put both into one packet. What stands behind the request's empty line is the first frame; and an application that appends to one payload must not write over the next frame.",
		Hints: [3]string{
			"How much do you say you have consumed when the request is whole?",
			"Up to and including the empty line, and then go on with the rest at once: no further bytes may come to remind you.",
			"In Data: for { n := c.next(data[consumed:]); if n == 0 { return consumed }; consumed += n }, where next is the request first and frames afterwards.",
		},
		Check: framesBehindTheRequest,
	},
	{
		Name: "FragmentsBecomeOneMessage", Group: "messages", Points: 2, Section: messageSection,
		Why: "A message may come in any number of frames, the first with its opcode, the others as continuations, the last with FIN; some may be empty (RFC 6455, 5.4; Autobahn's case 5).",
		Hints: [3]string{
			"Where do you remember whether the message is text?",
			"Opcode 0 says nothing about the kind: the first frame said it. FIN ends the message, an empty frame with FIN too.",
			"if op != 0 { c.text = op == 1 }; c.message = append(c.message, payload...); if fin { deliver(c.message); c.message = nil }.",
		},
		Check: fragmentsBecomeOneMessage,
	},
	{
		Name: "FragmentsMustContinue", Group: "messages", Points: 2, Section: messageSection,
		Why: "A continuation needs something to continue, and no message may begin inside another: 1002 for both (RFC 6455, 5.4). Whoever lets it pass mixes two messages into one.",
		Hints: [3]string{
			"What do you do with opcode 0 right after the handshake? With opcode 1 after a first fragment?",
			"One bool: are we inside a message? It must be equal to \"this frame is a continuation\", for data frames.",
			"if (op == 0) != c.fragmented { fail(1002) }, for data frames only.",
		},
		Check: fragmentsMustContinue,
	},
	{
		Name: "LargeMessages", Group: "messages", Points: 1, Section: messageSection,
		Why: "Messages of megabytes come in hundreds of reads and, from some clients, in thousands of fragments. They must arrive whole, and in a time that grows with their size, not with its square (Autobahn's cases 9 and 10).",
		Hints: [3]string{
			"How often is a byte of a 16 MiB message copied before it is delivered?",
			"Append what has arrived, once, and consume it. append doubles the capacity, so that a byte is copied about twice.",
			"c.message = append(c.message, piece...), never make([]byte, len+n) for each piece.",
		},
		Check: largeMessages,
	},
	{
		Name: "MessagesHaveALimit", Group: "messages", Points: 2, Section: messageSection,
		Why: "MaxMessage bounds a message, however many frames it comes in; exactly so many bytes are allowed. A longer one ends with 1009 by the head that makes it too long, before its payload is kept.",
		Hints: [3]string{
			"When do you know that a fragmented message is too long?",
			"At each head of a data frame: the bytes gathered so far, plus those that this head announces.",
			"if size > uint64(max-len(c.message)) { fail(1009) }: with uint64, and the sum on the side where it cannot overflow.",
		},
		Check: messagesHaveALimit,
	},
}

func framesBehindTheRequest(r *spec.Run, l lab) error {
	p := append(usual.bytes(), in(text("hello"), bin([]byte{1}), text("again"))...)
	want := []string{"request /chat", "sent 101", "open", `text "hello"`, `binary "\x01"`, `text "again"`}
	r.Step("a request with three frames behind it, in one piece, cut in two at each place, and byte by byte")
	ways := []cutting{{name: "in one piece"}, {"byte by byte", every(1, len(p))}}
	for cut := range len(p) {
		ways = append(ways, cutting{fmt.Sprintf("cut behind byte %d", cut), []int{cut}})
	}
	for _, way := range ways {
		s := newSession(l, Options[Conn]{})
		s.pieces(p, way.cuts...)
		if !slices.Equal(s.log, want) {
			return spec.Fail(list(want), "%s, the connection did: %s", way.name, s.story())
		}
	}
	return appendsStayApart(r, l, p, want)
}

// appendsStayApart has an application append to a payload, which it may: behind
// it in the buffer lies the next frame.
func appendsStayApart(r *spec.Run, l lab, p []byte, want []string) error {
	r.Step("the same, and OnMessage appends to the payload it is given")
	s := newSession(l, Options[Conn]{OnMessage: func(_ Conn, _ bool, payload []byte) {
		payload = append(payload, "!!!!"...)
		payload[len(payload)-1] = '?'
	}})
	s.feed(p)
	if !slices.Equal(s.log, want) {
		return spec.Fail(list(want), "the connection did: %s", s.story())
	}
	return nil
}

func fragmentsBecomeOneMessage(r *spec.Run, l lab) error {
	blob := pattern(1, 1000)
	return holds(r, l, Options[Conn]{}, []exchange{
		{"a text in two fragments", in(text("frag").part(), next("ments")), []string{`text "fragments"`}},
		{"a text in five", in(text("f").part(), next("r").part(), next("a").part(), next("g").part(), next("s")), []string{`text "frags"`}},
		{"a binary message in two", in(bin([]byte{0xff, 0xfe}).part(), next("\xfd")), []string{`binary "\xff\xfe\xfd"`}},
		{"fragments that are empty", in(text("").part(), next("").part(), next("")), []string{`text ""`}},
		{"the first and the last are empty", in(text("").part(), next("middle").part(), next("")), []string{`text "middle"`}},
		{"two messages, one behind the other", in(text("a").part(), next("b"), bin([]byte("c")).part(), next("d")), []string{`text "ab"`, `binary "cd"`}},
		{"a whole one, a fragmented one, a whole one", in(bin([]byte("a")), text("b").part(), next("c"), bin([]byte("d"))), []string{`binary "a"`, `text "bc"`, `binary "d"`}},
		{"fragments of 1,000 bytes", in(bin(blob).part(), next(string(blob)).part(), next(string(blob))), []string{message(false, slices.Concat(blob, blob, blob))}},
		{"another mask for each fragment", in(text("fr").part().masked([4]byte{1}), next("ag").part().masked([4]byte{2, 2}), next("s").masked([4]byte{})), []string{`text "frags"`}},
	})
}

func fragmentsMustContinue(r *spec.Run, l lab) error {
	return holds(r, l, Options[Conn]{}, []exchange{
		{"a continuation of nothing", in(next("a"), text("b")), broken(1002)},
		{"a continuation of nothing, with more to follow", in(next("a").part(), text("b")), broken(1002)},
		{"an empty continuation of nothing", in(next("")), broken(1002)},
		{"a continuation behind a whole message", in(text("a"), next("b")), broken(1002, `text "a"`)},
		{"a continuation behind the last fragment", in(text("a").part(), next("b"), next("c"), text("d")), broken(1002, `text "ab"`)},
		{"a text inside a text", in(text("a").part(), text("b")), broken(1002)},
		{"a text inside a text, with more to follow", in(text("a").part(), text("b").part(), next("c")), broken(1002)},
		{"a binary message inside a text", in(text("a").part(), next("b").part(), bin([]byte("c"))), broken(1002)},
		{"an empty text inside an empty text", in(text("").part(), text("")), broken(1002)},
	})
}

func largeMessages(r *spec.Run, l lab) error {
	const mib = 1 << 20
	blob := pattern(1, 16*mib)
	star := strings.Repeat("*", 65536)
	for _, c := range []struct {
		name string
		send []byte
		want string
		by   int
	}{
		{"16 MiB in one frame", in(bin(blob)), message(false, blob), 64 << 10},
		{"1 MiB of text in one frame", in(text(strings.Repeat("ä€𝄞·", mib/11))), message(true, []byte(strings.Repeat("ä€𝄞·", mib/11))), 1300},
		{"8 MiB in fragments of 64 KiB", fragments(blob[:8*mib], 64<<10), message(false, blob[:8*mib]), 16 << 10},
		{"1 MiB in fragments of 1 KiB", fragments(blob[:mib], 1<<10), message(false, blob[:mib]), 5000},
		{"256 KiB in fragments of 64 bytes", fragments(blob[:mib/4], 64), message(false, blob[:mib/4]), 1460},
		{"65,536 stars in fragments of 1,300", textFragments(star, 1300), message(true, []byte(star)), 997},
	} {
		r.Step("%s, %d bytes at a time", c.name, c.by)
		x := exchange{c.name, c.send, []string{c.want}}
		if err := x.hold(r, l, Options[Conn]{MaxMessage: 16 * mib}, cutting{fmt.Sprintf("in pieces of %d bytes", c.by), every(c.by, len(c.send))}); err != nil {
			return err
		}
	}
	return nil
}

// fragments is a binary message in frames of size bytes.
func fragments(p []byte, size int) []byte { return split(opBinary, p, size) }

func textFragments(s string, size int) []byte { return split(opText, []byte(s), size) }

func split(op byte, p []byte, size int) (out []byte) {
	for part := range slices.Chunk(p, size) {
		out = frame{op: op, payload: part, more: true}.append(out)
		op = opContinuation
	}
	return frame{op: opContinuation}.append(out)
}

func messagesHaveALimit(r *spec.Run, l lab) error {
	const limit = 1000
	fill := func(n int) string { return strings.Repeat("x", n) }
	full := message(true, []byte(fill(limit)))
	head := func(op byte, size uint64) []byte { return frame{op: op, claim: size}.appendHead(nil) }
	behind := func(p []byte, more []byte) []byte { return append(slices.Clip(p), more...) }
	err := holds(r, l, Options[Conn]{MaxMessage: limit}, []exchange{
		{"two messages of exactly MaxMessage = 1000 bytes", in(text(fill(limit)), text(fill(limit))), []string{full, full}},
		{"600 and 400 bytes", in(text(fill(600)).part(), next(fill(400)), text("b")), []string{full, `text "b"`}},
		{"1000 bytes, then an empty fragment", in(text(fill(limit)).part(), next("")), []string{full}},
		{"the head of a frame of 1001 bytes", head(opText, limit+1), broken(1009)},
		{"the head of a frame of 2^62 bytes", head(opBinary, 1<<62), broken(1009)},
		{"600 bytes, then the head of a fragment of 401", behind(in(text(fill(600)).part()), head(opContinuation, 401)), broken(1009)},
		{"1000 bytes, then the head of a fragment of 1", behind(in(bin([]byte(fill(limit))).part()), head(opContinuation, 1)), broken(1009)},
		{"fragments of 300 bytes without end", in(text(fill(300)).part(), next(fill(300)).part(), next(fill(300)).part(), next(fill(300)).part()), broken(1009)},
		{"a right message, then the head of one of 1001", behind(in(text("a")), head(opText, limit+1)), broken(1009, `text "a"`)},
	})
	if err != nil {
		return err
	}
	stars := bytes.Repeat([]byte("*"), 1<<20)
	r.Step("without MaxMessage, 1 MiB is allowed and a byte more is not")
	for _, x := range []exchange{
		{"1 MiB", in(text(string(stars))), []string{message(true, stars)}},
		{"the head of a frame of 1 MiB and a byte", head(opText, 1<<20+1), broken(1009)},
	} {
		if err := x.hold(r, l, Options[Conn]{}, cutting{name: "in one piece"}); err != nil {
			return err
		}
	}
	return nil
}
