package websockettest

import (
	"fmt"
	"math/rand/v2"
	"slices"

	"github.com/asynclab/asynclab/harness/spec"
)

// exchange is bytes from a client on an open connection, and all that the
// connection must do about them.
type exchange struct {
	name string
	send []byte
	want []string // lines of a session's log, but for OnClose
}

// broken is what a breach of the rules leads to.
func broken(code int, before ...string) []string {
	return append(before, fmt.Sprintf("sent close %d", code), "end")
}

// holds runs each exchange several times, its bytes cut up in different ways:
// TCP may do any of it, and nothing may depend on it.
func holds(r *spec.Run, l lab, o Options[Conn], all []exchange) error {
	r.Step("%d exchanges on open connections, each in one piece, in pieces of one byte, and cut at random", len(all))
	for _, x := range all {
		for _, way := range ways(len(x.send)) {
			if err := x.hold(r, l, o, way); err != nil {
				return err
			}
		}
	}
	return nil
}

func (x exchange) hold(r *spec.Run, l lab, o Options[Conn], way cutting) error {
	s, err := opened(l, o)
	if err != nil {
		return err
	}
	if err := r.Context().Err(); err != nil {
		return err
	}
	s.pieces(x.send, way.cuts...)
	if s.ends > 0 {
		s.feed(in(text("late"), ping("late"), bye(1000))) // nobody reads this
	}
	if !same(s.log, x.want) {
		r.Step("%s: %s, %s", x.name, shorten(x.send), way.name)
		return spec.Fail(fmt.Sprintf("%s: %s", x.name, list(x.want)), "the connection did: %s", s.story())
	}
	if n := len(s.rest); s.ends == 0 && n > 131 {
		r.Step("%s: %s, %s", x.name, shorten(x.send), way.name)
		return spec.Fail(x.name+": Data to consume all but an incomplete head or control frame", "it left %d bytes", n)
	}
	return nil
}

// shorten is bytes in hexadecimal, the first of them if there are many.
func shorten(p []byte) string {
	if len(p) <= 32 {
		return fmt.Sprintf("%x", p)
	}
	return fmt.Sprintf("%x... (%d bytes)", p[:32], len(p))
}

// cutting is a way to cut bytes into pieces.
type cutting struct {
	name string
	cuts []int
}

// ways cuts n bytes in different ways: every one for a few bytes, fewer for
// many.
func ways(n int) []cutting {
	all := []cutting{{name: "in one piece"}}
	if n <= 3000 {
		all = append(all, cutting{"byte by byte", every(1, n)})
	} else {
		all = append(all, cutting{"in pieces of 997 bytes", every(997, n)})
	}
	if n <= 48 {
		for cut := 1; cut < n; cut++ {
			all = append(all, cutting{fmt.Sprintf("cut behind byte %d", cut), []int{cut}})
		}
	}
	for seed := range uint64(3) {
		all = append(all, cutting{"cut at random", atRandom(n, seed)})
	}
	return all
}

func every(step, n int) (cuts []int) {
	for at := step; at < n; at += step {
		cuts = append(cuts, at)
	}
	return cuts
}

func atRandom(n int, seed uint64) (cuts []int) {
	if n == 0 {
		return nil
	}
	from := rand.New(rand.NewPCG(seed, uint64(n)))
	for range 1 + from.IntN(6) {
		cuts = append(cuts, from.IntN(n))
	}
	slices.Sort(cuts)
	return cuts
}

// pattern is n bytes that look random and are always the same.
func pattern(id, n int) []byte {
	var seed [32]byte
	seed[0], seed[1] = byte(id), byte(id>>8)
	p := make([]byte, n)
	rand.NewChaCha8(seed).Read(p)
	return p
}
