package websockettest

import (
	"fmt"
	"math/rand/v2"

	"github.com/asynclab/asynclab/harness/spec"
)

const maskSection = "Step 4: the mask"

var maskRules = []spec.Rule[lab]{
	{
		Name: "MaskIsTakenOff", Group: "mask", Points: 2, Section: maskSection,
		Why: "Byte i of a payload is XORed with byte i mod 4 of the frame's mask (RFC 6455, 5.3). A fast version works on 8 bytes or more at a time, and its beginning, its end and the lengths between are where it breaks.",
		Hints: [3]string{
			"Which length is the first to go wrong? Is it a multiple of 8?",
			"Put the mask twice into a uint64, XOR 8 bytes at a time, and the rest byte by byte. The rest begins at a multiple of 4, so its mask begins with byte 0.",
			"for len(p) >= 8 { binary.LittleEndian.PutUint64(p, binary.LittleEndian.Uint64(p)^wide); p = p[8:] }; for i := range p { p[i] ^= byte(wide >> (8 * i)) }.",
		},
		Check: maskIsTakenOff,
	},
	{
		Name: "MaskGoesOnAcrossCuts", Group: "mask", Points: 2, Section: maskSection,
		Why: "A payload that comes in pieces goes on with the mask where the last piece has stopped. Starting again with byte 0 is right for one piece in four, so it passes many a test.",
		Hints: [3]string{
			"The first piece has 5 bytes. With which byte of the mask does the second begin?",
			"Keep the position modulo 4 with the frame, and turn the mask by it before you go on.",
			"key := bits.RotateLeft32(mask, -8*at); at = (at + len(p)) & 3, where mask was read with binary.LittleEndian.",
		},
		Check: maskGoesOnAcrossCuts,
	},
}

func maskIsTakenOff(r *spec.Run, l lab) error {
	var all []exchange
	for i, mask := range [][4]byte{{}, {0xff, 0xff, 0xff, 0xff}, {1, 2, 3, 4}, {0x80, 0, 0, 0}, {0, 0, 0, 0x7f}} {
		x := exchange{name: fmt.Sprintf("payloads of 0 to 80 bytes with the mask %x", mask)}
		for size := range 81 {
			p := pattern(size+i, size)
			x.send = append(x.send, in(bin(p).masked(mask))...)
			x.want = append(x.want, message(false, p))
		}
		all = append(all, x)
	}
	return holds(r, l, Options[Conn]{}, all)
}

func maskGoesOnAcrossCuts(r *spec.Run, l lab) error {
	mask := [4]byte{0x11, 0x22, 0x44, 0x88}
	p := pattern(1, 100)
	x := exchange{"a payload of 100 bytes", in(bin(p).masked(mask)), []string{message(false, p)}}
	r.Step("a frame of 100 bytes in three pieces, for each pair of cuts")
	for a := 6; a < 106; a++ {
		for b := a; b < 106; b += 1 + a%3 {
			if err := x.hold(r, l, Options[Conn]{}, cutting{fmt.Sprintf("cut behind bytes %d and %d", a, b), []int{a, b}}); err != nil {
				return err
			}
		}
	}
	r.Step("a frame of 100,000 bytes in 20 ways")
	p = pattern(2, 100_000)
	x = exchange{"a payload of 100,000 bytes", in(bin(p).masked(mask)), []string{message(false, p)}}
	from := rand.New(rand.NewPCG(1, 2))
	for range 20 {
		if err := x.hold(r, l, Options[Conn]{}, cutting{"cut at random", randomSteps(from, len(x.send), 8000)}); err != nil {
			return err
		}
	}
	return nil
}

// randomSteps cuts n bytes into pieces of 1 to most bytes.
func randomSteps(from *rand.Rand, n, most int) (cuts []int) {
	for at := 1 + from.IntN(most); at < n; at += 1 + from.IntN(most) {
		cuts = append(cuts, at)
	}
	return cuts
}
