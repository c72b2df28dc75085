package poolingtest

import (
	"bytes"
	"fmt"
	"slices"
	"testing"

	"github.com/asynclab/asynclab/harness/spec"
)

var preallocRules = []spec.Rule[lab]{
	{
		Name: "SizesAreKnownBefore", Group: "prealloc", Points: 5, Section: step6,
		Why: "A slice that grows by append is copied a dozen times on its way to ten thousand. Where the size is known, or can be counted in one pass, one allocation does.",
		Hints: [3]string{
			"How large will the result be, and when do you know?",
			"make with length 0 and the capacity; append then never grows.",
			"size := len(parts)-1; for _, p := range parts { size += len(p) }; all := make([]byte, 0, size)",
		},
		Check: sizesKnown,
	},
	{
		Name: "NothingEscapes", Group: "prealloc", Points: 3, Section: step6,
		Why: "The fastest allocation is none: what the caller has room for is appended to his slice, and a small result is a value. A pointer to it would have to outlive the function, and goes to the heap.",
		Hints: [3]string{
			"Ask the compiler: go build -gcflags=-m ./labs/10-pooling shows what escapes.",
			"Append to dst instead of returning a new slice; return a struct instead of a pointer to one.",
			"dst = binary.BigEndian.AppendUint32(dst, uint32(len(payload))); return append(dst, payload...)",
		},
		Check: nothingEscapes,
	},
}

// within holds that f allocates at most allowed times.
func within(what string, allowed float64, f func()) error {
	if n := testing.AllocsPerRun(100, f); n > allowed {
		return spec.Fail(fmt.Sprintf("%s to allocate %v times at most", what, allowed), "it allocates %v times", n)
	}
	return nil
}

// These keep results alive, so that the compiler does not leave them out.
var (
	//lint:ignore U1000 it is written to
	bytesSink []byte
	//lint:ignore U1000 it is written to
	intsSink []int
)

func sizesKnown(r *spec.Run, l lab) error {
	for _, n := range []int{0, 1, 10_000} {
		want := []int{}
		for i := range n {
			want = append(want, i*i)
		}
		if got := l.Squares(n); !slices.Equal(got, want) {
			return spec.Fail(fmt.Sprintf("Squares(%d) to be the squares of 0 to %d", n, n-1), "it has %d elements", len(got))
		}
	}
	parts := [][]byte{[]byte("a"), nil, []byte("long enough to grow"), []byte("z")}
	if got := string(l.Join(parts, ',')); got != "a,,long enough to grow,z" {
		return spec.Fail(`Join to be "a,,long enough to grow,z"`, "it is %q", got)
	}
	if got := string(l.Join([][]byte{nil, []byte("b"), nil}, ',')); got != ",b," {
		return spec.Fail(`Join of "", "b", "" to be ",b,"`, "it is %q", got)
	}
	if got := l.Join(nil, ','); len(got) != 0 {
		return spec.Fail("Join of nothing to be empty", "it is %q", got)
	}
	many := slices.Repeat(parts, 200)
	return errorsFirst(
		within("Squares(10000)", 1, func() { intsSink = l.Squares(10_000) }),
		within("Join of 800 parts", 1, func() { bytesSink = l.Join(many, ',') }),
		within("Join of nothing", 0, func() { bytesSink = l.Join(nil, ',') }))
}

func errorsFirst(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

func nothingEscapes(r *spec.Run, l lab) error {
	frame := l.AppendFrame([]byte("before"), []byte("hello"))
	if !bytes.Equal(frame, []byte("before\x00\x00\x00\x05hello")) {
		return spec.Fail(`AppendFrame to append 00 00 00 05 and "hello" to what was there`, "it is %q", frame)
	}
	if kind, size, ok := l.ParseHeader([]byte{7, 0, 1, 0, 2, 99}); !ok || kind != 7 || size != 65538 {
		return spec.Fail("ParseHeader of 07 00 01 00 02 to be kind 7, size 65538", "it is %d, %d, %v", kind, size, ok)
	}
	if _, size, ok := l.ParseHeader([]byte{7, 0, 1, 0, 3}); !ok || size != 65539 {
		return spec.Fail("ParseHeader of 5 bytes, 07 00 01 00 03, to be ok and of size 65539", "it is %v and %d", ok, size)
	}
	if _, _, ok := l.ParseHeader([]byte{7, 0, 1, 0}); ok {
		return spec.Fail("ParseHeader of 4 bytes not to be ok", "it is")
	}
	dst, payload := make([]byte, 0, 4096), make([]byte, 1000)
	return errorsFirst(
		within("AppendFrame to a slice with room", 0, func() { bytesSink = l.AppendFrame(dst, payload) }),
		within("ParseHeader", 0, func() {
			if kind, _, _ := l.ParseHeader(payload); kind != 0 {
				bytesSink = nil
			}
		}))
}
