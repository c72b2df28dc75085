package report

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

// An Entry is one line of the history: a check, without its stories.
type Entry struct {
	Time    time.Time          `json:"time"`
	Lab     string             `json:"lab"`
	Side    string             `json:"side"`
	Outcome Outcome            `json:"outcome"`
	Points  int                `json:"points"`
	OutOf   int                `json:"out_of"`
	First   string             `json:"first,omitempty"` // the first failure
	Rules   map[string]Verdict `json:"rules,omitempty"`
	Targets map[string]Figure  `json:"targets,omitempty"`
}

// A Figure is a target's verdict and median in the history.
type Figure struct {
	Verdict Verdict `json:"verdict"`
	Median  float64 `json:"median"`          // in the target's unit
	Ratio   float64 `json:"ratio,omitempty"` // to the baseline
}

// EntryOf shortens a check to its line in the history.
func EntryOf(c *Check) Entry {
	e := Entry{Time: c.Time, Lab: c.Lab, Side: c.Side, Outcome: c.Outcome, Points: c.Points, OutOf: c.OutOf,
		Rules: map[string]Verdict{}, Targets: map[string]Figure{}}
	if first := c.FirstFailure(); first != nil {
		e.First = first.Name
	}
	for _, r := range c.Rules {
		e.Rules[r.Name] = r.Verdict
	}
	for _, t := range c.Targets {
		f := Figure{Verdict: t.Verdict}
		if t.Figure != nil {
			f.Median = t.Figure.Median
		}
		if t.Against != "" && t.Spread != nil {
			f.Ratio = t.Spread.Median
		}
		e.Targets[t.Name] = f
	}
	return e
}

// A History is a file of entries, one JSON object a line, oldest first.
type History struct{ Path string }

// Append adds e in one write, so that two commands at once do not mix lines.
func (h History) Append(e Entry) error {
	line, err := json.Marshal(e)
	if err != nil {
		return fmt.Errorf("encode history entry: %w", err)
	}
	if err := os.MkdirAll(filepath.Dir(h.Path), 0o755); err != nil {
		return err
	}
	f, err := os.OpenFile(h.Path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	_, err = f.Write(append(line, '\n'))
	return errors.Join(err, f.Close())
}

// Entries reads the history. A file that is not there is an empty history; a
// line that is not JSON (a disk that was full, an edit) is passed over.
func (h History) Entries() ([]Entry, error) {
	f, err := os.Open(h.Path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var all []Entry
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var e Entry
		if json.Unmarshal(lines.Bytes(), &e) == nil && e.Lab != "" {
			all = append(all, e)
		}
	}
	return all, lines.Err()
}

// Standing is where one lab is.
type Standing struct {
	Runs int
	Best Entry // most points; the first that had them
	Last Entry
}

// Done reports whether some run had every point.
func (s Standing) Done() bool { return s.Runs > 0 && s.Best.Outcome == AllPoints }

// Standings folds the history of one side by lab.
func Standings(all []Entry, side string) map[string]Standing {
	by := map[string]Standing{}
	for _, e := range all {
		if e.Side != side {
			continue
		}
		s := by[e.Lab]
		if s.Runs == 0 || better(e, s.Best) {
			s.Best = e
		}
		s.Last = e
		s.Runs++
		by[e.Lab] = s
	}
	return by
}

func better(a, b Entry) bool {
	return a.Points > b.Points || a.Points == b.Points && a.Outcome == AllPoints && b.Outcome != AllPoints
}
