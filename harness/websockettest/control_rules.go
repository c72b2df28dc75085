package websockettest

import (
	"fmt"
	"strings"

	"github.com/asynclab/asynclab/harness/spec"
)

const controlSection = "Step 6: control frames"

var controlRules = []spec.Rule[lab]{
	{
		Name: "PingsAreAnswered", Group: "control", Points: 2, Section: controlSection,
		Why: "A ping is answered by a pong with the same payload, at once and each by itself; a pong that nobody asked for is a sign of life and nothing else (RFC 6455, 5.5.2 and 5.5.3; Autobahn's case 2).",
		Hints: [3]string{
			"What is in your pong?",
			"The ping's payload, unmasked, up to 125 bytes, 0 among them; it need not be text.",
			"case opPing: c.write(opPong, payload); case opPong: nothing.",
		},
		Check: pingsAreAnswered,
	},
	{
		Name: "ControlFramesComeBetween", Group: "control", Points: 2, Section: controlSection,
		Why: "A ping may stand between the fragments of a message, so that a long upload does not look like silence. It is answered then, not after the message, and leaves the message as it was (RFC 6455, 5.4).",
		Hints: [3]string{
			"What does a ping overwrite that the message still needs?",
			"A control frame has its own opcode, FIN, mask and payload. \"Inside a message\" and the message's kind belong to the message, not to the last frame.",
			"Handle control frames before you look at c.fragmented, and return.",
		},
		Check: controlFramesComeBetween,
	},
	{
		Name: "ControlFramesAreShort", Group: "control", Points: 1, Section: controlSection,
		Why: "A control frame has at most 125 bytes and is never fragmented (RFC 6455, 5.5): 1002. That is what lets you wait for the whole of one without a buffer.",
		Hints: [3]string{
			"What do you do with a ping of 126 bytes? With a ping without FIN?",
			"Both show in the first two bytes.",
			"if op >= 8 && (!fin || short > 125) { fail(1002) }.",
		},
		Check: controlFramesAreShort,
	},
}

func pingsAreAnswered(r *spec.Run, l lab) error {
	odd := "\x00\xff\xfe\xfd\xfc\xfb\x00\xff"
	long := strings.Repeat("\xfe", 125)
	ten := exchange{name: "ten pings at once"}
	for i := range 10 {
		p := fmt.Sprint("payload-", i)
		ten.send = append(ten.send, in(ping(p))...)
		ten.want = append(ten.want, fmt.Sprintf("sent pong %q", p))
	}
	return holds(r, l, Options[Conn]{}, []exchange{
		{"an empty ping", in(ping("")), []string{`sent pong ""`}},
		{"a ping", in(ping("Hello, world!")), []string{`sent pong "Hello, world!"`}},
		{"a ping that is no text", in(ping(odd)), []string{"sent pong " + show([]byte(odd))}},
		{"a ping of 125 bytes", in(ping(long)), []string{"sent pong " + show([]byte(long))}},
		{"a pong that nobody asked for", in(pong(""), text("a")), []string{`text "a"`}},
		{"one with a payload", in(pong("unsolicited"), text("a")), []string{`text "a"`}},
		{"a pong, then a ping", in(pong("unsolicited"), ping("ours")), []string{`sent pong "ours"`}},
		{"pings among messages", in(text("a"), ping("1"), text("b"), ping("2")), []string{`text "a"`, `sent pong "1"`, `text "b"`, `sent pong "2"`}},
		ten,
	})
}

func controlFramesComeBetween(r *spec.Run, l lab) error {
	return holds(r, l, Options[Conn]{}, []exchange{
		{"a ping between two fragments", in(text("frag").part(), ping("p"), next("ments")), []string{`sent pong "p"`, `text "fragments"`}},
		{"a ping of 125 bytes between two fragments", in(bin([]byte("a")).part(), ping(strings.Repeat("p", 125)), next("b")), []string{"sent pong " + show([]byte(strings.Repeat("p", 125))), `binary "ab"`}},
		{"two pings among five fragments", in(text("f").part(), next("r").part(), ping("1"), next("a").part(), ping("2"), next("g").part(), next("s")),
			[]string{`sent pong "1"`, `sent pong "2"`, `text "frags"`}},
		{"a pong between", in(text("a").part(), pong("p"), next("b")), []string{`text "ab"`}},
		{"a ping, then a text inside the text", in(text("a").part(), ping("p"), text("b")), broken(1002, `sent pong "p"`)},
		{"a ping between the halves of a character", in(text("\xe2\x82").part(), ping("p"), next("\xac")), []string{`sent pong "p"`, `text "€"`}},
	})
}

func controlFramesAreShort(r *spec.Run, l lab) error {
	var all []exchange
	for _, op := range []byte{opPing, opPong, opClose} {
		for _, size := range []int{126, 127, 65536} {
			f := frame{op: op, payload: []byte("\x03\xe8" + strings.Repeat("x", size-2))}
			all = append(all, exchange{fmt.Sprintf("opcode %#x of %d bytes", op, size), in(text("a"), f), broken(1002, `text "a"`)})
		}
		f := frame{op: op, payload: []byte("\x03\xe8"), more: true}
		all = append(all, exchange{fmt.Sprintf("opcode %#x without FIN", op), in(f, next("x")), broken(1002)},
			exchange{fmt.Sprintf("opcode %#x without FIN, inside a message", op), in(text("a").part(), f), broken(1002)})
	}
	return holds(r, l, Options[Conn]{}, all)
}
