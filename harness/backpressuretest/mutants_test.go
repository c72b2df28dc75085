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
	{Name: "the newest first", Rule: "ReceivesInOrder", Says: `TryReceive to give message \d+`},
	{Name: "a slot is not cleared", Rule: "ReceivesInOrder", Says: `what was received to be garbage`},
	{Name: "priority does not matter", Rule: "HighestPriorityFirst", Says: `TryReceive to give message \d+`},
	{Name: "the lowest priority first", Rule: "HighestPriorityFirst", Says: `TryReceive to give message \d+`},
	{Name: "an unknown priority is Normal", Rule: "HighestPriorityFirst", Says: `TryReceive to give message \d+`},
	{Name: "Peek takes it", Rule: "HighestPriorityFirst", Says: `Peek to show message \d+ \(\d+: none\)`},
	{Name: "Peek shows the oldest", Rule: "HighestPriorityFirst", Says: `Peek to show message \d+ \(\d+: none\)`},
	{Name: "checks nothing", Rule: "BadOptionsAreRefused", Says: `New to refuse`},
	{Name: "capacity 0 is 0", Rule: "BadOptionsAreRefused", Says: `TrySend of message \d+ to return nil`},

	{Name: "one more fits", Rule: "BoundHolds", Says: `at most \d+ messages and \d+ bytes, in Stats as in Len`},
	{Name: "bytes are not counted", Rule: "BoundHolds", Says: `at most \d+ messages and \d+ bytes, in Stats as in Len`},
	{Name: "the last one may be too much", Rule: "BoundHolds", Says: `at most \d+ messages and \d+ bytes, in Stats as in Len`},
	{Name: "bytes overflow", Rule: "BoundHolds", Says: `TrySend of Normal message \d+ of \d+ bytes to return ErrFull`},
	{Name: "Size is asked under the lock", Rule: "BoundHolds", Says: `TrySend to return, while Size calls the channel`},
	{Name: "Size is asked twice", Rule: "BoundHolds", Says: `Size to be called once for each Send`},
	{Name: "a size may be negative", Rule: "BoundHolds", Says: `\d+ bytes to be queued`},
	{Name: "too large waits", Rule: "RejectRefuses", Says: `TrySend of High message \d+ of \d+ bytes to return ErrTooLarge`},
	{Name: "a full queue says nothing", Rule: "RejectRefuses", Says: `TrySend of High message \d+ of \d+ bytes to return ErrFull`},
	{Name: "drops by policy are refusals", Rule: "DropLowestFirst", Says: `TrySend of Normal message \d+ to return nil`},
	{Name: "equals may be dropped", Rule: "DropLowestFirst", Says: `TrySend of Normal message \d+ to return ErrFull`},
	{Name: "the oldest of the lowest goes first", Rule: "DropLowestFirst", Says: `OnDrop to get the messages \[\d+\]`},
	{Name: "the highest of the lower goes", Rule: "DropLowestFirst", Says: `OnDrop to get the messages \[\d+\]`},
	{Name: "what is pushed out stays in its slot", Rule: "DropLowestFirst", Says: `what was pushed out to be garbage`},
	{Name: "the oldest goes, whatever its priority", Rule: "DropOldestKeepsTheNews", Says: `OnDrop to get the messages \[\d+\]`},
	{Name: "the oldest of the lowest goes", Rule: "DropOldestKeepsTheNews", Says: `OnDrop to get the messages \[\d+\]`},
	{Name: "drops in vain", Rule: "NothingIsDroppedInVain", Says: `OnDrop to get the messages \[\]`},
	{Name: "drops in silence", Rule: "DropsAreHandedOver", Says: `OnDrop to have got \d+ and \d+ when TrySend returns`},
	{Name: "OnDrop runs later", Rule: "DropsAreHandedOver", Says: `OnDrop to have got \d+ and \d+ when TrySend returns`},
	{Name: "Discard tells nobody", Rule: "DropsAreHandedOver", Says: `\d+ messages to be handed to OnDrop, and an empty queue`},
	{Name: "Discard keeps one level", Rule: "DropsAreHandedOver", Says: `Discard to return \d+`},
	{Name: "Discard keeps its memory", Rule: "DropsAreHandedOver", Says: `Discard to give the queue's memory back`},

	{Name: "a lock while it waits", Rule: "NoLockWhileWaiting", Says: `Stats to return while Sends wait: is a lock held\?`},
	{Name: "Block refuses", Rule: "SendWaitsForRoom", Says: `Send Normal message \d+ to wait`},
	{Name: "waits 5 s at most", Rule: "SendWaitsForRoom", Says: `Send Normal message \d+ to wait`},
	{Name: "Send waits under every policy", Rule: "SendWaitsForRoom", Says: `Send Normal message \d+ to have returned ErrFull`},
	{Name: "one waiter at a time", Rule: "EveryWaiterThatFitsGoes", Says: `Send Normal message \d+ of \d+ bytes to have returned nil`},
	{Name: "a receive wakes nobody", Rule: "EveryWaiterThatFitsGoes", Says: `Send Normal message \d+ of \d+ bytes to have returned nil|to give`},
	{Name: "a batch wakes nobody", Rule: "BatchTakesWhatIsThere", Says: `Send Normal message \d+ to have returned nil`},
	{Name: "Discard wakes nobody", Rule: "EveryWaiterThatFitsGoes", Says: `Send Normal message \d+ of \d+ bytes to have returned nil`},
	{Name: "first come, whatever the priority", Rule: "WaitersGoInOrder", Says: `Send High message \d+ to have returned nil`},
	{Name: "the last one in the line goes first", Rule: "WaitersGoInOrder", Says: `Send High message \d+ to have returned nil`},
	{Name: "whoever fits", Rule: "WaitersGoInOrder", Says: `Send Normal message \d+ of \d+ bytes to wait`},
	{Name: "passes those who wait", Rule: "WaitersGoInOrder", Says: `Send Normal message \d+ of \d+ bytes to wait`},
	{Name: "passes a higher one that waits", Rule: "WaitersGoInOrder", Says: `Send Normal message \d+ of \d+ bytes to wait`},
	{Name: "a lower one passes who does not fit", Rule: "WaitersGoInOrder", Says: `Send (Normal|Low) message \d+ of \d+ bytes to wait`},
	{Name: "a higher priority may not pass", Rule: "WaitersGoInOrder", Says: `TrySend of High message \d+ of \d+ bytes to return nil`},
	{Name: "ctx cannot end a wait", Rule: "CancelEndsTheWait", Says: `Send of message \d+, \d+ bytes, with a context of \d+ s to have r`},
	{Name: "who gives up tells nobody", Rule: "CancelEndsTheWait", Says: `Send Normal message \d+ of \d+ bytes to have returned nil`},
	{Name: "ctx counts at once", Rule: "CancelEndsTheWait", Says: `Send to return nil: there is room`},

	{Name: "nobody wakes a receiver", Rule: "ReceiveWaits", Says: `Receive A to have returned nil`},
	{Name: "the last receiver first", Rule: "ReceiveWaits", Says: `Receive A to have returned nil`},
	{Name: "Receive wakes nobody", Rule: "ReceivesLetSendersIn", Says: `Send Normal message \d+ of \d+ bytes to have returned nil`},
	{Name: "a canceled receive loses its message", Rule: "CanceledReceiveLosesNothing", Says: `the message to be received, or to be in the queue when Recei`},
	{Name: "leaves the line in thought only", Rule: "CanceledReceiveLosesNothing", Says: `the message to be received, or to be in the queue when Recei`},
	{Name: "a batch waits to be full", Rule: "BatchTakesWhatIsThere", Says: `ReceiveBatch to have returned nil`},

	{Name: "a signal for each message", Rule: "SlowDownOnce", Says: `OnSignal to get: nothing`},
	{Name: "slow when full", Rule: "SlowDownOnce", Says: `OnSignal to get: SLOW_DOWN`},
	{Name: "slow at 80", Rule: "SlowDownOnce", Says: `OnSignal to get: nothing`},
	{Name: "above the mark, not at", Rule: "SlowDownOnce", Says: `OnSignal to get: SLOW_DOWN`},
	{Name: "bytes have no marks", Rule: "SlowDownOnce", Says: `OnSignal to get: SLOW_DOWN`},
	{Name: "marks overflow", Rule: "SlowDownOnce", Says: `OnSignal to get: (nothing|SLOW_DOWN)`},
	{Name: "who gives up raises no signal", Rule: "SlowDownOnce", Says: `OnSignal to get: SLOW_DOWN`},
	{Name: "never resumes", Rule: "ResumeAtHalf", Says: `OnSignal to get: RESUME`},
	{Name: "resumes when empty", Rule: "ResumeAtHalf", Says: `OnSignal to get: RESUME`},
	{Name: "resumes just below the mark", Rule: "ResumeAtHalf", Says: `OnSignal to get: nothing`},
	{Name: "one measure is enough to resume", Rule: "ResumeAtHalf", Says: `OnSignal to get: nothing`},
	{Name: "looks at the level between", Rule: "ResumeAtHalf", Says: `OnSignal to get: nothing`},
	{Name: "Discard looks at the level between", Rule: "ResumeAtHalf", Says: `OnSignal to get: nothing`},
	{Name: "an eviction looks at the level between", Rule: "ResumeAtHalf", Says: `OnSignal to get: nothing`},
	{Name: "never sheds", Rule: "LowIsShed", Says: `TrySend of Low message \d+ to return ErrShed`},
	{Name: "sheds at 90", Rule: "LowIsShed", Says: `TrySend of Low message \d+ to return nil`},
	{Name: "shed above 95, not at", Rule: "LowIsShed", Says: `TrySend of Low message \d+ to return ErrShed`},
	{Name: "sheds when full only", Rule: "LowIsShed", Says: `TrySend of Low message \d+ to return ErrShed`},
	{Name: "sheds Normal, too", Rule: "LowIsShed", Says: `TrySend of Normal message \d+ to return nil`},
	{Name: "95 is rounded down", Rule: "LowIsShed", Says: `TrySend of Low message \d+ to return nil`},
	{Name: "who waits is shed", Rule: "LowIsShed", Says: `Send Low message \d+ of \d+ bytes to have returned nil`},
	{Name: "calls back under the lock", Rule: "SignalsKeepTheirOrder", Says: `TrySend to return, while OnSignal calls the channel: is a lo`},
	{Name: "a signal raised meanwhile is lost", Rule: "SignalsKeepTheirOrder", Says: `SLOW_DOWN, then RESUME`},
	{Name: "tells without an order", Rule: "SignalsKeepTheirOrder", Says: `one call of OnSignal at a time, on whichever goroutine`},
	{Name: "Slow is what was told", Rule: "SignalsKeepTheirOrder", Says: `Slow to return false`},

	{Name: "giving up is not counted", Rule: "CountsAreConserved", Says: `Stats to be \{Queued:\d+ Bytes:\d+ Senders:\d+ Receivers:\d+ Sent:\d+ R`},
	{Name: "what is shed counts as rejected", Rule: "CountsAreConserved", Says: `Stats to be \{Queued:\d+ Bytes:\d+ Senders:\d+ Receivers:\d+ Sent:\d+ `},
	{Name: "evicted counts as rejected", Rule: "CountsAreConserved", Says: `Stats to be \{Queued:\d+ Bytes:\d+ Senders:\d+ Receivers:\d+ Sent:\d+ `},
	{Name: "an eviction is not counted", Rule: "CountsAreConserved", Says: `Stats to be \{Queued:\d+ Bytes:\d+ Senders:\d+ Receivers:\d+ Sent:\d+ `},
	{Name: "a waiting message is counted at once", Rule: "CountsAreConserved", Says: `Stats to be \{Queued:\d+ Bytes:\d+ Senders:\d+ Receivers:\d+ Sent:\d+ R`},
	{Name: "those who wait are not told", Rule: "CountsAreConserved", Says: `Stats to be \{Queued:\d+ Bytes:\d+ Senders:\d+ Receivers:\d+ Sent:\d+ R`},
	{Name: "gives up although it was served", Rule: "CancelEndsTheWait", Says: `a message to be queued if Send has returned nil, and only then`},

	{Name: "Close loses the queue", Rule: "CloseLetsReceiversDrain", Says: `TryReceive to give message \d+`},
	{Name: "Close forgets the queue", Rule: "CloseLetsReceiversDrain", Says: `Receive to give message \d+: it was accepted before Close`},
	{Name: "accepts after Close", Rule: "CloseLetsReceiversDrain", Says: `TrySend of High message \d+ to return ErrClosed`},
	{Name: "the second Close panics", Rule: "CloseLetsReceiversDrain", Says: `no panic`},
	{Name: "an empty batch has an end", Rule: "CloseLetsReceiversDrain", Says: `ReceiveBatch with an empty dst`},
	{Name: "Discard only while open", Rule: "CloseLetsReceiversDrain", Says: `Discard to drop the \d+ messages`},
	{Name: "Close leaves the senders", Rule: "CloseReleasesWaiters", Says: `Send Normal message \d+ to have returned ErrClosed`},
	{Name: "Close leaves the receivers", Rule: "CloseReleasesWaiters", Says: `Receive A to have returned ErrClosed`},
	{Name: "Close leaves those who are Low", Rule: "CloseReleasesWaiters", Says: `Send Low message \d+ of \d+ bytes to have returned ErrClosed`},
	{Name: "what Close refuses is counted", Rule: "CloseReleasesWaiters", Says: `Stats to be \{Queued:\d+ Bytes`},
	{Name: "who is sent home is counted", Rule: "CloseReleasesWaiters", Says: `Stats to be \{Queued:\d+ Bytes`},
	{Name: "sent home, it says nil", Rule: "CloseReleasesWaiters", Says: `Send to return an error`},

	{Name: "credit is spent twice", Rule: "CreditIsSpentOnce", Says: `TryAcquire\(\d+\) to return false`},
	{Name: "takes what is there", Rule: "CreditIsSpentOnce", Says: `TryAcquire\(\d+\) to return false`},
	{Name: "giving up costs credit", Rule: "CreditIsFair", Says: `Acquire\(\d+\) to have returned nil`},
	{Name: "credit checks nothing", Rule: "CreditIsSpentOnce", Says: `Acquire\(\d+\) to return an error`},
	{Name: "a small acquire passes a large one", Rule: "CreditIsFair", Says: `Acquire\(\d+\) to wait`},
	{Name: "TryAcquire passes who waits", Rule: "CreditIsFair", Says: `TryAcquire\(\d+\) to return false`},
	{Name: "a grant wakes one", Rule: "CreditIsFair", Says: `Acquire\(\d+\) to have returned nil`},
	{Name: "who gives up credit stays in the line", Rule: "CreditIsFair", Says: `Acquire\(\d+\) to have returned nil`},
	{Name: "credit cannot be given up", Rule: "CreditIsFair", Says: `Acquire\(9\) to have returned`},
	{Name: "Close leaves who wants credit", Rule: "CreditIsSpentOnce", Says: `Acquire\(\d+\) to have returned ErrClosed`},
	{Name: "credit that came is lost", Rule: "CreditIsSpentOnce", Says: `credit that Acquire has not taken`},
	{Name: "a grant after Close counts", Rule: "CreditIsSpentOnce", Says: `\d+ to be left`},
	{Name: "a grant after Close is an error", Rule: "CreditIsSpentOnce", Says: `Grant\(\d+\) to return nil`},
	{Name: "Available has no lock", Rule: "CreditIsSpentOnce", Race: true, Says: `DATA RACE`},
	{Name: "an overflow is cut off", Rule: "OverflowIsRefused", Says: `Grant\(\d+\), with \d+ left, to return ErrOverflow`},
	{Name: "an overflow is added all the same", Rule: "OverflowIsRefused", Says: `\d+ to be left`},
	{Name: "credit wraps around", Rule: "OverflowIsRefused", Says: `Grant\(\d+\), with \d+ left, to return ErrOverflow`},
	{Name: "credit 0 is refused", Rule: "OverflowIsRefused", Says: `NewCredit to make a credit`},

	{Name: "grants the limit each time", Rule: "QueueStaysInTheWindow", Says: `at most \d+ in the receiver's queue`},
	{Name: "grants and forgets", Rule: "QueueStaysInTheWindow", Says: `Granted to be what the sender has, and what is on its way in`},
	{Name: "never grants again", Rule: "QueueStaysInTheWindow", Says: `the sender to get on`},
	{Name: "Granted has no lock", Rule: "QueueStaysInTheWindow", Race: true, Says: `DATA RACE`},
	{Name: "grants each message", Rule: "GrantsAreSavedUp", Says: `\d+ grants of \d+`},
	{Name: "grants when all is consumed", Rule: "GrantsAreSavedUp", Says: `\d+ grants of \d+`},
	{Name: "grants half, rounded down", Rule: "GrantsAreSavedUp", Says: `Consume number \d+ to return \d+`},
	{Name: "grants above half", Rule: "GrantsAreSavedUp", Says: `\d+ grants of \d+`},
	{Name: "grants one half only", Rule: "GrantsAreSavedUp", Says: `Consume to grant all that was saved up, \d+`},
	{Name: "an overrun is not seen", Rule: "OverrunIsRefused", Says: `Arrive\(\d+\), with \d+ granted, to return ErrOverrun`},
	{Name: "an overrun is kept", Rule: "OverrunIsRefused", Says: `\d+ granted and \d+ queued after Arrive\(\d+\), with \d+ granted,`},
	{Name: "an overrun overflows", Rule: "OverrunIsRefused", Says: `Arrive\(\d+\), with \d+ granted, to return ErrOverrun`},
	{Name: "consumes what is not there", Rule: "OverrunIsRefused", Says: `Consume\(\d+\), with \d+ queued, to return ErrOverrun`},
	{Name: "a window checks nothing", Rule: "OverrunIsRefused", Says: `NewWindow\(`},

	{Name: "the article: the branch for low priority is unreachable", Article: true, New: articleLab, Rule: "LowIsShed", Says: `TrySend of Low message \d+ to return ErrShed`,
		Why: "The test for 95% stands behind the one for 90%, which returns, so low priority is let in until the channel is full and then waits like all. What is refused first must be asked first."},
	// Its Sends give up after 5 s each: Stats may return in the end, and see fewer wait.
	{Name: "the article: waits with its lock held", Article: true, New: articleLab, Rule: "NoLockWhileWaiting", Says: `to return while Sends wait: is a lock held\?|3 Sends to wait`,
		Why: "Send holds the lock for up to five seconds while it waits, so the next Send, and the Receive that would make room, wait for the lock. A waiter stands in a line and holds nothing."},
	{Name: "the article: a wait of five seconds that nothing ends", Article: true, New: articleLab, Rule: "SendWaitsForRoom", Says: `Send Normal message \d+ to wait`,
		Why: "Whoever has to wait waits for five seconds, although its client has long gone, and then loses the message, although there may be room at once. A wait ends with room or with its context."},
	{Name: "the article: priority is only for shedding", Article: true, New: articleLab, Rule: "HighestPriorityFirst", Says: `TryReceive to give message \d+`,
		Why: "One Go channel holds all, so an important message waits behind every unimportant one. A queue for each priority lets it pass."},
	{Name: "the article: capacity 0", Article: true, New: articleLab, Rule: "BadOptionsAreRefused", Says: `TrySend of message \d+ to return nil`,
		Why: "Usage is 0 divided by 0, no comparison with that is true, and the channel is full before the first message. New gives 0 a meaning, and refuses what has none."},
	{Name: "the article: there is no end", Article: true, New: articleLab, Rule: "CloseReleasesWaiters", Says: `the check to end within \d+s`,
		Why: "Nothing can close it, so a receiver waits for ever, and a server that stops keeps its goroutines. Close sends everybody in every line home."},
}
