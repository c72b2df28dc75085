package reactortest

import (
	"flag"
	"os"
	"testing"

	"github.com/asynclab/asynclab/harness/spec"
)

// Mutants that hang until their deadline use no CPU: run more of them at once
// than there are cores.
func TestMain(m *testing.M) {
	flag.Parse()
	flag.Set("test.parallel", "12")
	os.Exit(m.Run())
}

func TestSuiteIsComplete(t *testing.T) { suite.Complete(t) }

func TestAcceptsAnotherStyle(t *testing.T) { suite.Accepts(t, subjectWith("")) }

func TestMutants(t *testing.T) {
	var all []spec.Mutant[Subject]
	for _, m := range mutants {
		m.New = subjectWith(fault(m.Name))
		all = append(all, m)
	}
	for _, m := range articleMutants {
		m.New = subjectWith(fault(m.Name))
		m.Article, m.Name = true, "the article: "+m.Name
		all = append(all, m)
	}
	suite.Refuses(t, all)
}

// mutants are variants with the fault that is their name.
var mutants = []spec.Mutant[Subject]{
	{Name: "rounds down", Rule: "WheelKeepsTime", Says: `never to be early`},
	{Name: "a tick late", Rule: "WheelKeepsTime", Says: `was not, by Advance`},
	{Name: "for ever is at once", Rule: "WheelKeepsTime", Says: `292 years|Len to be`},
	{Name: "looks at one turn only", Rule: "WheelKeepsTime", Says: `was not, by Advance`},
	{Name: "the wheel is off by one turn", Rule: "WheelCountsTurns", Says: `was not, by Advance`},
	{Name: "a delay of one turn fires at once", Rule: "WheelCountsTurns", Says: `never to be early`},
	{Name: "slot by slot", Rule: "WheelKeepsOrder", Says: `order of their ticks`},
	{Name: "the clock goes back", Rule: "WheelKeepsOrder", Says: `never to be early|was not, by Advance`},
	{Name: "stop always says true", Rule: "WheelStopTellsTheTruth", Says: `stop to return false`},
	{Name: "stop of a fired timer says true", Rule: "WheelStopTellsTheTruth", Says: `stop to return false`},
	{Name: "what is due is called, stopped or not", Rule: "WheelStopTellsTheTruth", Says: `stopped timer never to be called`},
	{Name: "Len counts stopped timers", Rule: "WheelStopTellsTheTruth", Says: `Len to be the number`},
	{Name: "a timer made in a call fires in the same Advance", Rule: "WheelCallsMayMakeTimers", Says: `wait for a later one`},
	{Name: "what is made in a call counts from the tick", Rule: "WheelCallsMayMakeTimers", Says: `never to be early|wait for a later one`},
	{Name: "a goroutine for each timer", Rule: "WheelHoldsAMillion", Says: `pending timers have 20000`},
	{Name: "a timer looks for its place", Rule: "WheelHoldsAMillion", Says: `a million timers to be started`},

	{Name: "takes any options", Rule: "RefusesImpossibleOptions", Says: `it returned nil`},
	{Name: "Post runs on the first loop", Rule: "PostRunsOnItsLoop", Says: `a goroutine for each loop`},
	{Name: "Post runs the last one first", Rule: "PostRunsOnItsLoop", Says: `ran out of order`},
	{Name: "a second Shutdown panics", Rule: "ShutdownIsRepeatable", Says: `panic`},
	{Name: "Shutdown before Run waits for ever", Rule: "ShutdownIsRepeatable", Says: `Shutdown before Run to return`},
	{Name: "Run returns an error after Shutdown", Rule: "ShutdownIsRepeatable", Says: `Run to return nil`},
	{Name: "Post after Shutdown says nil", Rule: "ShutdownIsRepeatable", Says: `Post to loop . to return net.ErrClosed`},
	{Name: "leaks its pipes", Rule: "NothingIsLeft", Says: `more are open than before`},
	{Name: "leaks when Listen fails", Rule: "NothingIsLeft", Says: `more are open than before`},
	{Name: "leaves a goroutine", Rule: "NothingIsLeft", Says: `goroutine to end with its reactor`},
	{Name: "a thread with its table stays", Rule: "NothingIsLeft", Says: `descriptor table to end|every goroutine to end`},

	{Name: "all connections on one loop", Rule: "RoundRobinIsEven", Says: `spread evenly.*\[0 0 0 42\]`},
	{Name: "least looks at open connections only", Rule: "LeastFillsTheEmptiest", Says: `a burst to be spread|to be spread evenly`},
	{Name: "least forgets departures", Rule: "LeastFillsTheEmptiest", Says: `newcomers to go to the emptiest`},
	{Name: "the hand-off drops when a loop is busy", Rule: "NoConnectionIsLost", Says: `client \d+ of 400`},
	{Name: "only the first address is served", Rule: "NoConnectionIsLost", Says: `clients of every address`},
	{Name: "lost between accept and registration", Rule: "NoConnectionIsLost", Says: `client \d+ of 400`},
	{Name: "who has sent already is not heard", Rule: "NoConnectionIsLost", Says: `client \d+ of 400`},
	{Name: "the client who has left already is dropped", Rule: "NoConnectionIsLost", Says: `client 1 of 400`},
	{Name: "Loops 0 means one", Rule: "ConnectionsTellsTheTruth", Says: `GOMAXPROCS`},
	{Name: "who resets is counted for ever", Rule: "ConnectionsTellsTheTruth", Says: `\[0 0 0\] again when everybody has left`},
	{Name: "Loop is always 0", Rule: "ConnectionsTellsTheTruth", Says: `as by OnOpen and Loop`},

	{Name: "OnMessage runs on a goroutine of its own", Rule: "CallbacksStayOnTheirLoop", Says: `they ran on`},
	{Name: "OnOpen runs on the acceptor", Rule: "CallbacksStayOnTheirLoop", Says: `they ran on|DATA RACE|OnOpen`},
	{Name: "OnClose runs on a goroutine of its own", Rule: "CallbacksStayOnTheirLoop", Says: `they ran on`},
	{Name: "OnTimeout runs on a timer's goroutine", Rule: "CallbacksStayOnTheirLoop", Says: `they ran on`},
	{Name: "one lock around all callbacks", Rule: "ALoopWaitsForNoOther", Says: `do not wait for each other`},
	{Name: "the acceptor waits for a busy loop", Rule: "ALoopWaitsForNoOther", Says: `acceptor to go on`},
	{Name: "a panic in OnTimeout ends the process", Rule: "PanicClosesOneConnection", Says: `malformed timeout 4711`},
	{Name: "a panic closes all of its loop", Rule: "PanicClosesOneConnection", Says: `expected`},
	{Name: "a panic is not told", Rule: "PanicClosesOneConnection", Says: `it got nil`},
	{Name: "a loop fails alone", Rule: "PanicClosesOneConnection", Says: `Run to return when one of its loops|OnClose for each`},
	{Name: "a failure is not told", Rule: "PanicClosesOneConnection", Says: `the error of the loop that has failed`},
	{Name: "MaxQueued is forgotten", Rule: "OptionsReachEveryLoop", Says: `40 MiB were taken`},
	{Name: "MaxMessage is forgotten", Rule: "OptionsReachEveryLoop", Says: `above MaxMessage`},
	{Name: "OnDrain is forgotten", Rule: "OptionsReachEveryLoop", Says: `OnDrain`},
	{Name: "no lock on the queue", Rule: "SendFromOtherLoops", Race: true, Says: `DATA RACE|torn|whole`},
	{Name: "wakes for each Send", Rule: "OneWakeUpForABatch", Says: `calls of write`},

	{Name: "only the first loop listens", Rule: "ReusePortUsesEveryLoop", Says: `4 listening sockets.*there are 1`},
	{Name: "SO_REUSEPORT always", Rule: "RoundRobinIsEven", Says: `an address that is taken`},

	{Name: "timeouts are early", Rule: "TimeoutFiresOnce", Says: `called .* early`},
	{Name: "a timeout does not take the other's place", Rule: "TimeoutFiresOnce", Says: `early|2 times|1 times`},
	{Name: "the earlier timeout wins", Rule: "TimeoutFiresOnce", Says: `400 ms in its place.*early`},
	{Name: "0 does not cancel", Rule: "TimeoutFiresOnce", Says: `and then 0\) to call OnTimeout 0 times`},
	{Name: "a timeout fires again and again", Rule: "TimeoutFiresOnce", Says: `\d+ times`},
	{Name: "who sleeps is not woken", Rule: "TimeoutFiresOnce", Says: `set when none was pending|OnTimeout after SetTimeout`},
	{Name: "a timer fires after close", Rule: "TimeoutEndsWithItsConnection", Says: `no OnTimeout after OnClose`},
	{Name: "timeouts are kept by descriptor", Rule: "TimeoutEndsWithItsConnection", Says: `that has never set one`},
	{Name: "a goroutine for each timeout", Rule: "TimeoutsCostNothing", Says: `pending ones have \d+`},
	{Name: "a time.AfterFunc for each timeout", Rule: "TimeoutsCostNothing", Says: `allocations for each`},
	{Name: "idle counts from the opening", Rule: "IdleClosesTheSilent", Says: `a connection that talks to stay open`},
	{Name: "what is sent counts as life", Rule: "IdleClosesTheSilent", Says: `silent connections to be closed`},
	{Name: "idle connections stay", Rule: "IdleClosesTheSilent", Says: `silent connections to be closed`},
	{Name: "idle is looked at once", Rule: "IdleClosesTheSilent", Says: `silent connections to be closed`},
	{Name: "idle begins anew in full", Rule: "IdleClosesTheSilent", Says: `as a newcomer of that moment`},
	{Name: "a timer holds its connection", Rule: "TimeoutEndsWithItsConnection", Says: `are still held`},
	{Name: "idle is early", Rule: "IdleClosesTheSilent", Says: `closed early`},
	{Name: "idle is no error", Rule: "IdleClosesTheSilent", Says: `an error for OnClose`},

	{Name: "gives up accepting at EMFILE", Rule: "OutlivesEMFILE", Says: `to have an echo or an end`},
	{Name: "trusts in its reserve", Rule: "OutlivesEMFILE", Says: `it spins`},
	{Name: "forgets whom it sends away", Rule: "OutlivesEMFILE", Says: `to have an echo or an end`},

	{Name: "the backlog is dropped", Rule: "BacklogIsServed", Says: `connected when Shutdown began`},
	{Name: "who rests drops the backlog", Rule: "BacklogIsServed", Says: `connected when Shutdown began|OnOpen and OnClose`},
	{Name: "loops drain before the acceptor has stopped", Rule: "BacklogIsServed", Says: `connected when Shutdown began|to end the connection`},
	{Name: "drain drops queued bytes", Rule: "QueuesAreSentSideBySide", Says: `Shutdown to wait|had queued to be sent`},
	{Name: "one loop after the other", Rule: "QueuesAreSentSideBySide", Says: `whatever the other loops still owe`},
	{Name: "Shutdown ignores its context", Rule: "ShutdownForcesAtItsDeadline", Says: `when its context has ended`},
	{Name: "hides that it used force", Rule: "ShutdownForcesAtItsDeadline", Says: `ctx's error`},

	{Name: "OwnTables is ignored", Rule: "TablesHoldMoreThanTheLimit", Says: `where a table holds 400`},
}
