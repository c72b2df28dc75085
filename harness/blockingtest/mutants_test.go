package blockingtest

import (
	"flag"
	"os"
	"testing"

	"github.com/asynclab/asynclab/harness/spec"
)

// TestMain lets more mutants run at a time than there are cores: most of them
// wait in vain.
func TestMain(m *testing.M) {
	flag.Parse()
	flag.Set("test.parallel", "8")
	os.Exit(m.Run())
}

func TestSuiteIsComplete(t *testing.T) { suite.Complete(t) }

func TestAcceptsAnotherStyle(t *testing.T) { suite.Accepts(t, newVariant("")) }

func TestAcceptsASmallBuffer(t *testing.T) { suite.Accepts(t, newVariant(small)) }

func TestMutants(t *testing.T) {
	var all []spec.Mutant[New]
	for _, m := range mutants {
		if m.New == nil {
			m.New = newVariant(fault(m.Name))
		}
		all = append(all, m)
	}
	suite.Refuses(t, all)
}

// mutants are variants with the fault that is their name, but for the article's
// design, which has its own code.
var mutants = []spec.Mutant[New]{
	{Name: "loses bytes above 1000", Rule: "EchoesEveryByte", Says: `byte \d+ of the answer|after \d+ bytes`},
	{Name: "waits for a whole buffer", Rule: "EchoesEveryByte", Says: `after 0 bytes`},
	{Name: "forgets to close at EOF", Rule: "EchoesEveryByte", Says: `end the connection`},
	{Name: "shares a buffer", Rule: "ConnectionsDoNotMix", Says: `byte 0 of the answer|DATA RACE`},
	{Name: "buffers without bound", Rule: "SlowReaderIsWaitedFor", Says: `took all 64 MiB`},
	{Name: "drops what comes with an error", Rule: "EchoesEveryByte", Says: `together with an error`},
	{Name: "drops what comes with a reset", Rule: "EchoesEveryByte", Says: `together with an error`},
	{Name: "takes any timeout", Rule: "OptionsAreChecked", Says: `IdleTimeout:-1s.*returned nil`},
	{Name: "ends the silent a second late", Rule: "IdleConnectionEnds", Says: `ended after 31s`},
	{Name: "ends the stalled a second late", Rule: "StalledPeerEnds", Says: `closed after 11s`},
	{Name: "pause begins at 10 ms", Rule: "AcceptErrorsPause", Says: `were \[10ms`},
	{Name: "pause grows to 2 s", Rule: "AcceptErrorsPause", Says: `1\.28s`},
	{Name: "pause grows by 5 ms", Rule: "AcceptErrorsPause", Says: `were \[5ms 10ms 15ms`},
	{Name: "a lasting error ends the connections", Rule: "LastingErrorEndsServe", Says: `to go on`},
	{Name: "second Shutdown does not wait", Rule: "ShutdownFinishesWhatIsInFlight", Says: `number \d returned <nil>`},
	{Name: "no read deadline", Rule: "IdleConnectionEnds", Says: `an hour later`},
	{Name: "read deadline set once", Rule: "IdleConnectionEnds", Says: `sends every 20 s`},
	{Name: "no write deadline", Rule: "StalledPeerEnds", Says: `still open`},
	{Name: "ignores a short write", Rule: "SteadySlowReaderStays", Says: `after \d+ bytes`},
	{Name: "sends again from the start", Rule: "SteadySlowReaderStays", Says: `after \d+ bytes: .*byte \d+`},
	{Name: "drops a slow reader", Rule: "SteadySlowReaderStays", Says: `after \d+ bytes: .*EOF`},
	{Name: "no cap", Rule: "CapHolds", Says: `after 0 left, 6 were let in`},
	{Name: "leaks the slot", Rule: "CapHolds", Says: `were let in|blocked`},
	{Name: "exits on a temporary accept error", Rule: "AcceptErrorsPause", Says: `it returned`},
	{Name: "gives up on an aborted client", Rule: "AcceptErrorsPause", Says: `it returned`},
	{Name: "spins on EMFILE", Rule: "AcceptErrorsPause", Says: `were \[0s|spins`},
	{Name: "pause does not grow", Rule: "AcceptErrorsPause", Says: `were \[5ms`},
	{Name: "pause never starts again", Rule: "AcceptErrorsPause", Says: `begin at 5 ms again`},
	{Name: "loses a slot on an accept error", Rule: "AcceptErrorsPause", Says: `blocked`},
	{Name: "swallows a lasting error", Rule: "LastingErrorEndsServe", Says: `has not returned`},
	{Name: "kills what is in flight", Rule: "ShutdownFinishesWhatIsInFlight", Says: `not written yet`},
	{Name: "waits for idle peers", Rule: "ShutdownEndsIdleConnections", Says: `at once|it returned`},
	{Name: "undoes the drain", Rule: "ShutdownFinishesWhatIsInFlight", Says: `it returned context deadline`},
	{Name: "gives up without closing", Rule: "ShutdownForcesAtItsDeadline", Says: `are open`},
	{Name: "hides that it used force", Rule: "ShutdownForcesAtItsDeadline", Says: `ctx's error`},
	{Name: "second Shutdown panics", Rule: "ShutdownIsRepeatable", Says: `panic`},
	{Name: "leaves the listener open", Rule: "ShutdownIsRepeatable", Says: `Shutdown to return`},
	{Name: "does not wait", Rule: "ShutdownFinishesWhatIsInFlight", Says: `not written yet`},
	{Name: "the article: a dead peer is kept", Article: true, New: newArticle, Rule: "IdleConnectionEnds", Says: `an hour later`,
		Why: "Nothing ends a Read when the peer has lost its power or its network: the goroutine, its buffer and its descriptor stay for ever. A read deadline, set again before each Read, ends it."},
	{Name: "the article: a stalled peer is kept", Article: true, New: newArticle, Rule: "StalledPeerEnds", Says: `still open`,
		Why: "Nothing ends a Write to a peer that does not read. A write deadline does."},
	{Name: "the article: everyone is let in", Article: true, New: newArticle, Rule: "CapHolds", Says: `6 were let in`,
		Why: "Every client costs a goroutine, so an unbounded number of clients is an unbounded amount of memory. A slot is taken before Accept and given back where the connection ends."},
	{Name: "the article: accept errors are tried again at once", Article: true, New: newArticle, Rule: "AcceptErrorsPause", Says: `were \[0s|spins`,
		Why: "With no descriptor left, Accept fails at once for as long as that lasts, and the loop burns a core. A pause that doubles costs nothing and lets the server go on."},
	{Name: "the article: nothing ends a connection", Article: true, New: newArticle, Rule: "ShutdownEndsIdleConnections", Says: `it returned`,
		Why: "The design has no end: the server does not know its connections, so it cannot close them. A set of open connections under a lock, and a read deadline in the past for each, ends them without cutting off an answer."},
	{Name: "leaks the goroutine", Rule: "NothingIsLeft", Says: `\d+ more than before`},
	{Name: "leaks the descriptor", Rule: "NothingIsLeft", Says: `still there`},
}
