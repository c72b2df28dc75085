package zerocopytest

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/asynclab/asynclab/harness/spec"
)

var changeRules = []spec.Rule[lab]{
	{
		Name: "TruncatedIsAnError", Group: "changing", Points: 3, Section: step2,
		Why: "Logs are rotated and uploads begun anew while they are being sent. The article's server touches a page that is gone, and SIGBUS ends the process; others send for ever, or fill up with zeros.",
		Hints: [3]string{
			"What does each way see at the new end? 0 bytes, EFAULT, zeros, or a signal?",
			"Look at the file (fstat) before each system call that moves some of it, also when you have waited. Never touch a mapping yourself.",
			"if info.Size() != t.size || !info.ModTime().Equal(t.modified) { return ErrChanged }",
		},
		Check: truncated,
	},
	{
		Name: "RewrittenIsAnError", Group: "changing", Points: 2, Section: step2,
		Why: "Half of the old file and half of the new one, of the right length: nobody notices until it is opened.",
		Hints: [3]string{
			"The size is the same. What else tells that somebody has written?",
			"The time of the last modification, from the moment the first byte was sent on.",
			"!info.ModTime().Equal(t.modified)",
		},
		Check: rewritten,
	},
	{
		Name: "MoreThanThereIs", Group: "changing", Points: 1, Section: step2,
		Why: "A Content-Length that was promised a moment ago may be more than is left.",
		Hints: [3]string{
			"off+n is behind the end. What do you return?",
			"ErrChanged, and mind that off+n may overflow.",
			"off > t.size || n > t.size-off",
		},
		Check: moreThanThereIs,
	},
}

func countOf(s, part string) int { return strings.Count(s, part) }

// midway begins to send a file of 6 MiB and changes it when the peer's socket
// is full.
func midway(r *spec.Run, l lab, way string, change func(f *os.File) error) (s sent, g got, err error) {
	f, err := numbered(6 << 20)
	if err != nil {
		return s, g, err
	}
	c, peer, err := pair(r, small)
	if err != nil {
		return s, g, err
	}
	done := sending(r, l, c, f, 0, 6<<20, way, true)
	if err := stalled(r, peer); err != nil {
		return s, g, err
	}
	if err := change(f); err != nil {
		return s, g, err
	}
	r.Step("the peer reads to the end")
	if g, err = spec.Wait(r, "the receiver to read to the end", receiving(r, peer, 0, 64<<10)); err != nil {
		return s, g, err
	}
	s, err = spec.Wait(r, "Send to return", done)
	return s, g, err
}

func truncated(r *spec.Run, l lab) error {
	return byEach(r, func(way string) error {
		for _, left := range []int64{3<<20 + 100, 0} {
			s, g, err := midway(r, l, way, func(f *os.File) error {
				r.Step("6 MiB are being sent, and the file is cut to %d bytes", left)
				return f.Truncate(left)
			})
			if err != nil {
				return err
			}
			if !errors.Is(s.err, l.Changed) || s.n >= 6<<20 || g.n != s.n {
				return spec.Fail("Send to return ErrChanged, and how many bytes it sent before", "it returned (%d, %v), and %d bytes came", s.n, s.err, g.n)
			}
		}
		return nil
	})
}

func rewritten(r *spec.Run, l lab) error {
	return byEach(r, func(way string) error {
		s, g, err := midway(r, l, way, func(f *os.File) error {
			r.Step("6 MiB are being sent, and somebody writes 100 bytes at 5 MiB")
			_, err := f.WriteAt(make([]byte, 100), 5<<20)
			return err
		})
		if err != nil {
			return err
		}
		if !errors.Is(s.err, l.Changed) || s.n >= 6<<20 || g.bad >= 0 {
			return spec.Fail("Send to return ErrChanged before it sends a mixture", "it returned (%d, %v); %s", s.n, s.err, g)
		}
		return nil
	})
}

func moreThanThereIs(r *spec.Run, l lab) error {
	f, err := numbered(10_000)
	if err != nil {
		return err
	}
	return byEach(r, func(way string) error {
		for _, piece := range [][2]int64{{0, 10_001}, {9_000, 1_001}, {10_001, 0}, {5_000, 1<<63 - 1}} {
			c, peer, err := pair(r, 0)
			if err != nil {
				return err
			}
			read := receiving(r, peer, piece[0], 4096)
			s, err := spec.Wait(r, "Send to return", sending(r, l, c, f, piece[0], piece[1], way, true))
			if err != nil {
				return err
			}
			if !errors.Is(s.err, l.Changed) || s.n > 10_000 {
				return spec.Fail(fmt.Sprintf("Send of %d bytes from %d of 10,000 to return ErrChanged", piece[1], piece[0]), "it returned (%d, %v)", s.n, s.err)
			}
			if _, err := spec.Wait(r, "the receiver to read to the end", read); err != nil {
				return err
			}
		}
		return nil
	})
}
