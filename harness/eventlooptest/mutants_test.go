package eventlooptest

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

// There are two other styles: this one, and that of TestARuleNeedsNoLaterStep,
// in which Send writes at once.
func TestAcceptsAnotherStyle(t *testing.T) { suite.Accepts(t, newVariant(throughTheLoop)) }

func TestMutants(t *testing.T) {
	var all []spec.Mutant[New]
	for _, m := range mutants {
		if m.New == nil {
			m.New = newVariant(fault(m.Name))
		}
		all = append(all, m)
	}
	for _, m := range articleMutants {
		m.Article, m.New, m.Name = true, newArticle, "the article: "+m.Name
		all = append(all, m)
	}
	suite.Refuses(t, all)
}

// mutants are variants with the fault that is their name.
var mutants = []spec.Mutant[New]{
	{Name: "takes any options", Rule: "RefusesImpossibleOptions", Says: `returned nil`},
	{Name: "OnOpen is forgotten", Rule: "OpensEveryConnection", Says: `called for 0`},
	{Name: "spins on EMFILE", Rule: "OutlivesEMFILE", Says: `spins`},
	{Name: "gives up accepting at EMFILE", Rule: "OutlivesEMFILE", Says: `now that there are descriptors`},

	{Name: "one frame per read", Rule: "FramesArriveWhole", Says: `\d+ came, then no more`},
	{Name: "zero-length frames are skipped", Rule: "FramesArriveWhole", Says: `message 1 of`},
	{Name: "forgets a header split across reads", Rule: "FramesSplitAnywhere", Says: `came, then no more|message 1 of`},
	{Name: "keeps the rest by reference", Rule: "HalfFramesDoNotMix", Says: `message 1 of 1|came, then no more|1 messages`},
	{Name: "the limit is off by one", Rule: "OversizedFrameIsRefused", Says: `closed: true`},
	{Name: "accepts an oversized frame", Rule: "OversizedFrameIsRefused", Says: `announces a frame of 1001 bytes`},
	{Name: "reads an oversized frame first", Rule: "OversizedFrameIsRefused", Says: `announces a frame of 1001 bytes`},
	{Name: "an oversized frame is skipped", Rule: "OversizedFrameIsRefused", Says: `announces a frame of 1001 bytes`},
	{Name: "allocates what the header claims", Rule: "ClaimsCostNothing", Says: `heap grew by \d{3,} MiB`},
	{Name: "OnData's rest is thrown away", Rule: "OnDataKeepsTheRest", Says: `message 2 of 3`},
	{Name: "OnData is shown new bytes only", Rule: "OnDataKeepsTheRest", Says: `message 2 of 3`},
	{Name: "a length in pieces may be one more", Rule: "OversizedFrameIsRefused", Says: `announces a frame of 1001 bytes`},
	{Name: "OnData may leave one byte more", Rule: "OnDataKeepsTheRest", Says: `leaves more than MaxMessage`},
	{Name: "delivers on behind Close", Rule: "OnCloseTellsWhy", Says: `more frames came after`},
	{Name: "OnData without bound", Rule: "OnDataKeepsTheRest", Says: `leaves more than MaxMessage`},
	{Name: "a second goroutine calls back", Rule: "CallbacksTakeTurns", Says: `ran on another`},

	{Name: "reads once per event", Rule: "NothingIsLeftAtTheEdge", Says: `came, then no more`},
	{Name: "misses the last bytes: closes at RDHUP", Rule: "TheEndIsSeenBehindTheBytes", Says: `1 messages; 0 came; closed: true`},
	{Name: "takes a short read for the end", Rule: "TheEndIsSeenBehindTheBytes", Says: `OnClose for a connection that the peer has ended`},
	{Name: "starves the others", Rule: "FirehoseDoesNotStarve", Says: `B waited until A stopped`},

	{Name: "Write puts a length in front", Rule: "RepliesKeepTheirOrder", Says: `frame 2 of 3`},
	{Name: "an empty Send sends nothing", Rule: "RepliesKeepTheirOrder", Says: `frame 2 of 3 to be ""`},
	{Name: "Write keeps the caller's slice", Rule: "TheQueueIsNotOvertaken", Says: `older bytes first.*byte \d+ is`},
	{Name: "direct write overtakes the queue", Rule: "TheQueueIsNotOvertaken", Says: `older bytes first.*byte \d+ is`},
	{Name: "drops what the kernel did not take", Rule: "TheQueueIsNotOvertaken", Says: `older bytes first.*byte \d+`},
	{Name: "sends again from the start", Rule: "TheQueueIsNotOvertaken", Says: `older bytes first.*byte \d+ is|kernel was full`},
	{Name: "never asks for EPOLLOUT", Rule: "TheQueueIsNotOvertaken", Says: `older bytes first.*after \d+ bytes: .*timeout`},
	{Name: "MaxQueued counts no lengths", Rule: "SlowReaderIsBounded", Says: `with its length, is one byte more`},
	{Name: "MaxQueued and a byte", Rule: "SlowReaderIsBounded", Says: `one byte more`},
	{Name: "no bound on the queue", Rule: "SlowReaderIsBounded", Says: `25 MB, were taken`},
	{Name: "a refused Send leaves its length behind", Rule: "SlowReaderIsBounded", Says: `refused Send to queue nothing`},
	{Name: "reads on while the queue is full", Rule: "SlowReaderIsBounded", Says: `stop reading before the queue is full`},
	{Name: "never reads again after a full queue", Rule: "SlowReaderIsBounded", Says: `reading to go on`},
	{Name: "EPOLLOUT never disarmed", Rule: "SleepsWhenThereIsNothingToDo", Says: `sleeps when everything is sent; it spins`},

	{Name: "append reaches the next frame", Rule: "FramesArriveWhole", Says: `message 2 of 3|2 of 3|messages`},
	{Name: "Send takes the message's buffer", Rule: "RepliesKeepTheirOrder", Says: `stay as it is until OnMessage returns|answer to frame`},
	{Name: "a buffer goes back twice", Rule: "AbortSendsNothing", Says: `what was sent to it`},
	{Name: "closes when our kernel has everything", Rule: "CloseSendsWhatIsQueued", Says: `everything that was sent before Close`},
	{Name: "waits for the last byte for ever", Rule: "CloseSendsWhatIsQueued", Says: `does not take the last bytes`},
	{Name: "WriteNow asks for no end", Rule: "SendAfterTheEndSaysSo", Says: `WriteNow .* to return net.ErrClosed`},
	{Name: "WriteNow forgets where the kernel stopped", Rule: "WriteNowKeepsItsPlace", Says: `in the order of the calls`},
	{Name: "the backlog is dropped", Rule: "ShutdownOwesNothing", Says: `connected when Shutdown began`},
	{Name: "what was adopted before Run stays open", Rule: "NothingIsLeft", Says: `more are open than before`},
	{Name: "a panic in a posted function is nobody's", Rule: "PostRunsOnTheLoop", Says: `Run to return after a panic`},
	{Name: "WriteNow overtakes the queue", Rule: "WriteNowKeepsItsPlace", Says: `in the order of the calls`},
	{Name: "WriteNow drops what the kernel did not take", Rule: "WriteNowKeepsItsPlace", Says: `in the order of the calls`},
	{Name: "OnDrain is forgotten", Rule: "DrainIsTold", Says: `OnDrain`},
	{Name: "OnDrain comes when half is sent", Rule: "DrainIsTold", Says: `an empty queue in OnDrain`},
	{Name: "OnDrain comes while the queue is full", Rule: "DrainIsTold", Says: `an empty queue in OnDrain`},
	{Name: "the value stays with the descriptor", Rule: "ValuesStayWithTheirConnection", Says: `new connection to have no value`},
	{Name: "the value is gone at the end", Rule: "ValuesStayWithTheirConnection", Says: `in OnClose`},
	{Name: "ReusePort is ignored", Rule: "LoopsShareAnAddress", Says: `second loop`},
	{Name: "ReusePort always", Rule: "LoopsShareAnAddress", Says: `without ReusePort`},
	{Name: "closes an eventfd that was lent", Rule: "ALentEventfdIsTheLenders", Says: `still open`},

	{Name: "OnClose twice", Rule: "OnCloseTellsWhy", Says: `OnClose once for each OnOpen; 2 times`},
	{Name: "Close twice closes twice", Rule: "OnCloseTellsWhy", Says: `OnClose (once|to get)`},
	{Name: "OnClose is missing after Abort", Rule: "OnCloseTellsWhy", Says: `makes the handler call Abort`},
	{Name: "a reset is nobody's business", Rule: "OnCloseTellsWhy", Says: `has a client that resets`},
	{Name: "Abort loses the reason", Rule: "OnCloseTellsWhy", Says: `what Abort was given the first time.*nil`},
	{Name: "Close drops the queue", Rule: "CloseSendsWhatIsQueued", Says: `sent before Close.*after \d+ bytes`},
	{Name: "Close with unread input resets", Rule: "CloseSendsWhatIsQueued", Says: `reset`},
	{Name: "Abort sends the queue first", Rule: "AbortSendsNothing", Says: `aborted while its peer does not read`},
	{Name: "half-close discards queued replies", Rule: "HalfCloseGetsItsReplies", Says: `every reply to a client`},
	{Name: "Send after Close crashes", Rule: "SendAfterTheEndSaysSo", Says: `it panics: send on a closed`},
	{Name: "Send after Close says nil", Rule: "SendAfterTheEndSaysSo", Says: `net.ErrClosed; it returned: <nil>`},
	{Name: "a panic ends the process", Rule: "PanicClosesOneConnection", Says: `malformed message 4711`},
	{Name: "a panic is swallowed", Rule: "PanicClosesOneConnection", Says: `had a panic in OnMessage`},
	{Name: "a panic is not told", Rule: "PanicClosesOneConnection", Says: `it got: <nil>`},
	{Name: "a panic closes everybody", Rule: "PanicClosesOneConnection", Says: `the other connection to go on`},
	{Name: "a panic in OnClose ends the process", Rule: "PanicClosesOneConnection", Says: `malformed message 4711`},
	{Name: "handles a stale event after close", Rule: "StaleEventsTouchNoOne", Says: `left alone by what was meant for B`},
	{Name: "closes the descriptor twice", Rule: "DescriptorsAreClosedOnce", Says: `next owner of its number was closed`},
	{Name: "uses the descriptor after close", Rule: "DescriptorsAreClosedOnce", Says: `late word`},

	{Name: "data race in Send", Rule: "SendFromEverywhere", Race: true, Says: `DATA RACE|torn|claim a frame`},
	{Name: "the length goes out by itself", Rule: "SendFromEverywhere", Says: `torn|claim a frame|whole frames|after \d+ bytes|its order`},
	{Name: "an Abort after the end ends again", Rule: "EndingFromEverywhere", Says: `OnClose once`},
	{Name: "loses a wake-up", Rule: "NoWakeUpIsLost", Says: `while the loop was busy|round \d+`},
	{Name: "wakes for each Send", Rule: "OneWakeUpForABatch", Says: `calls of write`},
	{Name: "Post runs on the caller's goroutine", Rule: "PostRunsOnTheLoop", Says: `ran on another|DATA RACE`},
	{Name: "Post runs the last one first", Rule: "PostRunsOnTheLoop", Says: `ran out of order`},
	{Name: "leaves an adopted socket blocking", Rule: "AdoptOwnsTheDescriptor", Says: `echo|timeout|frame 1 of 1`},
	{Name: "leaks what it cannot adopt", Rule: "AdoptOwnsTheDescriptor", Says: `cannot be adopted to be closed`},

	{Name: "a timer fires early", Rule: "TimersAreNeverEarly", Says: `fired .* early`},
	{Name: "timers fire in the order they were made", Rule: "TimersAreNeverEarly", Says: `order of their times|all timers to fire`},
	{Name: "rounds its sleep down", Rule: "TimersAreNeverEarly", Says: `calls of epoll_wait`},
	{Name: "a timer does not wake an idle loop", Rule: "TimersAreNeverEarly", Says: `0 of 300|\d+ of 300`},
	{Name: "stop is ignored", Rule: "StopPreventsTheCall", Says: `whose stop had returned true`},
	{Name: "stop always says true", Rule: "StopPreventsTheCall", Says: `second stop returned true`},

	{Name: "Shutdown loses what is queued", Rule: "ShutdownOwesNothing", Says: `expected`},
	{Name: "Shutdown loses what has arrived", Rule: "ShutdownOwesNothing", Says: `what had arrived to be delivered`},
	{Name: "Shutdown does not wait", Rule: "ShutdownOwesNothing", Says: `it returned <nil> while`},
	{Name: "Shutdown ignores its context", Rule: "ShutdownForcesAtItsDeadline", Says: `when its context has ended`},
	{Name: "hides that it used force", Rule: "ShutdownForcesAtItsDeadline", Says: `ctx's error`},
	{Name: "leaves connections open by force", Rule: "ShutdownForcesAtItsDeadline", Says: `0 times`},
	{Name: "second Shutdown panics", Rule: "ShutdownIsRepeatable", Says: `panic`},
	{Name: "Shutdown before Run waits for ever", Rule: "ShutdownIsRepeatable", Says: `Shutdown before Run to return`},
	{Name: "Run returns an error after Shutdown", Rule: "ShutdownIsRepeatable", Says: `Run to return nil`},
	{Name: "Post after Shutdown says nil", Rule: "ShutdownIsRepeatable", Says: `Post to return net.ErrClosed`},
	{Name: "leaves the listener open", Rule: "ShutdownForcesAtItsDeadline", Says: `stop accepting`},
	{Name: "leaks the epoll descriptor", Rule: "NothingIsLeft", Says: `more are open than before`},
	{Name: "leaks when Listen fails", Rule: "NothingIsLeft", Says: `more are open than before`},
	{Name: "leaks the descriptor of a reset connection", Rule: "NothingIsLeft", Says: `more are open than before`},
	{Name: "leaves a goroutine", Rule: "NothingIsLeft", Says: `goroutine to end with its loop`},
	{Name: "descriptors without CLOEXEC", Rule: "ChildrenInheritNothing", Says: `eventpoll`},
	{Name: "a signal ends Run", Rule: "SignalsDoNotMatter", Says: `after a signal`},

	{Name: "allocates per message", Rule: "NoAllocationPerMessage", Says: `1\.\d+, over`},
	{Name: "keeps a read buffer per connection", Rule: "IdleConnectionsHoldNoBuffer", Says: `bytes`},
	{Name: "a burst leaves its memory behind", Rule: "IdleConnectionsHoldNoBuffer", Says: `bytes more than before`},
}

