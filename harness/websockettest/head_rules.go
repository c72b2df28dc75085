package websockettest

import (
	"bytes"
	"fmt"

	"github.com/asynclab/asynclab/harness/spec"
)

const headSection = "Step 3: the head of a frame"

var headRules = []spec.Rule[lab]{
	{
		Name: "LengthsOfAllForms", Group: "frames", Points: 2, Section: headSection,
		Why: "A length has 7 bits, or 16 or 64 behind the marks 126 and 127, big-endian (RFC 6455, 5.2). The sizes at which the form changes are where parsers break. In the order of the Autobahn suite this is case 1.",
		Hints: [3]string{
			"Which of the sizes 125, 126, 65535, 65536 goes wrong?",
			"126 means: the next two bytes are the length. 127: the next eight. Both in network order.",
			"case 126: size = uint64(binary.BigEndian.Uint16(data[2:])), head 4; case 127: size = binary.BigEndian.Uint64(data[2:]), head 10; then 4 bytes of mask.",
		},
		Check: lengthsOfAllForms,
	},
	{
		Name: "LengthsAreMinimal", Group: "frames", Points: 2, Section: headSection,
		Why: "\"The minimal number of bytes MUST be used to encode the length\" and the top bit of 64 must be 0 (RFC 6455, 5.2): 1002. A length of 2^63 or more turns negative in an int, and a parser that believes it reads backwards.",
		Hints: [3]string{
			"What is int(size) for a size of 1<<63?",
			"16 bits are for 126 and more, 64 bits for 65536 and more. Look at it before you convert to int.",
			"ok := size >= 126 (16 bits); ok := size > 0xffff && size < 1<<63 (64 bits); else fail with 1002.",
		},
		Check: lengthsAreMinimal,
	},
	{
		Name: "ReservedBitsAreRefused", Group: "frames", Points: 1, Section: headSection,
		Why: "RSV1 to RSV3 belong to extensions. None was agreed on, so a frame that has one set means something that you do not understand: 1002 (RFC 6455, 5.2; Autobahn's case 3).",
		Hints: [3]string{
			"What do you do with the bits 0x70 of the first byte?",
			"Look at them for every frame: data, continuation and control.",
			"if data[0]&0x70 != 0 { fail(1002) }.",
		},
		Check: reservedBitsAreRefused,
	},
	{
		Name: "ReservedOpcodesAreRefused", Group: "frames", Points: 1, Section: headSection,
		Why: "Opcodes 3 to 7 and 11 to 15 have no meaning yet: 1002, not a guess (RFC 6455, 5.2; Autobahn's case 4).",
		Hints: [3]string{
			"What is the default of your switch over opcodes?",
			"Of 16 opcodes six are used: 0, 1, 2, 8, 9, 10.",
			"if op > 2 && op < 8 || op > 10 { fail(1002) }.",
		},
		Check: reservedOpcodesAreRefused,
	},
	{
		Name: "ClientsMustMask", Group: "frames", Points: 2, Section: headSection,
		Why: "A server must end the connection upon a frame that is not masked (RFC 6455, 5.1): without a mask, a page can make a browser write bytes of its choice, and a proxy that takes them for HTTP can be poisoned.",
		Hints: [3]string{
			"What does your parser take for the mask of a frame that has none?",
			"The mask bit is the top bit of the second byte. It must be set in every frame, an empty one too.",
			"if data[1]&0x80 == 0 { fail(1002) }.",
		},
		Check: clientsMustMask,
	},
	{
		Name: "CutsChangeNothing", Group: "frames", Points: 2, Section: closeSection,
		Why: "A head has 2 to 14 bytes, and TCP may cut between any two. What the connection does must depend on the bytes alone, never on how they came: consume nothing of a head that is not whole, and everything else at once.",
		Hints: [3]string{
			"Which of your branches reads data[i] without having looked at len(data)?",
			"Return 0 for a head that is not whole; the same bytes come again. What you have acted on, you must have consumed, or it is acted on twice.",
			"for { n := c.next(data[consumed:]); if n == 0 { return consumed }; consumed += n }.",
		},
		Check: cutsChangeNothing,
	},
}

// framingSizes are those at which the form of the length changes.
var framingSizes = []int{0, 1, 125, 126, 127, 128, 65535, 65536}

func lengthsOfAllForms(r *spec.Run, l lab) error {
	var all []exchange
	for _, size := range framingSizes {
		stars := string(bytes.Repeat([]byte("*"), size))
		blob := bytes.Repeat([]byte{0xfe}, size)
		all = append(all,
			exchange{fmt.Sprintf("a text of %d bytes", size), in(text(stars)), []string{message(true, []byte(stars))}},
			exchange{fmt.Sprintf("a binary message of %d bytes", size), in(bin(blob)), []string{message(false, blob)}})
	}
	return holds(r, l, Options[Conn]{}, all)
}

