package epolltest

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
	flag.Set("test.parallel", "10")
	os.Exit(m.Run())
}

func TestSuiteIsComplete(t *testing.T) { suite.Complete(t) }

func TestAcceptsAnotherStyle(t *testing.T) { suite.Accepts(t, newVariant("")) }

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
	{Name: "returns the port it was asked for", Rule: "ListenGivesAnAddress", Says: `it returned "127.0.0.1:0"`},
	{Name: "shares its address", Rule: "ListenGivesAnAddress", Says: `it returned nil`},
	{Name: "hides why it cannot listen", Rule: "ListenGivesAnAddress", Says: `listen failed`},
	{Name: "takes any MaxUnsent", Rule: "OptionsAreChecked", Says: `it returned a server`},
	{Name: "no CLOEXEC", Rule: "DescriptorsStayHere", Says: `eventpoll.*inherited`},
	{Name: "sockets that block", Rule: "DescriptorsStayHere", Says: `may block`},
	{Name: "loses bytes above 1000", Rule: "EchoesEveryByte", Says: `byte 1000 of the answer|after \d+ bytes`},
	{Name: "does not end at the end of file", Rule: "EchoesEveryByte", Says: `end the connection in order`},
	{Name: "a goroutine per connection", Rule: "OneGoroutineServesAll", Says: `1000 connections brought 1000 goroutines`},
	{Name: "EINTR ends Run", Rule: "InterruptionsAreNotErrors", Says: `interrupted system call`},
	{Name: "ranges over -1 events", Rule: "InterruptionsAreNotErrors", Says: `panic: .*slice bounds`},
	{Name: "EAGAIN is an error", Rule: "SlowReaderGetsEverything", Says: `cut the connection off|ended the connection`},
	{Name: "drops what the kernel does not take", Rule: "SlowReaderGetsEverything", Says: `byte \d+ of the answer|after \d+ bytes`},
	{Name: "ignores a short write", Rule: "SlowReaderGetsEverything", Says: `byte \d+ of the answer`},
	{Name: "starts again after a short write", Rule: "SlowReaderGetsEverything", Says: `byte \d+ of the answer`},
	{Name: "a late reply overtakes", Rule: "SlowReaderGetsEverything", Says: `byte \d+ of the answer`},
	{Name: "EPOLLOUT is never armed", Rule: "SlowReaderGetsEverything", Says: `after \d+ bytes: nothing more came`},
	{Name: "keeps a slice of the read buffer", Rule: "ConnectionsDoNotMix", Says: `byte \d+ of the answer`},
	{Name: "waits until the peer reads", Rule: "SlowReaderBlocksNobody", Says: `after \d+ bytes: nothing more came`},
	{Name: "drops what is owed at the end of file", Rule: "HalfCloseGetsItsAnswer", Says: `after \d+ bytes: the server (ended|cut)`},
	{Name: "no bound", Rule: "UnsentIsBounded", Says: `took all 64 MiB`},
	{Name: "reads whole buffers up to the bound", Rule: "UnsentIsBounded", Says: `at most MaxUnsent, \d+ bytes; it holds \d+`},
	{Name: "never reads again", Rule: "ReadingResumes", Says: `nothing more came|had not happened`},
	{Name: "reads again at once", Rule: "ReadingResumes", Says: `it resumed with`},
	{Name: "reads again when all is sent", Rule: "ReadingResumes", Says: `reading to resume when half.*had not happened`},
	{Name: "never waits", Rule: "IdleLoopSleeps", Says: `are idle.* and it runs`},
	{Name: "EPOLLOUT is always armed", Rule: "IdleLoopSleeps", Says: `are idle.* and it runs`},
	{Name: "EPOLLIN stays armed at the bound", Rule: "StalledPeersCostNothing", Says: `a peer that is owed bytes reads nothing, and it runs`},
	{Name: "EPOLLIN stays armed after the end of file", Rule: "StalledPeersCostNothing", Says: `ended its sending side .* and it runs`},
	{Name: "EPOLLRDHUP stays armed", Rule: "StalledPeersCostNothing", Says: `ended its sending side .* and it runs`},
	{Name: "EPOLLOUT is never disarmed", Rule: "IdleLoopSleeps", Says: `idle again, and it runs`},
	{Name: "reads until EAGAIN", Rule: "FirehoseDoesNotStarve", Says: `MiB of the firehose went by`},
	{Name: "a reset ends Run", Rule: "ResetIsOnePeersAffair", Says: `Run to go on.*connection reset`},
	{Name: "learns of a reset from read only", Rule: "ResetIsOnePeersAffair", Says: `more are open`},
	{Name: "leaks a reset connection", Rule: "EveryEndingFreesItsDescriptor", Says: `more are open`},
	// Whom a second close hits is chance: mostly the canary, rarely the server itself, which then hangs.
	{Name: "closes twice", Rule: "DescriptorsAreClosedOnce", Says: `belonged to somebody else|it hangs`},
	{Name: "closes twice, later", Rule: "DescriptorsAreClosedOnce", Says: `belonged to somebody else|it hangs`},
	{Name: "spins at EMFILE", Rule: "AcceptPausesWithoutDescriptors", Says: `waits in the backlog, and it runs`},
	{Name: "EMFILE ends Run", Rule: "AcceptPausesWithoutDescriptors", Says: `Run to go on.*too many open files`},
	{Name: "never accepts again after EMFILE", Rule: "AcceptPausesWithoutDescriptors", Says: `had not happened`},
	{Name: "waits for a descriptor in the loop", Rule: "AcceptPausesWithoutDescriptors", Says: `nothing more came`},
	{Name: "Shutdown drops what is owed", Rule: "ShutdownWritesWhatIsOwed", Says: `it returned <nil> while|after \d+ bytes`},
	{Name: "Shutdown leaves what has arrived", Rule: "ShutdownWritesWhatIsOwed", Says: `after \d+ bytes`},
	{Name: "Shutdown does not wait", Rule: "ShutdownWritesWhatIsOwed", Says: `it returned <nil> while`},
	{Name: "Shutdown waits for silent peers", Rule: "ShutdownEndsIdleConnections", Says: `Shutdown to return`},
	{Name: "Shutdown waits for the end of file", Rule: "ShutdownEndsIdleConnections", Says: `Shutdown to return`},
	{Name: "ignores the context", Rule: "ShutdownForcesAtItsDeadline", Says: `Shutdown to return when its context ends`},
	{Name: "hides that it used force", Rule: "ShutdownForcesAtItsDeadline", Says: `ctx's error; it returned <nil>`},
	{Name: "force leaves connections open", Rule: "ShutdownForcesAtItsDeadline", Says: `more are open`},
	{Name: "a second Shutdown panics", Rule: "ShutdownIsRepeatable", Says: `panic`},
	{Name: "forgets a Shutdown before Run", Rule: "ShutdownIsRepeatable", Says: `Run to return`},
	{Name: "no SO_REUSEADDR", Rule: "RestartFindsItsAddress", Says: `address already in use`},
	{Name: "leaves the listener open", Rule: "NothingIsLeft", Says: `more are open`},
	{Name: "leaves epoll open", Rule: "NothingIsLeft", Says: `1 more are open`},
	{Name: "a Shutdown without Run frees nothing", Rule: "NothingIsLeft", Says: `no Run`},
	{Name: "keeps the memory of a burst", Rule: "BurstLeavesNoMemory", Says: `still held`},
	{Name: "the article: half-close loses the answer", Article: true, New: newArticle, Rule: "HalfCloseGetsItsAnswer", Says: `after \d+ bytes: the server (ended|cut)`,
		Why: "A read of 0 bytes closes the connection at once, and what waits in its write buffer goes with it. The end of what a peer sends is not the end of what it is owed: note it, flush, then close."},
	{Name: "the article: closed twice in one event", Article: true, New: newArticle, Rule: "DescriptorsAreClosedOnce", Says: `belonged to somebody else|it hangs`,
		Why: "One event can carry EPOLLIN, EPOLLERR and EPOLLHUP together: the read fails and closes, then the branch for errors closes again, when the number may be a stranger's. A connection that has been closed ends its event."},
	{Name: "the article: the write buffer has no bound", Article: true, New: newArticle, Rule: "UnsentIsBounded", Says: `took all 64 MiB|it holds \d{8}`,
		Why: "Send appends whatever the peer takes, so one peer that sends and does not read fills the memory. At a bound the connection is no longer read, and TCP stops the sender."},
	{Name: "the article: a burst leaves its capacity behind", Article: true, New: newArticle, Rule: "BurstLeavesNoMemory", Says: `still held`,
		Why: "The write buffer is emptied and its capacity stays, so every connection ends up with the memory of its worst moment. Let go of the buffer when it is empty."},
	{Name: "the article: a firehose starves its neighbour", Article: true, Alone: true, New: newArticle, Rule: "FirehoseDoesNotStarve", Says: `MiB of the firehose went by`,
		Why: "Edge-triggered, it must read until EAGAIN, and a peer that never stops sending never lets it get there. Take a bounded bite each turn; level-triggered epoll tells again of the rest."},
	{Name: "the article: descriptors are inherited", Article: true, New: newArticle, Rule: "DescriptorsStayHere", Says: `inherited`,
		Why: "Nothing sets CLOEXEC, so every child process keeps copies of the epoll and of all sockets, and a connection closed here stays open there. Each call that makes a descriptor takes the flag."},
	{Name: "the article: nothing ends Run", Article: true, New: newArticle, Rule: "ShutdownEndsIdleConnections", Says: `Shutdown to return|bad file descriptor`,
		Why: "Run waits in epoll_wait, and closing the epoll descriptor does not wake it. An eventfd in the same epoll does, and then the loop itself closes what is its own."},
	{Name: "the article: no address after a restart", Article: true, New: newArticle, Rule: "RestartFindsItsAddress", Says: `Shutdown to return|bad file descriptor|address already in use`,
		Why: "SO_REUSEADDR is missing, so connections in TIME_WAIT keep the port for a minute. Set it before bind."},
	{Name: "leaves a goroutine", Rule: "NothingIsLeft", Says: `goroutine`},
}
