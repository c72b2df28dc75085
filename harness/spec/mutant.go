package spec

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/asynclab/asynclab/harness/autopsies"
	"github.com/asynclab/asynclab/harness/course"
)

// A Mutant is a wrong implementation and the rule that must refuse it.
type Mutant[N any] struct {
	Name    string // what is wrong with it: "ignores a short write"
	Article bool   // one of the article's designs, rebuilt
	Why     string // for the autopsy: the reason and the repair, in two sentences
	Rule    string // the rule that must refuse it
	Says    string // regular expression the refusal must match: the right reason
	Race    bool   // only the race detector sees it
	Alone   bool   // it is wrong only while it has the machine: it runs before the others
	New     N
}

// mutantDeadline takes the place of a rule's own, longer one: here the wait is
// mostly known to be in vain. Where it was not, because the machine has more to
// do, the next run of the mutant gets as much again.
const mutantDeadline = 15 * time.Second

// inChild marks the process that runs one mutant; its value is which run of the
// mutant this is, from 1.
const inChild = "ASYNCLAB_MUTANT"

// Refuses holds that each mutant breaks the rule named for it, for the right
// reason. Each runs in a process of its own, because a wrong implementation may
// hang, crash or spoil the process it is in. It also holds that every rule
// refuses something: a rule no mutant breaks is a rule that cannot fail. And it
// holds what docs/autopsies.md says of the article's.
//
// With [ListOnly] it writes the mutants as events and runs none.
//
// Call it from a function named TestMutants.
func (s Suite[N]) Refuses(t *testing.T, mutants []Mutant[N]) {
	if os.Getenv(ListOnly) != "" {
		for _, m := range mutants {
			emit(Event{Kind: EventMutant, Lab: s.Lab, Name: m.Rule, Mutant: m.Name, Article: m.Article, Why: m.Why})
		}
		return
	}
	t.Run("AutopsiesAreWritten", func(t *testing.T) {
		if err := s.autopsiesHold(mutants); err != nil {
			t.Error(err)
		}
	})
	t.Run("EveryRuleRefusesSomething", func(t *testing.T) {
		for _, rule := range s.Rules {
			if !slices.ContainsFunc(mutants, func(m Mutant[N]) bool { return m.Rule == rule.Name }) {
				t.Errorf("no mutant breaks %s: can it fail?", rule.Name)
			}
		}
	})
	for _, m := range mutants {
		t.Run(m.Name, func(t *testing.T) {
			rule := s.rule(t, m.Rule)
			if nth, err := strconv.Atoi(os.Getenv(inChild)); err == nil {
				rule.Deadline, grace = min(rule.deadline(), time.Duration(nth)*mutantDeadline), 2*time.Second
				s.check(t, rule, m.New)
				return
			}
			if m.Race && !raceEnabled {
				t.Skip("only the race detector sees this one: go test -race")
			}
			if !m.Alone {
				t.Parallel()
			}
			began := time.Now()
			refusal, ok := refuse(m.Says, func(nth int) string { return runMutant(t, nth) })
			emit(Event{Kind: EventMutant, Lab: s.Lab, Name: m.Rule, Mutant: m.Name, Article: m.Article,
				Why: m.Why, OK: ok, Happened: refusal, Millis: time.Since(began).Milliseconds()})
			switch {
			case refusal == "":
				t.Errorf("%s accepted this mutant", m.Rule)
			case !ok:
				t.Errorf("%s refused it for another reason than %q:\n%s", m.Rule, m.Says, refusal)
			default:
				t.Logf("refused by %s: %s", m.Rule, firstLine(refusal))
			}
		})
	}
}

// autopsiesHold compares the page of autopsies with the mutants that are the
// article's. A lab that is not built yet has none, nor has a suite outside of
// its judge's folder, as in tests of this package.
func (s Suite[N]) autopsiesHold(mutants []Mutant[N]) error {
	var faults []autopsies.Fault
	for _, m := range mutants {
		if m.Article {
			faults = append(faults, autopsies.Fault{Name: m.Name, Rule: m.Rule, Why: m.Why})
		}
	}
	lab, err := course.Find(s.Lab)
	if err != nil {
		return err
	}
	folder, err := os.Getwd()
	if err != nil || !lab.Built || filepath.Base(folder) != filepath.Base(lab.Judge()) {
		return err
	}
	return autopsies.Hold(filepath.Join("..", ".."), lab, faults)
}

// tries is how often a mutant may be refused for another right reason. Where
// two goroutines race, a rule sees now one consequence of a fault, now another;
// the reason named must come in one of the runs, and a refusal in every one.
const tries = 4

// refuse runs a mutant until what its rule says matches. It returns the last
// refusal, "" as soon as one run accepts the mutant.
func refuse(says string, run func(nth int) string) (refusal string, ok bool) {
	reason := regexp.MustCompile(says)
	for nth := range tries {
		if refusal = run(nth + 1); refusal == "" {
			return "", false
		}
		if reason.MatchString(refusal) {
			return refusal, true
		}
	}
	return refusal, false
}