func lengthsAreMinimal(r *spec.Run, l lab) error {
	var all []exchange
	for _, c := range []struct{ size, form int }{{0, 16}, {1, 16}, {125, 16}, {0, 64}, {125, 64}, {126, 64}, {65535, 64}} {
		long := bin(pattern(1, c.size))
		long.form = c.form
		all = append(all, exchange{fmt.Sprintf("a length of %d in %d bits", c.size, c.form), in(text("a"), long), broken(1002, `text "a"`)})
	}
	for _, claim := range []uint64{1 << 63, 1<<63 + 5, 1<<64 - 1} {
		f := frame{op: opBinary, form: 64, claim: claim}
		all = append(all, exchange{fmt.Sprintf("a length of %#x", claim), f.appendHead(in(text("a"))), broken(1002, `text "a"`)})
	}
	long := ping("hello")
	long.form = 16
	all = append(all, exchange{"a ping with its length in 16 bits", in(long), broken(1002)})
	return holds(r, l, Options[Conn]{}, all)
}

func reservedBitsAreRefused(r *spec.Run, l lab) error {
	var all []exchange
	for rsv := byte(1); rsv < 8; rsv++ {
		for _, f := range []frame{text("b"), bin([]byte("b")), text(""), ping("b"), pong("b"), bye(1000)} {
			f.rsv = rsv
			all = append(all, exchange{fmt.Sprintf("opcode %#x with reserved bits %03b", f.op, rsv), in(text("a"), f, text("c")), broken(1002, `text "a"`)})
		}
		f := next("b")
		f.rsv = rsv
		all = append(all, exchange{fmt.Sprintf("a continuation with reserved bits %03b", rsv), in(text("a").part(), f), broken(1002)})
	}
	return holds(r, l, Options[Conn]{}, all)
}

func reservedOpcodesAreRefused(r *spec.Run, l lab) error {
	var all []exchange
	for _, op := range []byte{3, 4, 5, 6, 7, 11, 12, 13, 14, 15} {
		for _, payload := range []string{"", "reserved"} {
			f := frame{op: op, payload: []byte(payload)}
			all = append(all, exchange{fmt.Sprintf("opcode %d with %d bytes", op, len(payload)), in(text("a"), f, text("c")), broken(1002, `text "a"`)})
		}
	}
	return holds(r, l, Options[Conn]{}, all)
}

func clientsMustMask(r *spec.Run, l lab) error {
	var all []exchange
	for _, f := range []frame{text("hello"), text(""), bin(pattern(1, 200)), ping("hello"), pong(""), bye(1000)} {
		f.naked = true
		all = append(all, exchange{fmt.Sprintf("opcode %#x, %d bytes, without a mask", f.op, len(f.payload)), in(text("a"), f, text("c")), broken(1002, `text "a"`)})
	}
	return holds(r, l, Options[Conn]{}, all)
}

// conversation is one of everything that a right client sends.
func conversation() (p []byte, want []string) {
	large, blob := bytes.Repeat([]byte("0123456789"), 13), pattern(3, 70_000)
	p = in(text("hello"), bin(nil), ping("one"), text("frag").part(), ping("two"), next("men").part(), pong("three"), next("ts"),
		text(string(large)), bin([]byte{0, 1, 2, 255}).masked([4]byte{}), bin(blob), text("κόσμε").part(), next(""), bye(1000), text("late"))
	return p, []string{`text "hello"`, `binary ""`, `sent pong "one"`, `sent pong "two"`, `text "fragments"`,
		message(true, large), `binary "\x00\x01\x02\xff"`, message(false, blob), `text "κόσμε"`, "sent close 1000", "end"}
}

func cutsChangeNothing(r *spec.Run, l lab) error {
	p, want := conversation()
	beforeTheBlob := len(in(text("hello"), bin(nil), ping("one"), text("frag").part(), ping("two"), next("men").part(), pong("three"), next("ts")))
	r.Step("a conversation of %d bytes, cut in two at each of its first %d bytes, and in pieces of 1 to 1,000 bytes", len(p), beforeTheBlob+200)
	x := exchange{"a conversation with every kind of frame", p, want}
	for cut := range beforeTheBlob + 200 {
		if err := x.hold(r, l, Options[Conn]{}, cutting{fmt.Sprintf("cut behind byte %d", cut), []int{cut}}); err != nil {
			return err
		}
	}
	for _, size := range []int{1, 2, 3, 5, 7, 13, 14, 131, 1000} {
		if err := x.hold(r, l, Options[Conn]{}, cutting{fmt.Sprintf("in pieces of %d bytes", size), every(size, len(p))}); err != nil {
			return err
		}
	}
	return nil
}
