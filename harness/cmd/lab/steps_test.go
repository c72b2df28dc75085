package main

import (
	"io"
	"strings"
	"testing"

	"github.com/asynclab/asynclab/harness/course"
	"github.com/asynclab/asynclab/harness/report"
	"github.com/stretchr/testify/require"
)

// A desk and its answer: sending is step 1 and counting step 2, on either side
// of a file's boundary, with imports that only one of them needs.
var (
	smallDesk = sources{"ring.go": []byte(`package ring

import "errors"

// A Ring is one.
type Ring[T any] struct {
	none error // for now
}

// Send sends.
func (r *Ring[T]) Send(v T) error {
	return errors.New("not implemented: step 1, and waits in step 2")
}

// Close closes.
func (r *Ring[T]) Close() error {
	return errors.Join(r.none) // not implemented: step 3
}

// Len counts.
func Len(of int) int {
	return 0 // not implemented: step 2
}

func (r *Ring[T]) String() string { return "a ring, as in step two" }
`)}
	smallAnswer = sources{"ring.go": []byte(`package ring

import (
	"fmt"
	rand "math/rand/v2"
	"sync"
)

// A Ring is one.
type Ring[T any] struct{ mu sync.Mutex }

// Send sends.
func (r *Ring[T]) Send(v T) error { return fmt.Errorf("sent %v", v) }

func (r *Ring[T]) String() string { return fmt.Sprint("the answer's") }

// Close closes.
func (r *Ring[E]) Close() error {
	_ = rand.Int()
	return nil
}
`), "len.go": []byte("package ring\n\n// Len counts.\nfunc Len(of int) int { return of }\n"),
		"same.go": []byte("package ring\n")}
)

func TestHolesOfLaterStepsAreBackInTheAnswer(t *testing.T) {
	d, err := deskIn(smallDesk)
	require.NoError(t, err)
	require.Equal(t, 3, d.last())
	require.Equal(t, []string{"Len", "Ring.Close"}, d.after(1))
	require.Equal(t, []string{"Ring.Close"}, d.after(2))

	files, err := unfilled(smallAnswer, d, 1)
	require.NoError(t, err)
	require.Len(t, files, 2, "what has no hole is not replaced")
	require.Equal(t, `package ring

import (
	"errors"
	"fmt"
	"sync"
)



// A Ring is one.
type Ring[T any] struct{ mu sync.Mutex 
	none error
}

// Send sends.
func (r *Ring[T]) Send(v T) error { return fmt.Errorf("sent %v", v) }

func (r *Ring[T]) String() string { return fmt.Sprint("the answer's") }

// Close closes.
func (r *Ring[T]) Close() error {
	return errors.Join(r.none) // not implemented: step 3
}
`, string(files["ring.go"]))
	require.Contains(t, string(files["len.go"]), "return 0 // not implemented: step 2")

	files, err = unfilled(smallAnswer, d, 2)
	require.NoError(t, err)
	require.NotContains(t, files, "len.go", "step 2 is done")
	files, err = unfilled(smallAnswer, d, 3)
	require.NoError(t, err)
	require.Empty(t, files, "all are")
}

func TestAHoleThatTheAnswerDoesNotFillIsNamed(t *testing.T) {
	d, err := deskIn(smallDesk)
	require.NoError(t, err)
	_, err = unfilled(sources{"ring.go": smallAnswer["ring.go"]}, d, 1)
	require.ErrorContains(t, err, "Len")
}

func TestAnImportIsKnownByTheWordBeforeTheDot(t *testing.T) {
	for spec, want := range map[string]string{
		`"errors"`: "errors", `"math/rand/v2"`: "rand", `unix "golang.org/x/sys/unix"`: "unix", `_ "embed"`: "_",
	} {
		require.Equal(t, want, importName(spec))
	}
}

// With its own desk, step 1 of lab 10 is green; had the desk said that asking
// for a buffer is of step 2, step 1 would need a later step, and that is red.
func TestAStepIsRedWhenItsChecksNeedALaterOne(t *testing.T) {
	t.Parallel()
	c := testClone(t)
	lab, err := course.Find("pooling")
	require.NoError(t, err)
	files, err := skeleton(lab) // labs holds a student's work in a student's clone
	require.NoError(t, err)
	answer, err := goFilesOf(c.path(lab.Path("solutions")), func(name string) bool { return !strings.HasSuffix(name, "_test.go") })
	require.NoError(t, err)
	show := newScreen(io.Discard)
	defer show.close()
	look := func() stepResult {
		d, err := deskIn(files)
		require.NoError(t, err)
		r, err := c.step(t.Context(), t.TempDir(), lab, d, answer, 1, show)
		require.NoError(t, err)
		require.Empty(t, r.Fault)
		require.NotZero(t, r.Rules)
		return r
	}

	r := look()
	require.True(t, r.Green, "%+v", r)
	require.NotContains(t, r.Missing, "Pool.Get")
	require.Contains(t, stepLine(r, lab, report.TextFor(io.Discard)), "lab 10-pooling step 1: green")

	later := strings.Replace(string(files["pool.go"]), "return &Buffer{} // not implemented: step 1", "return &Buffer{} // not implemented: step 2", 1)
	require.NotEqual(t, string(files["pool.go"]), later)
	files["pool.go"] = []byte(later)
	r = look()
	require.False(t, r.Green)
	require.Contains(t, r.Missing, "Pool.Get")
	require.NotEmpty(t, r.Failed)
	require.Contains(t, stepLine(r, lab, report.TextFor(io.Discard)), "\n    "+r.Failed[0].Name+" (Step 1")
}
