package spec

import (
	"encoding/json"
	"os"
	"strconv"
	"sync"
)

// EventsFD names the environment variable with the number of a descriptor that
// gets one JSON [Event] a line. The command line uses it; without it the suite
// speaks through the testing package alone.
const EventsFD = "ASYNCLAB_EVENTS_FD"

// ListOnly names the environment variable that makes Test write the suite's
// rules and targets as events and check nothing, and TestMutants its mutants.
const ListOnly = "ASYNCLAB_LIST"

// Kinds of events.
const (
	EventRule   = "rule"   // a rule of the suite (list)
	EventTarget = "target" // a target of the suite (list)
	EventStart  = "start"  // a rule's check begins
	EventResult = "result" // a rule's check has ended
	EventSample = "sample" // one measurement of a target has ended
	EventMutant = "mutant" // a mutant was judged, or listed
)

// An Event is one line from a running suite. Which fields are set depends on
// Kind.
type Event struct {
	Kind string `json:"kind"`
	Lab  string `json:"lab"`            // "03"
	Name string `json:"name,omitempty"` // of the rule or target

	// of a listed rule or target
	Group    string    `json:"group,omitempty"`
	Title    string    `json:"title,omitempty"`
	Why      string    `json:"why,omitempty"`
	Points   int       `json:"points,omitempty"`
	Section  string    `json:"section,omitempty"`
	Hints    [3]string `json:"hints,omitzero"`
	Unit     string    `json:"unit,omitempty"`
	Baseline string    `json:"baseline,omitempty"`
	Goal     Goal      `json:"goal,omitempty"`
	Bound    float64   `json:"bound,omitempty"`

	// of a result or sample
	OK             bool     `json:"ok,omitempty"`
	NotImplemented bool     `json:"not_implemented,omitempty"`
	Hung           bool     `json:"hung,omitempty"`
	Expected       string   `json:"expected,omitempty"`
	Happened       string   `json:"happened,omitempty"`
	Steps          []string `json:"steps,omitempty"`
	Dump           string   `json:"dump,omitempty"`
	Millis         int64    `json:"millis,omitempty"`
	Sample         *Sample  `json:"sample,omitempty"`

	// of a mutant
	Mutant  string `json:"mutant,omitempty"`
	Article bool   `json:"article,omitempty"`
}

var emitMu sync.Mutex

// emit writes e for the command line, if one is listening.
func emit(e Event) {
	fd, err := strconv.Atoi(os.Getenv(EventsFD))
	if err != nil {
		return
	}
	line, err := json.Marshal(e)
	if err != nil {
		panic("spec: encode event: " + err.Error()) // a NaN in a sample
	}
	emitMu.Lock()
	defer emitMu.Unlock()
	events := eventsFile(fd)
	events.Write(append(line, '\n'))
}

// eventsFile is opened once: an os.File that is collected closes its descriptor.
var eventsFile = func() func(fd int) *os.File {
	var once sync.Once
	var f *os.File
	return func(fd int) *os.File {
		once.Do(func() { f = os.NewFile(uintptr(fd), "events") })
		return f
	}
}()
