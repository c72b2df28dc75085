package report

import (
	"regexp"
	"strconv"
	"time"
)

// Outcome is a whole check in one word.
type Outcome string

const (
	AllPoints      Outcome = "passed"          // every point is there
	SomeFailed     Outcome = "failed"          // a rule or target failed
	NotStarted     Outcome = "not implemented" // the skeleton as it was handed out
	NotBuilt       Outcome = "build error"     // the compiler refuses the package
	NotRunnable    Outcome = "crash"           // the package crashes before any rule could run
	NotVetted      Outcome = "vet error"       // go vet refuses the package, though every rule passed
	TooNoisy       Outcome = "inconclusive"    // nothing failed, but a target could not be decided
	TargetsSkipped Outcome = "rules passed"    // every rule passed, targets were not asked for
	StepsPassed    Outcome = "steps passed"    // every rule of the steps that were asked for passed
	JudgeBroken    Outcome = "broken"          // the judge did not work: not the student's fault
)

// Exit statuses of `lab check`.
const (
	ExitPassed       = 0
	ExitFailed       = 1
	ExitUsage        = 2 // also: something outside the lab stands in the way
	ExitInconclusive = 3
)

// Check is the document that `lab check --json` prints: everything about one
// run. Fields are only ever added; Format changes when the meaning of one does.
type Check struct {
	Format  int       `json:"format"`  // 1
	Time    time.Time `json:"time"`    // when the run began
	Lab     string    `json:"lab"`     // "03"
	Dir     string    `json:"dir"`     // "03-eventloop"
	Side    string    `json:"side"`    // "labs" or "solutions"
	Folder  string    `json:"folder"`  // of the package, from the repository's root
	Handout string    `json:"handout"` // what to read, from the root
	Outcome Outcome   `json:"outcome"`
	Exit    int       `json:"exit"` // the exit status of the command
	Points  int       `json:"points"`
	OutOf   int       `json:"out_of"`
	Seconds float64   `json:"seconds"` // of the whole run, builds included

	// NoRaceDetector says why rules ran without the race detector; empty when
	// they ran with it.
	NoRaceDetector string `json:"no_race_detector,omitempty"`

	Message string   `json:"message,omitempty"` // why there are no rules to look at
	NotRun  string   `json:"not_run,omitempty"` // why some rules were not run, when others were
	Faults  []Fault  `json:"faults,omitempty"`  // of the compiler or go vet
	Rules   []Rule   `json:"rules"`             // in the suite's order
	Targets []Target `json:"targets"`           // in the suite's order
	Next    []string `json:"next,omitempty"`    // what to do now, most useful first
}

// A Fault is one line of the compiler or of go vet.
type Fault struct {
	At   string `json:"at"`   // file:line:column, from the repository's root; empty when it has none
	Text string `json:"text"` // what is wrong
}

// Explained is what a rule and a target have in common: how to act on it.
type Explained struct {
	Name    string   `json:"name"`
	Why     string   `json:"why"`
	Points  int      `json:"points"` // to be had
	Earned  int      `json:"earned"`
	Section string   `json:"section"` // heading in the handout
	Hints   []string `json:"hints"`   // from nudge to near-code
	Verdict Verdict  `json:"verdict"`
	Finding
}

var stepNumber = regexp.MustCompile(`^Step (\d+)`)

// Step is the number of the handout's step that the check belongs to, 0 if it
// belongs to none.
func (e *Explained) Step() int {
	m := stepNumber.FindStringSubmatch(e.Section)
	if m == nil {
		return 0
	}
	n, _ := strconv.Atoi(m[1])
	return n
}

// A Finding is what was seen when it failed. Empty when it did not.
type Finding struct {
	Expected   string   `json:"expected,omitempty"`
	Happened   string   `json:"happened,omitempty"`
	Steps      []string `json:"steps,omitempty"`      // what the check had done, in order
	Goroutines string   `json:"goroutines,omitempty"` // the lab's, when one waited in vain
	Stack      string   `json:"stack,omitempty"`      // of a crash or a data race, trimmed
	Repeat     string   `json:"repeat,omitempty"`     // the command that runs this check alone
	Millis     int64    `json:"millis"`
}

// A Rule is a promise of the contract and whether it was kept.
type Rule struct {
	Group string `json:"group"`
	Explained
}

