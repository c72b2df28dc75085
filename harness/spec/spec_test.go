package spec

import (
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

func run(t *testing.T, deadline time.Duration, check func(r *Run) error) outcome {
	return execute(t, deadline, check)
}

func TestAFailureTellsBothHalvesAndTheSteps(t *testing.T) {
	out := run(t, time.Minute, func(r *Run) error {
		r.Step("send %d bytes", 3)
		return Fail("3 bytes", "%d came", 2)
	})
	expected, happened := split(out.err)
	require.Equal(t, "3 bytes", expected)
	require.Equal(t, "2 came", happened)
	require.Equal(t, []string{"send 3 bytes"}, out.steps)
	text := complaint("01", Rule[int]{Name: "X", Why: "because", Section: "Step 1"}, out)
	for _, part := range []string{"expected  3 bytes", "happened  2 came", "why       because", "steps     send 3 bytes", `README.md, "Step 1"`, "make hint LAB=01"} {
		require.Contains(t, text, part)
	}
}

func TestAStepDoneTenTimesIsToldOnce(t *testing.T) {
	out := run(t, time.Minute, func(r *Run) error {
		for range 10 {
			r.Step("knock")
		}
		r.Step("enter")
		return nil
	})
	require.Equal(t, []string{"knock (10 times)", "enter"}, out.steps)
}

func TestAPanicIsAFailureWithItsPlace(t *testing.T) {
	for name, check := range map[string]func(r *Run) error{
		"in the check": func(*Run) error { panic("oh") },
		"in Go":        func(r *Run) error { return <-r.Go(func() error { panic("oh") }) },
		"in a bubble":  func(r *Run) error { return r.Bubble(func(*Run) error { panic("oh") }) },
	} {
		out := run(t, time.Minute, check)
		require.ErrorContains(t, out.err, "panic: oh", name)
		require.ErrorContains(t, out.err, "spec_test.go", name)
	}
}

func TestWhatIsWaitedForInVainIsNamed(t *testing.T) {
	out := run(t, 50*time.Millisecond, func(r *Run) error {
		return r.Until("the moon to rise", func() bool { return false })
	})
	require.ErrorContains(t, out.err, "expected the moon to rise")
	require.False(t, out.hung)

	out = run(t, 50*time.Millisecond, func(r *Run) error {
		_, err := Wait(r, "the sun to set", make(chan int))
		return err
	})
	require.ErrorContains(t, out.err, "expected the sun to set")
}

func TestCleanupRunsLastFirstAndAfterAFailure(t *testing.T) {
	var order []string
	run(t, time.Minute, func(r *Run) error {
		r.Cleanup(func() { order = append(order, "first") })
		r.Cleanup(func() { order = append(order, "second") })
		return errors.New("no")
	})
	require.Equal(t, []string{"second", "first"}, order)
}

func TestABubbleThatBlocksForGoodSaysSo(t *testing.T) {
	out := run(t, time.Minute, func(r *Run) error {
		return r.Bubble(func(*Run) error { go func() { <-make(chan int) }(); return nil })
	})
	require.ErrorContains(t, out.err, "still blocked")
	out = run(t, time.Minute, func(r *Run) error {
		return r.Bubble(func(*Run) error { <-make(chan int); return nil })
	})
	require.ErrorContains(t, out.err, "every goroutine is blocked")
}

func TestABubblesOwnFindingComesBeforeWhatItLeftBehind(t *testing.T) {
	out := run(t, time.Minute, func(r *Run) error {
		return r.Bubble(func(*Run) error {
			go func() { <-make(chan int) }()
			synctest.Wait()
			return Fail("x", "y")
		})
	})
	require.EqualError(t, out.err, "expected x; y")
}

func TestTimeInABubbleIsExactAndFree(t *testing.T) {
	out := run(t, time.Minute, func(r *Run) error {
		return r.Bubble(func(*Run) error {
			began := time.Now()
			time.Sleep(time.Hour)
			if time.Since(began) != time.Hour {
				return errors.New("not an hour")
			}
			return nil
		})
	})
	require.NoError(t, out.err)
	require.Less(t, out.took, time.Minute)
}

func TestAHoleIsNotAWrongAnswer(t *testing.T) {
	require.True(t, outcome{err: errors.New("not implemented: step 3")}.notImplemented())
	require.True(t, outcome{err: Fail("nil", "it returned not implemented: step 5")}.notImplemented())
	require.False(t, outcome{err: Fail("x", "y")}.notImplemented())
	require.False(t, outcome{}.notImplemented())
}

// The toy suite judges a function that must double its argument.
var toy = Suite[func(int) int]{
	Lab:   "01",
	Probe: func(func(int) int) error { return nil },
	Rules: []Rule[func(int) int]{{Name: "Doubles", Why: "w", Section: "s", Points: 1,
		Check: func(r *Run, double func(int) int) error {
			if got := double(2); got != 4 {
				return Fail("4", "%d", got)
			}
			return nil
		}}},
}

func TestMutants(t *testing.T) {
	toy.Refuses(t, []Mutant[func(int) int]{
		{Name: "adds one", Rule: "Doubles", Says: "expected 4; 3", New: func(n int) int { return n + 1 }},
		{Name: "panics", Rule: "Doubles", Says: "panic: no", New: func(int) int { panic("no") }},
		{Name: "crashes elsewhere", Rule: "Doubles", Says: "(?s)process ended.*panic: bang", New: func(int) int {
			go panic("bang")
			select {}
		}},
		{Name: "hangs", Rule: "Doubles", Says: "it hangs", New: func(int) int { select {} }},
		{Name: "races", Rule: "Doubles", Says: "DATA RACE", Race: true, New: func(n int) int {
			shared, done := 0, make(chan bool)
			go func() { shared++; done <- true }()
			shared++
			<-done
			return 2 * n
		}},
	})
}

func TestAccepts(t *testing.T) { toy.Accepts(t, func(n int) int { return 2 * n }) }

func TestTheDumpShowsOnlyTheLabsGoroutines(t *testing.T) {
	stacks := "goroutine 1 [running]:\nruntime.x\n\ngoroutine 2 [select]:\ngithub.com/asynclab/asynclab/labs/01-blocking.(*Server).Serve\n"
	require.True(t, strings.HasPrefix(studentFrames(stacks), "goroutine 2"))
	require.Contains(t, studentFrames("goroutine 1 [running]:\nruntime.x"), "no goroutine is inside")
}

func TestAMutantMayShowAnotherSymptomFirstButNeverPass(t *testing.T) {
	runs := 0
	inTurn := func(refusals ...string) func(int) string {
		runs = 0
		return func(int) string { runs++; return refusals[min(runs, len(refusals))-1] }
	}
	if got, ok := refuse("a byte lost", inTurn("a race", "a byte lost: 7")); !ok || got != "a byte lost: 7" || runs != 2 {
		t.Errorf("the reason in the second run: got %q, %t after %d runs", got, ok, runs)
	}
	if got, ok := refuse("a byte lost", inTurn("a race")); ok || got != "a race" || runs != tries {
		t.Errorf("never the reason: got %q, %t after %d runs", got, ok, runs)
	}
	if got, ok := refuse("a byte lost", inTurn("a race", "", "a byte lost")); ok || got != "" || runs != 2 {
		t.Errorf("accepted once: got %q, %t after %d runs", got, ok, runs)
	}
}
