package orderingtest

import (
	"testing"

	"github.com/asynclab/asynclab/harness/spec"
)

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
	{Name: "begins at 0", Rule: "DeliversInOrder", Says: `Next to be 100; it is 0`},
	{Name: "delivers with the next call", Rule: "DeliversInOrder", Says: `see: 100; it saw: nothing`},
	{Name: "delivers old numbers", Rule: "DropsWhatIsOld", Says: `it saw: 1 2 3 2 3`},
	{Name: "keeps silent about old numbers", Rule: "DropsWhatIsOld", Says: `ErrOld; it returned nil`},
	{Name: "checks nothing", Rule: "OptionsAreChecked", Says: `it returned no error`},

	{Name: "delivers one and stops", Rule: "WaitsForTheMissingOne", Says: `see: 2 3 4; it saw: 2`},
	{Name: "a duplicate replaces the first", Rule: "DropsPendingDuplicates", Says: `copies \[11 22 33 41\]`},
	{Name: "no bound", Rule: "PendingIsBounded", Says: `ErrBeyond; it returned nil`},
	{Name: "bounds the count", Rule: "PendingIsBounded", Says: `ErrBeyond; it returned nil`},
	{Name: "the window is one too large", Rule: "PendingIsBounded", Says: `ErrBeyond; it returned nil`},
	{Name: "the window is rounded up", Rule: "PendingIsBounded", Says: `99 messages to be taken.*127 were`},
	{Name: "compares the numbers", Rule: "NumbersWrapAround", Says: `Push\(\d+\) to return|see: \d+`},
	{Name: "a ring of Window slots", Rule: "NumbersWrapAround", Says: `window 100, to return nil|window 100 to return nil|the window 100; it returned|see: 42949`},
	{Name: "keeps what it delivered", Rule: "LetsGoOfWhatItDelivered", Says: `still holds 80 of 80`},

	{Name: "forgets what was refused", Rule: "FullMeansLater", Says: `Next to be 2; it is 3`},
	{Name: "offers with every Push", Rule: "FullMeansLater", Says: `full 2 full 2|again and again`},
	{Name: "Resume waits for the next Push", Rule: "ResumeDeliversAll", Says: `see: full 0; it saw: nothing`},
	{Name: "Resume offers one", Rule: "ResumeDeliversAll", Says: `see: 0 1 full 2; it saw: 0`},
	{Name: "a backlog has no bound", Rule: "BacklogStaysInTheWindow", Says: `Push\(4\) to return ErrBeyond`},

	{Name: "no gap is ever skipped", Rule: "GapIsSkippedInTime", Says: `see: lost 1 2 3; it saw: nothing`},
	{Name: "skips a nanosecond early", Rule: "GapIsSkippedInTime", Says: `see: nothing; it saw: lost 1`},
	{Name: "skips a millisecond late", Rule: "GapIsSkippedInTime", Says: `see: lost 1 2 3; it saw: nothing`},
	{Name: "a gap is born at a full millisecond", Rule: "GapIsSkippedInTime", Says: `see: nothing; it saw: lost 1`},
	{Name: "every arrival starts the wait anew", Rule: "EachGapHasItsOwnTimer", Says: `see: lost 0 1; it saw: nothing`},
	{Name: "a split gap starts anew", Rule: "EachGapHasItsOwnTimer", Says: `see: lost .*; it saw: nothing`},
	{Name: "a skip starts the other waits anew", Rule: "EachGapHasItsOwnTimer", Says: `see: lost 2 3; it saw: nothing`},
	{Name: "skips all gaps at once", Rule: "EachGapHasItsOwnTimer", Says: `see: lost 0 1; it saw: lost 0 1 lost 2`},
	{Name: "has room for few gaps", Rule: "EachGapHasItsOwnTimer", Says: `see: lost 50 51; it saw|a deadline at`},
	{Name: "skips one too many", Rule: "SkipsOnlyTheGap", Says: `it saw: lost 1..6 7`},
	{Name: "gives up one number for each Advance", Rule: "SkipsOnlyTheGap", Says: `it saw: lost 1`},
	{Name: "time goes back", Rule: "TimeGoesForwardOnly", Says: `see: nothing; it saw: lost 1`},
	{Name: "time goes back in Advance", Rule: "TimeGoesForwardOnly", Says: `see: nothing; it saw: lost 3 4`},
	{Name: "time goes back in Resume", Rule: "TimeGoesForwardOnly", Says: `see: nothing; it saw: lost 5 6`},
	{Name: "tells no time in Resume", Rule: "TimeGoesForwardOnly", Says: `see: nothing; it saw: lost 7 8`},
	{Name: "gives up behind a full consumer", Rule: "GapBehindAFullConsumerWaits", Says: `Push\(2\) to return nil; it returned ErrOld`},
	{Name: "a deadline that has passed", Rule: "GapBehindAFullConsumerWaits", Says: `no deadline`},
	{Name: "a tick every 100 ms", Rule: "DeadlineLeads", Says: `no deadline, because nothing has come`},
	{Name: "a deadline for every stream", Rule: "DeadlineLeads", Says: `no deadline, because`},
	{Name: "the deadline of the last gap", Rule: "DeadlineLeads", Says: `11s at the latest; Deadline is 12s`},

	{Name: "asks at once", Rule: "AsksAgainWithBackoff", Says: `requests|deadline`},
	{Name: "asks at regular times", Rule: "AsksAgainWithBackoff", Says: `at 29.999999ms requests for: nothing; they were for: 0`},
	{Name: "the wait has no bound", Rule: "AsksAgainWithBackoff", Says: `deadline at 1.91s at the latest`},
	{Name: "makes up for requests that were late", Rule: "AsksAgainWithBackoff", Says: `requests for: nothing; they were for: 2`},
	{Name: "asks before it gives up", Rule: "AsksAgainWithBackoff", Says: `requests`},
	{Name: "asks for everything up to the last", Rule: "AsksOnlyForWhatIsMissing", Says: `1..2 4..6; they were for: 1..6`},
	{Name: "asks for the first gap only", Rule: "AsksOnlyForWhatIsMissing", Says: `they were for: 1..2`},
	{Name: "asks for what has expired", Rule: "AsksOnlyForWhatIsMissing", Says: `at \d+ms requests for: 3; they were for: 1`},
	{Name: "asks nobody while the consumer is full", Rule: "AsksOnlyForWhatIsMissing", Says: `at 10ms requests for: 1; they were for: nothing`},

	{Name: "never slides", Rule: "SlideMakesRoom", Says: `Push\(9\) to return nil; it returned ErrBeyond`},
	{Name: "slides to the new number", Rule: "SlideMakesRoom", Says: `see: lost 1 2; it saw: lost 1 2 lost 3`},
	{Name: "slides over what waits", Rule: "SlideMakesRoom", Says: `lost 5..8 9 lost 10..12; it saw: lost 5..12`},
	{Name: "slides over a whole gap", Rule: "SlideMakesRoom", Says: `see: 0 lost 1..2; it saw: 0 lost 1..5`},
	{Name: "slides under a full consumer", Rule: "SlideMakesRoom", Says: `see: full 21; it saw: full 21 full 21`},
	{Name: "leaps step by step", Rule: "SlideLeapsFar", Says: `at most 65 calls|more than 65 times`},

	{Name: "Close throws away", Rule: "CloseDeliversTheRest", Says: `it saw: 0$`},
	{Name: "Close waits for gaps", Rule: "CloseDeliversTheRest", Says: `it saw: 0$`},
	{Name: "Close forgets a full consumer", Rule: "CloseDeliversTheRest", Says: `see: 1 lost 2 3 full 4; it saw: nothing`},
	{Name: "takes after Close", Rule: "CloseDeliversTheRest", Says: `ErrClosed; it returned nil`},
	{Name: "asks after Close", Rule: "CloseDeliversTheRest", Says: `requests for: nothing; they were for: 2`},
	{Name: "a goroutine for each", Rule: "NothingRunsByItself", Says: `1000 buffers brought 1000 goroutines`},
	{Name: "starts its own timer", Rule: "NothingRunsByItself", Says: `see: nothing; it saw: lost 0 1|DATA RACE`},

	{Name: "delivers inside Deliver", Rule: "CallbacksMayCallBack", Says: `inside another callback`},
	{Name: "forgets what a callback pushed", Rule: "CallbacksMayCallBack", Says: `see: 0 1 2; it saw: 0`},
	{Name: "a Push that slides sees no Close", Rule: "CallbacksMayCallBack", Says: `Push\(10\) to return ErrClosed`},
	{Name: "Resume in a callback is lost", Rule: "CallbacksMayCallBack", Says: `see: 3 4 5 6; it saw: nothing`},
	{Name: "asks for what a callback has brought", Rule: "CallbacksMayCallBack", Says: `requests for: 1 3; they were for`},
	{Name: "takes a copy of what it offers", Rule: "CallbacksMayCallBack", Says: `a copy of 8 to be refused`},
	{Name: "holds a lock while it calls", Rule: "CallbacksMayCallBack", Says: `hangs`},
	{Name: "takes a late one when others wait", Rule: "EveryNumberOnce", Says: `to return ErrOld .*; it returned nil`},
	{Name: "a duplicate counts as old", Rule: "CountsAreConserved", Says: `Duplicates`},
	{Name: "refusals are not counted", Rule: "CountsAreConserved", Says: `Refused`},
	{Name: "counts before Deliver has taken it", Rule: "CountsAreConserved", Says: `in Deliver`},
	{Name: "counts losses late", Rule: "CountsAreConserved", Says: `in Lost`},

	{Name: "the article: a gap is never skipped", Article: true, New: articleLab, Rule: "GapIsSkippedInTime", Says: `see: lost 1 2 3; it saw: nothing`,
		Why: "The scan looks for the next number among the messages that wait, and what is missing is never among them: one lost message stops the stream for ever. The gap needs a time of its own, from the first message behind it."},
	{Name: "the article: what waits for the consumer is thrown away", Article: true, New: articleLab, Rule: "FullMeansLater", Says: `see: 2 3 4 5; it saw: 2 3`,
		Why: "What the scan does find is a message that is there, is next, and waits because the delivery channel is full: it is counted as dropped. A slow consumer is no loss; only a number that is missing can be given up."},
	{Name: "the article: a full channel stops delivery", Article: true, New: articleLab, Rule: "ResumeDeliversAll", Says: `see: 0 1 full 2; it saw: 0 1`,
		Why: "Delivery is tried by the next message that comes, and by nothing else: when the consumer has room and the network is silent, what waits goes on waiting. Room must be announced, and Resume then delivers all that can go."},
	{Name: "the article: a duplicate replaces the first", Article: true, New: articleLab, Rule: "DropsPendingDuplicates", Says: `copies \[11 22 33 41\]`,
		Why: "A map takes the second copy without a word: it is in no count, and the age of the message starts anew. Look before you store."},
	{Name: "the article: what waits has no bound", Article: true, New: articleLab, Rule: "PendingIsBounded", Says: `ErrBeyond; it returned nil`,
		Why: "After one loss everything that follows is kept, and each scan walks over all of it with the lock held. A window bounds both."},
	{Name: "the article: a goroutine for each channel", Article: true, New: articleLab, Rule: "NothingRunsByItself", Says: `1000 buffers brought 1000 goroutines`,
		Why: "Each channel has a goroutine with a ticker of 100 ms that nothing ends. A state machine that says when it wants to be called needs neither."},
	{Name: "the article: numbers do not wrap around", Article: true, New: articleLab, Rule: "NumbersWrapAround", Says: `Push\(1\) to return|Push\(0\)|see: `,
		Why: "Compared as they are, the numbers after the wrap are all older than those before it, so every message is dropped as old from then on. The difference, taken as a signed number, tells the order on a circle."},
}