// A Target is a figure with a bound and where it came to lie.
type Target struct {
	Title    string  `json:"title"`
	Unit     string  `json:"unit"`               // of Figures and Baseline figures
	Against  string  `json:"against,omitempty"`  // folder of the baseline; empty for an absolute bound
	Goal     string  `json:"goal"`               // "at least", "at most", "shown"
	Bound    float64 `json:"bound"`              // on the ratio when there is a baseline, else in Unit
	Rounds   []Round `json:"rounds,omitempty"`   // as they were taken
	Spread   *Spread `json:"spread,omitempty"`   // of the ratio, or of the figure
	Figure   *Spread `json:"figure,omitempty"`   // of this side, in Unit
	Baseline *Spread `json:"baseline,omitempty"` // of the other side, in Unit
	Explained
}

// A Round is one measurement of each side, taken one right after the other.
type Round struct {
	Figure   float64            `json:"figure"`
	Baseline float64            `json:"baseline,omitempty"`
	Ratio    float64            `json:"ratio,omitempty"` // figure / baseline
	Also     map[string]float64 `json:"also,omitempty"`  // further figures of this side
}

// FirstFailure is the check to work on: the first wrong one, and when nothing
// is wrong, the first that is not there yet. nil when nothing failed.
func (c *Check) FirstFailure() *Explained {
	var notYet *Explained
	for _, e := range c.Explained() {
		if e.Verdict == NotYet && notYet == nil {
			notYet = e
		}
		if e.Verdict.Bad() && e.Verdict != NotYet {
			return e
		}
	}
	return notYet
}

// Explained lists the rules, then the targets.
func (c *Check) Explained() []*Explained {
	var all []*Explained
	for i := range c.Rules {
		all = append(all, &c.Rules[i].Explained)
	}
	for i := range c.Targets {
		all = append(all, &c.Targets[i].Explained)
	}
	return all
}

// Conclude counts the points and sets Outcome and Exit from the verdicts. A
// check that ended before its rules keeps the outcome it has.
func (c *Check) Conclude() {
	c.Points, c.OutOf = 0, 0
	seen := map[Verdict]bool{}
	for _, e := range c.Explained() {
		e.Earned = 0
		if e.Verdict.Good() {
			e.Earned = e.Points
		}
		c.Points += e.Earned
		c.OutOf += e.Points
		seen[e.Verdict] = true
		seen["bad"] = seen["bad"] || e.Verdict.Bad()
	}
	if c.Outcome == "" {
		c.Outcome = outcome(seen, len(c.Faults) > 0)
	}
	if c.Outcome == TargetsSkipped && c.NotRun != "" {
		c.Outcome = StepsPassed
	}
	c.Exit = c.Outcome.exit()
}

func outcome(seen map[Verdict]bool, vetFaults bool) Outcome {
	switch {
	case seen["bad"]:
		return SomeFailed
	case vetFaults:
		return NotVetted
	case seen[Broken]:
		return JudgeBroken
	case seen[Inconclusive]:
		return TooNoisy
	case seen[NotRun]:
		return TargetsSkipped
	}
	return AllPoints
}

func (o Outcome) exit() int {
	switch o {
	case AllPoints, TargetsSkipped, StepsPassed:
		return ExitPassed
	case TooNoisy:
		return ExitInconclusive
	case JudgeBroken:
		return ExitUsage
	}
	return ExitFailed
}

// Settle sets the verdict and the spreads from the rounds. figures are what the
// bound is on: the ratios, or this side's figures.
func (t *Target) Settle(figures []float64, b Bound) {
	spread := SpreadOf(figures)
	t.Spread = &spread
	var own, other []float64
	for _, r := range t.Rounds {
		own = append(own, r.Figure)
		other = append(other, r.Baseline)
	}
	ownSpread := SpreadOf(own)
	t.Figure = &ownSpread
	if t.Against != "" {
		otherSpread := SpreadOf(other)
		t.Baseline = &otherSpread
	}
	if t.Verdict = Decide(figures, b); t.Goal == "shown" {
		t.Verdict = Shown
	}
	if t.Verdict == NotMet {
		t.Expected, t.Happened = wanted(*t), measured(*t)
	}
}
