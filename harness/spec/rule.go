// Package spec is the shape of every lab's judge: what a rule and a target are,
// how they are run, and how the harness proves that wrong implementations are
// refused.
//
// A judge (harness/epolltest, say) fills a [Suite] with rules and targets. A
// lab's ten-line test file hands its constructor to [Suite.Test] and
// [Suite.Benchmark]; the judge's own tests hand it mutants ([Suite.Refuses])
// and right implementations in another style ([Suite.Accepts]).
//
// N is the type of the lab's constructor, for example
// func(epolltest.Options) (epolltest.Server, error).
package spec

import (
	"fmt"
	"time"
)

// A Rule is one promise of a lab's contract, and the check that holds it.
type Rule[N any] struct {
	Name    string    // a claim: "EchoesEveryByte"; unique in its suite
	Group   string    // rules with one idea share a group: "echo", "limits"
	Why     string    // why the rule exists, said to the student whose code breaks it
	Points  int       // of the lab's total
	Section string    // the heading in the lab's README.md to read
	Hints   [3]string // from nudge to near-code

	// Deadline bounds Check; 0 means 60 s. It is there so that nothing hangs,
	// and is generous: no right implementation comes near it on a loaded machine.
	Deadline time.Duration

	// Check returns nil when the implementation that new makes keeps the rule,
	// and a [Failure] when it does not. It runs on a goroutine of its own.
	Check func(r *Run, new N) error
}

const defaultDeadline = 60 * time.Second

func (r Rule[N]) deadline() time.Duration {
	if r.Deadline > 0 {
		return r.Deadline
	}
	return defaultDeadline
}

// A Failure says what a rule expected and what happened instead.
type Failure struct {
	Expected string
	Happened string
}

func (f *Failure) Error() string {
	return "expected " + f.Expected + "; " + f.Happened
}

// Fail returns a [Failure]. Both texts are fragments without a full stop; args
// belong to happened.
func Fail(expected, happened string, args ...any) error {
	return &Failure{Expected: expected, Happened: fmt.Sprintf(happened, args...)}
}