// Accepts holds that a right implementation keeps every rule.
func (s Suite[N]) Accepts(t *testing.T, new N) {
	for _, rule := range s.Rules {
		t.Run(rule.Name, func(t *testing.T) {
			if out := execute(t, rule.deadline(), func(r *Run) error { return rule.Check(r, new) }); out.err != nil {
				t.Error(complaint(s.Lab, rule, out))
			}
		})
	}
}

// Complete holds the suite's paperwork: unique names, points that sum to the
// course's table, three hints each, and sections that the handout really has.
func (s Suite[N]) Complete(t *testing.T) {
	lab, err := course.Find(s.Lab)
	if err != nil {
		t.Fatal(err)
	}
	handout, err := os.ReadFile(filepath.Join("..", "..", lab.Path("labs"), "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	points, seen := 0, map[string]bool{}
	entry := func(name, why, section string, p int, hints [3]string) {
		points += p
		if seen[name] {
			t.Errorf("%s is there twice", name)
		}
		seen[name] = true
		if why == "" {
			t.Errorf("%s does not say why", name)
		}
		if slices.Contains(hints[:], "") {
			t.Errorf("%s has fewer than three hints", name)
		}
		if !regexp.MustCompile(`(?m)^#+ ` + regexp.QuoteMeta(section) + `$`).Match(handout) {
			t.Errorf("%s points to the section %q, which the handout does not have", name, section)
		}
		if !bytes.Contains(handout, []byte(name)) {
			t.Errorf("the handout never names %s", name)
		}
	}
	for _, r := range s.Rules {
		entry(r.Name, r.Why, r.Section, r.Points, r.Hints)
	}
	for _, g := range s.Targets {
		if g.Goal == Shown && g.Points == 0 {
			continue // a figure for others: nothing to reach
		}
		entry(g.Name, g.Why, g.Section, g.Points, g.Hints)
	}
	if points != lab.Points {
		t.Errorf("rules and targets give %d points, the course's table says %d", points, lab.Points)
	}
}

func (s Suite[N]) rule(t *testing.T, name string) Rule[N] {
	for _, r := range s.Rules {
		if r.Name == name {
			return r
		}
	}
	t.Fatalf("no rule %q in the suite of lab %s", name, s.Lab)
	return Rule[N]{}
}

// runMutant runs the calling subtest again in a child process, for the nth time,
// and returns why it was refused; empty when the rule accepted it.
func runMutant(t *testing.T, nth int) string {
	ctx, cancel := context.WithTimeout(context.Background(), 2*defaultDeadline)
	defer cancel()
	read, write, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer read.Close()
	cmd := exec.CommandContext(ctx, os.Args[0], "-test.run="+exactly(t.Name()), "-test.count=1", "-test.v")
	cmd.Env = append(os.Environ(), inChild+"="+strconv.Itoa(nth), EventsFD+"=3", "GORACE=halt_on_error=1 exitcode=66 atexit_sleep_ms=0")
	cmd.ExtraFiles = []*os.File{write}
	var output bytes.Buffer
	cmd.Stdout, cmd.Stderr = &output, &output
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	write.Close()
	result := lastResult(read)
	if err := cmd.Wait(); err != nil && result == nil {
		return fmt.Sprintf("the process ended (%v):\n%s", err, tail(output.String()))
	}
	if result == nil {
		t.Fatalf("the child ran no check:\n%s", output.String())
	}
	if result.OK && strings.Contains(output.String(), "WARNING: DATA RACE") {
		return output.String()
	}
	if result.OK {
		return ""
	}
	return "expected " + result.Expected + "; " + result.Happened
}

func lastResult(from *os.File) (last *Event) {
	lines := bufio.NewScanner(from)
	lines.Buffer(nil, 4<<20)
	for lines.Scan() {
		var e Event
		if json.Unmarshal(lines.Bytes(), &e) == nil && e.Kind == EventResult {
			last = &e
		}
	}
	return last
}

// exactly makes a -test.run pattern that matches one subtest and no other.
func exactly(name string) string {
	parts := strings.Split(name, "/")
	for i, p := range parts {
		parts[i] = "^" + regexp.QuoteMeta(p) + "$"
	}
	return strings.Join(parts, "/")
}

// tail keeps the part of a crash that says what it was: from the panic, fatal
// error or race on.
func tail(output string) string {
	for _, mark := range []string{"WARNING: DATA RACE", "panic: ", "fatal error: "} {
		if i := strings.Index(output, mark); i >= 0 {
			output = output[i:]
			break
		}
	}
	return output[:min(len(output), 2000)]
}

func firstLine(s string) string {
	line, _, _ := strings.Cut(s, "\n")
	return line
}
