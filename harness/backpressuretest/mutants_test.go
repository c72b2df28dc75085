package backpressuretest

import (
	"flag"
	"os"
	"testing"

	"github.com/asynclab/asynclab/harness/spec"
)

func TestMain(m *testing.M) {
	flag.Parse()
	flag.Set("test.parallel", "8") // most mutants wait in vain for something
	os.Exit(m.Run())
}

func TestSuiteIsComplete(t *testing.T) { suite.Complete(t) }

func TestAcceptsAnotherStyle(t *testing.T) { suite.Accepts(t, variantLab("")) }

func TestMutants(t *testing.T) {
	var all []spec.Mutant[lab]
	for _, m := range mutants {
		if m.New.New == nil {
			m.New = variantLab(fault(m.Name))
		}
		all = append(all, m)
	}
	suite.Refuses(t, all)
}

// mutants are variants with the fault that is their name, but for the article's
// design, which has its own code.
var mutants = []spec.Mutant[lab]{
	{Name: "the newest first", Rule: "ReceivesInOrder", Says: `.`},
	{Name: "priority does not matter", Rule: "HighestPriorityFirst", Says: `.`},
	{Name: "the lowest priority first", Rule: "HighestPriorityFirst", Says: `.`},
	{Name: "priorities are taken as they are", Rule: "HighestPriorityFirst", Says: `.`},
	{Name: "Peek takes it", Rule: "HighestPriorityFirst", Says: `.`},
	{Name: "Peek shows the oldest", Rule: "HighestPriorityFirst", Says: `.`},
	{Name: "checks nothing", Rule: "BadOptionsAreRefused", Says: `.`},
	{Name: "capacity 0 is 0", Rule: "BadOptionsAreRefused", Says: `.`},

	{Name: "one more fits", Rule: "BoundHolds", Says: `.`},
	{Name: "bytes are not counted", Rule: "BoundHolds", Says: `.`},
	{Name: "the last one may be too much", Rule: "BoundHolds", Says: `.`},
	{Name: "too large waits", Rule: "BoundHolds", Says: `.`},
	{Name: "a full queue says nothing", Rule: "RejectRefuses", Says: `.`},
	{Name: "drops by policy are refusals", Rule: "DropLowestFirst", Says: `.`},
	{Name: "equals may be dropped", Rule: "DropLowestFirst", Says: `.`},
	{Name: "the oldest of the lowest goes first", Rule: "DropLowestFirst", Says: `.`},
	{Name: "the highest of the lower goes", Rule: "DropLowestFirst", Says: `.`},
	{Name: "the oldest goes, whatever its priority", Rule: "DropOldestKeepsTheNews", Says: `.`},
	{Name: "the oldest of the lowest goes", Rule: "DropOldestKeepsTheNews", Says: `.`},
	{Name: "drops in vain", Rule: "NothingIsDroppedInVain", Says: `.`},
	{Name: "drops in silence", Rule: "DropsAreHandedOver", Says: `.`},
	{Name: "OnDrop runs later", Rule: "DropsAreHandedOver", Says: `.`},
	{Name: "Discard tells nobody", Rule: "DropsAreHandedOver", Says: `.`},
	{Name: "Discard keeps one level", Rule: "DropsAreHandedOver", Says: `.`},

	{Name: "a lock while it waits", Rule: "NoLockWhileWaiting", Says: `.`},
	{Name: "Block refuses", Rule: "SendWaitsForRoom", Says: `.`},
	{Name: "waits 5 s at most", Rule: "SendWaitsForRoom", Says: `.`},
	{Name: "one waiter at a time", Rule: "EveryWaiterThatFitsGoes", Says: `.`},
	{Name: "a receive wakes nobody", Rule: "EveryWaiterThatFitsGoes", Says: `.`},
	{Name: "a batch wakes nobody", Rule: "EveryWaiterThatFitsGoes", Says: `.`},
	{Name: "Discard wakes nobody", Rule: "EveryWaiterThatFitsGoes", Says: `.`},
	{Name: "first come, whatever the priority", Rule: "WaitersGoInOrder", Says: `.`},
	{Name: "the last one in the line goes first", Rule: "WaitersGoInOrder", Says: `.`},
	{Name: "whoever fits", Rule: "WaitersGoInOrder", Says: `.`},
	{Name: "passes those who wait", Rule: "WaitersGoInOrder", Says: `.`},
	{Name: "a higher priority may not pass", Rule: "WaitersGoInOrder", Says: `.`},
	{Name: "ctx cannot end a wait", Rule: "CancelEndsTheWait", Says: `.`},
	{Name: "who gives up tells nobody", Rule: "CancelEndsTheWait", Says: `.`},
	{Name: "ctx counts at once", Rule: "CancelEndsTheWait", Says: `.`},

	{Name: "nobody wakes a receiver", Rule: "ReceiveWaits", Says: `.`},
	{Name: "the last receiver first", Rule: "ReceiveWaits", Says: `.`},
	{Name: "a canceled receive loses its message", Rule: "CanceledReceiveLosesNothing", Says: `.`},
	{Name: "leaves the line in thought only", Rule: "CanceledReceiveLosesNothing", Says: `.`},
	{Name: "a batch waits to be full", Rule: "BatchTakesWhatIsThere", Says: `.`},

	{Name: "a signal for each message", Rule: "SlowDownOnce", Says: `.`},
	{Name: "slow when full", Rule: "SlowDownOnce", Says: `.`},
	{Name: "slow at 80", Rule: "SlowDownOnce", Says: `.`},
	{Name: "above the mark, not at", Rule: "SlowDownOnce", Says: `.`},
	{Name: "bytes have no marks", Rule: "SlowDownOnce", Says: `.`},
	{Name: "never resumes", Rule: "ResumeAtHalf", Says: `.`},
	{Name: "resumes when empty", Rule: "ResumeAtHalf", Says: `.`},
	{Name: "resumes just below the mark", Rule: "ResumeAtHalf", Says: `.`},
	{Name: "one measure is enough to resume", Rule: "ResumeAtHalf", Says: `.`},
	{Name: "looks at the level between", Rule: "ResumeAtHalf", Says: `.`},
	{Name: "never sheds", Rule: "LowIsShed", Says: `.`},
	{Name: "sheds at 90", Rule: "LowIsShed", Says: `.`},
	{Name: "shed above 95, not at", Rule: "LowIsShed", Says: `.`},
	{Name: "sheds when full only", Rule: "LowIsShed", Says: `.`},
	{Name: "sheds Normal, too", Rule: "LowIsShed", Says: `.`},
	{Name: "calls back under the lock", Rule: "SignalsKeepTheirOrder", Says: `.`},
	{Name: "a signal raised meanwhile is lost", Rule: "SignalsKeepTheirOrder", Says: `.`},
	{Name: "tells without an order", Rule: "SignalsKeepTheirOrder", Says: `.`},

	{Name: "giving up is not counted", Rule: "CountsAreConserved", Says: `.`},
	{Name: "what is shed counts as rejected", Rule: "CountsAreConserved", Says: `.`},
	{Name: "evicted counts as rejected", Rule: "CountsAreConserved", Says: `.`},
	{Name: "an eviction is not counted", Rule: "CountsAreConserved", Says: `.`},
	{Name: "a waiting message is counted at once", Rule: "CountsAreConserved", Says: `.`},
	{Name: "those who wait are not told", Rule: "CountsAreConserved", Says: `.`},
	{Name: "gives up although it was served", Rule: "CountsAreConserved", Says: `.`},

	{Name: "Close loses the queue", Rule: "CloseLetsReceiversDrain", Says: `.`},
	{Name: "Close forgets the queue", Rule: "CloseLetsReceiversDrain", Says: `.`},
	{Name: "accepts after Close", Rule: "CloseLetsReceiversDrain", Says: `.`},
	{Name: "the second Close panics", Rule: "CloseLetsReceiversDrain", Says: `.`},
	{Name: "Close leaves the senders", Rule: "CloseReleasesWaiters", Says: `.`},
	{Name: "Close leaves the receivers", Rule: "CloseReleasesWaiters", Says: `.`},

	{Name: "credit is spent twice", Rule: "CreditIsSpentOnce", Says: `.`},
	{Name: "takes what is there", Rule: "CreditIsSpentOnce", Says: `.`},
	{Name: "giving up costs credit", Rule: "CreditIsSpentOnce", Says: `.`},
	{Name: "credit checks nothing", Rule: "CreditIsSpentOnce", Says: `.`},
	{Name: "a small acquire passes a large one", Rule: "CreditIsFair", Says: `.`},
	{Name: "TryAcquire passes who waits", Rule: "CreditIsFair", Says: `.`},
	{Name: "a grant wakes one", Rule: "CreditIsFair", Says: `.`},
	{Name: "who gives up credit tells nobody", Rule: "CreditIsFair", Says: `.`},
	{Name: "credit cannot be given up", Rule: "CreditIsFair", Says: `.`},
	{Name: "Close leaves who wants credit", Rule: "CreditIsFair", Says: `.`},
	{Name: "an overflow is cut off", Rule: "OverflowIsRefused", Says: `.`},
	{Name: "an overflow is added all the same", Rule: "OverflowIsRefused", Says: `.`},
	{Name: "credit wraps around", Rule: "OverflowIsRefused", Says: `.`},

	{Name: "grants the limit each time", Rule: "QueueStaysInTheWindow", Says: `.`},
	{Name: "grants and forgets", Rule: "QueueStaysInTheWindow", Says: `.`},
	{Name: "never grants again", Rule: "QueueStaysInTheWindow", Says: `.`},
	{Name: "grants each message", Rule: "GrantsAreSavedUp", Says: `.`},
	{Name: "grants when all is consumed", Rule: "GrantsAreSavedUp", Says: `.`},
	{Name: "grants half, rounded down", Rule: "GrantsAreSavedUp", Says: `.`},
	{Name: "grants above half", Rule: "GrantsAreSavedUp", Says: `.`},
	{Name: "grants one half only", Rule: "GrantsAreSavedUp", Says: `.`},
	{Name: "an overrun is not seen", Rule: "OverrunIsRefused", Says: `.`},
	{Name: "an overrun is kept", Rule: "OverrunIsRefused", Says: `.`},
	{Name: "consumes what is not there", Rule: "OverrunIsRefused", Says: `.`},
	{Name: "a window checks nothing", Rule: "OverrunIsRefused", Says: `.`},

	{Name: "the article: the branch for low priority is unreachable", Article: true, New: articleLab, Rule: "LowIsShed", Says: `.`,
		Why: "The test for 95% stands behind the one for 90%, which returns, so low priority is let in until the channel is full and then waits like all. What is refused first must be asked first."},
	{Name: "the article: waits with its lock held", Article: true, New: articleLab, Rule: "NoLockWhileWaiting", Says: `.`,
		Why: "Send holds the lock for up to five seconds while it waits, so the next Send, and the Receive that would make room, wait for the lock. A waiter stands in a line and holds nothing."},
	{Name: "the article: a wait of five seconds that nothing ends", Article: true, New: articleLab, Rule: "CancelEndsTheWait", Says: `.`,
		Why: "There is no context: whoever has to wait waits, although its client has long gone. A select on the line and on the context ends the wait, and under the lock it is certain which came first."},
	{Name: "the article: priority is only for shedding", Article: true, New: articleLab, Rule: "HighestPriorityFirst", Says: `.`,
		Why: "One Go channel holds all, so an important message waits behind every unimportant one. A queue for each priority lets it pass."},
	{Name: "the article: capacity 0", Article: true, New: articleLab, Rule: "BadOptionsAreRefused", Says: `.`,
		Why: "Usage is 0 divided by 0, no comparison with that is true, and the channel is full before the first message. New gives 0 a meaning, and refuses what has none."},
	{Name: "the article: there is no end", Article: true, New: articleLab, Rule: "CloseReleasesWaiters", Says: `.`,
		Why: "Nothing can close it, so a receiver waits for ever, and a server that stops keeps its goroutines. Close sends everybody in every line home."},
}