// articleMutants are the faults of the article's design, one row each.
var articleMutants = []spec.Mutant[New]{
	{Name: "a reply is lost on half-close", Rule: "HalfCloseGetsItsReplies", Says: `every reply to a client|OnMessage for`,
		Why: "A read of 0 closes the descriptor, and with it whatever Send had queued. A read of 0 ends one direction only: take no more, send what is queued, then close."},
	{Name: "one event closes twice", Rule: "DescriptorsAreClosedOnce", Says: `next owner of its number was closed`,
		Why: "An event is looked at for IN, and the read closes; then for ERR and HUP, and it is closed again: by now the number may be somebody else's. One function closes, once, and forgets the number."},
	{Name: "a stale event closes a stranger", Rule: "StaleEventsTouchNoOne", Says: `left alone by what was meant for B|OnClose once`,
		Why: "Connections are found by descriptor number, which accept gives out again within the same batch of events. A generation in the event data tells the new owner from the old."},
	{Name: "Send is not synchronised", Rule: "SendFromEverywhere", Race: true, Says: `DATA RACE|torn|claim a frame|after`,
		Why: "The map has a lock and the write buffer has none, so two appends overwrite each other. One lock per connection, held over a whole frame."},
	{Name: "nothing stops Run", Rule: "ShutdownIsRepeatable", Says: `Run to return|bad file descriptor`,
		Why: "Closing an epoll descriptor does not wake epoll_wait on it. An eventfd in the set does, and the loop that it wakes closes everything itself."},
	{Name: "the write buffer has no bound", Rule: "SlowReaderIsBounded", Says: `25 MB, were taken`,
		Why: "A peer that asks and does not read makes the server keep every answer. Refuse above a bound, and stop reading above half of it."},
	{Name: "the read buffer has no bound", Rule: "OversizedFrameIsRefused", Says: `announces a frame of`,
		Why: "Whatever length a peer announces is waited for and kept. Compare the length with a limit as soon as its 4 bytes are there."},
	{Name: "reads until EAGAIN", Rule: "FirehoseDoesNotStarve", Says: `B waited until A stopped`,
		Why: "A peer that refills its socket while it is read never gives EAGAIN, and nobody else gets a turn. Bound the reads of one turn, and go on in the next one."},
	{Name: "a handler's panic ends the process", Rule: "PanicClosesOneConnection", Says: `malformed message 4711`,
		Why: "One message that a handler did not expect takes every connection down. Recover around each callback, and close that connection with the panic as the reason."},
	{Name: "a burst leaves its capacity behind", Rule: "IdleConnectionsHoldNoBuffer", Says: `bytes`,
		Why: "A slice that is cut to its rest keeps its array, so an idle connection holds what its largest moment needed. Drop or recycle a buffer when it is empty."},
	{Name: "children inherit descriptors", Rule: "ChildrenInheritNothing", Says: `eventpoll|socket`,
		Why: "No descriptor has CLOEXEC, so a program that the server starts keeps port and connections open. Every call that makes a descriptor has a flag for it."},
	{Name: "every reply goes through EPOLLOUT", Rule: "RepliesNeedNoEpollCtl", Says: `\d+ calls for 2000 replies`,
		Why: "Arm, wait, write, wait, disarm: three system calls more for each reply. Write first; arm only when the kernel does not take everything."},
}
