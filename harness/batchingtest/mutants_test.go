package batchingtest

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
	{Name: "owned ones first", Rule: "LargePiecesAreNotCopied", Says: `the sink to get the \d+ bytes that were written, in order`},
	{Name: "the newest first", Rule: "WritesInOrder", Says: `each goroutine's lines in order, each once and whole`},
	{Name: "keeps what it was given", Rule: "CallerMayReuse", Says: `the process ended|the sink to get`},
	{Name: "a short write is a write", Rule: "ShortWritesResume", Says: `the sink to get the \d+ bytes that were written, in order`},
	{Name: "a short write begins again", Rule: "StreamSurvivesASocket", Says: `\d+ bytes of goroutine \d+`},
	{Name: "Conn consumes its pieces", Rule: "ConnTellsTheTruth", Says: `the pieces to be as they were`},
	{Name: "Conn hides the error", Rule: "ConnTellsTheTruth", Says: `Writev to return 7`},
	{Name: "Conn forgets what was taken", Rule: "ConnTellsTheTruth", Says: `Writev to return 7`},
	{Name: "owned messages are copied", Rule: "LargePiecesAreNotCopied", Says: `a second call of the sink with \d+ pieces: small ones, the lar`},
	{Name: "small ones are pieces, too", Rule: "LargePiecesAreNotCopied", Says: `a second call of the sink with \d+ pieces: small ones, the lar`},
	{Name: "any number of pieces", Rule: "PiecesAreBounded", Says: `\d+ to \d+ pieces, and something in them`},
	{Name: "what is too large waits", Rule: "NonsenseIsRefused", Says: `Write of \d+ bytes to return ErrTooLarge`},

	{Name: "full is nothing", Rule: "FullBatchGoes", Says: `the sink to be called with \[\d+ at \d+s\]`},
	{Name: "each message goes", Rule: "FullBatchGoes", Says: `the sink to be called with \[\]`},
	{Name: "a batch is full of copies only", Rule: "FullBatchGoes", Says: `the sink to be called with \[5000 at 0s\]`},
	{Name: "the last reason counts", Rule: "FullBatchGoes", Says: `the first reason to count`},
	{Name: "each message sets the timer", Rule: "DelayIsKept", Says: `the sink to be called with \[\d+ at \d+ms \d+ at \d+ms \d+ at \d+ms`},
	{Name: "twice the delay", Rule: "DelayIsKept", Says: `the sink to be called with \[\d+ at \d+ms \d+ at \d+ms \d+ at \d+ms`},
	{Name: "an old timer rings for the next batch", Rule: "DelayIsKept", Says: `the sink to be called with \[\d+ at \d+ms \d+ at \d+ms \d+ at \d+ms`},
	{Name: "one timer only", Rule: "DelayIsKept", Says: `the sink to be called with \[\d+ at \d+ms \d+ at \d+ms \d+ at \d+ms`},
	{Name: "writes half", Rule: "IdleWritesAtOnce", Says: `the sink to be called with \[\d+ at \d+s \d+ at \d+s\]`},
	{Name: "Flush looks at the batch only", Rule: "FlushWaitsForAll", Says: `Flush to wait for what the sink works on`},
	{Name: "Flush does not wait", Rule: "FlushWaitsForAll", Says: `Flush to wait for what the sink works on`},
	{Name: "Flush has no context", Rule: "FlushWaitsForAll", Says: `progress`},
	{Name: "the lock is held while it writes", Rule: "LockIsFree", Says: `TryWrite, Write and Stats to return while the sink hangs: is`},

	{Name: "errors are nobody's", Rule: "ErrorsReachTheirWriters", Says: `done of each message, in order: \d+ nil, \d+ nil, \d+ nil, \d+ nil, `},
	{Name: "all of a batch share its fate", Rule: "ErrorsReachTheirWriters", Says: `done of each message, in order: \d+ nil, \d+ nil, \d+ nil, \d+ nil, `},
	{Name: "done in any order", Rule: "ErrorsReachTheirWriters", Says: `done of each message, in order: \d+ nil, \d+ nil, \d+ nil, \d+ nil, `},
	{Name: "the next batch is not told", Rule: "ErrorsReachTheirWriters", Says: `done of each message, in order: \d+ nil, \d+ nil, \d+ nil, \d+ nil, `},
	{Name: "the last one taken is lost", Rule: "ErrorsReachTheirWriters", Says: `done of each message, in order: 0 nil, 1 nil, 2 the sink`},
	{Name: "Flush hears of no error", Rule: "ErrorsReachTheirWriters", Says: `Flush of what was lost`},
	{Name: "an error leaves who waits", Rule: "ErrorsReachTheirWriters", Says: `a Write that waits for room`},
	{Name: "goes on after an error", Rule: "BrokenStaysBroken", Says: `to return the sink's error|not to be called again|done of the message`},
	{Name: "tries again after an error", Rule: "BrokenStaysBroken", Says: `to return the sink's error|not to be called again|done of the message`},
	{Name: "a failed batch is forgotten", Rule: "BrokenStaysBroken", Says: `to return the sink's error|not to be called again|done of the message`},
	{Name: "done twice", Rule: "EveryDoneOnce", Says: `a done for each message that was accepted, and for no other`},
	{Name: "done only when all is well", Rule: "EveryDoneOnce", Says: `a done for each message that was accepted, and for no other`},
	{Name: "done under the lock", Rule: "EveryDoneOnce", Says: `the check to end within \d+s`},
	{Name: "nothing is tried again", Rule: "NoProgressEnds", Says: `io\.ErrNoProgress for the message`},

	{Name: "no bound", Rule: "MemoryIsBounded", Says: `TryWrite to return ErrFull with \d+ bytes pending`},
	{Name: "counts the batch only", Rule: "MemoryIsBounded", Says: `TryWrite to return ErrFull with \d+ bytes pending`},
	{Name: "one byte too many", Rule: "MemoryIsBounded", Says: `TryWrite to return ErrFull with \d+ bytes pending`},
	{Name: "who waits does not hurry", Rule: "WaitersGoInOrder", Says: `the sink to be called with \[\d+ at \d+s\]`},
	{Name: "passes those who wait", Rule: "WaitersGoInOrder", Says: `TryWrite not to pass those who wait: ErrFull`},
	{Name: "small ones first", Rule: "WaitersGoInOrder", Says: `Write \d+ to have returned: false`},
	{Name: "the last in the line goes first", Rule: "WaitersGoInOrder", Says: `Write \d+ to have returned: false`},
	{Name: "ctx cannot end a wait", Rule: "CancelLeavesTheLine", Says: `Write \d+ to have returned: true`},
	{Name: "who gives up is written all the same", Rule: "CancelLeavesTheLine", Says: `Write \d+ to have returned: true`},
	{Name: "nothing is told to nobody", Rule: "NonsenseIsRefused", Says: `done of a message of no bytes`},
	{Name: "takes any options", Rule: "NonsenseIsRefused", Says: `New to refuse`},

	{Name: "Close forgets the tail", Rule: "CloseWritesTheTail", Says: `the sink to get the \d+ bytes that were written, in order`},
	{Name: "Close does not wait", Rule: "CloseWritesTheTail", Says: `the sink to get the \d+ bytes that were written, in order`},
	{Name: "accepts after Close", Rule: "CloseIsFinal", Says: `Write \d+ to have returned: true`},
	{Name: "Close leaves who waits", Rule: "CloseIsFinal", Says: `Write \d+ to have returned: true`},
	{Name: "the second Close panics", Rule: "CloseIsFinal", Says: `the check to end within \d+s`},
	{Name: "the second Close does not wait", Rule: "CloseIsFinal", Says: `Write \d+ to have returned: false`},
	{Name: "Close has no deadline", Rule: "CloseGivesUp", Says: `progress`},
	{Name: "what Close gives up is not told", Rule: "CloseGivesUp", Says: `the second message's writer to be told ErrClosed by then`},
	{Name: "Close leaves the batch to itself", Rule: "CloseGivesUp", Says: `the second message's writer to be told ErrClosed by then`},

	{Name: "who has waited is not copied", Rule: "MemoryIsBounded", Says: `bytes that were written, in order`},
	{Name: "who has waited is copied", Rule: "MemoryIsBounded", Says: `the message of WriteOwned to be a piece of its own`},
	{Name: "who fits passes who does not", Rule: "WaitersGoInOrder", Says: `Write 3 to have returned: false|bytes that were written, in order`},
	{Name: "the second in the line hurries nobody", Rule: "WaitersGoInOrder", Says: `the sink to be called with \[900 at 0s 500 at 0s\]`},
	{Name: "a hurry outlives its batch", Rule: "WaitersGoInOrder", Says: `10 at 1h0m0s`},
	{Name: "Close waits for the delay", Rule: "CloseWritesTheTail", Says: `Close not to wait for the delay`},
	{Name: "Flush gives up for Close", Rule: "CloseIsFinal", Says: `Close to have the second message written`},
	{Name: "Flush waits for what Close gave up", Rule: "CloseGivesUp", Says: `Flush of what is lost`},
	{Name: "what Close gave up is written", Rule: "CloseGivesUp", Says: `the sink not to be given what is lost`},
	{Name: "what Close gives up is not counted", Rule: "CloseGivesUp", Says: `one of two messages lost`},

	{Name: "the article: the lock is held over the system call", Article: true, New: articleLab, Rule: "LockIsFree", Says: `TryWrite, Write and Stats to return while the sink hangs: is`,
		Why: "Whoever writes while a peer's socket is full waits for the lock, and with it the event loop. Two batches that take turns need the lock for a few instructions."},
	{Name: "the article: an error of the timer is thrown away", Article: true, New: articleLab, Rule: "BrokenStaysBroken", Says: `to return the sink's error`,
		Why: "The flush by timer has nobody to return its error to, so everything looks well. Each message has somebody to tell, and the error stays."},
	{Name: "the article: the same bytes again after an error", Article: true, New: articleLab, Rule: "BrokenStaysBroken", Says: `to return the sink's error|not to be called again|done of the message`,
		Why: "The buffer is emptied only when there was no error, so the next flush sends what the peer has already got. After an error nothing is written any more."},
	{Name: "the article: nothing bounds the buffer", Article: true, New: articleLab, Rule: "MemoryIsBounded", Says: `TryWrite to return ErrFull with \d+ bytes pending`,
		Why: "What a peer does not take is gathered for ever. Bytes are counted until they are written, and above the bound the writer waits, or is refused."},
	{Name: "the article: no end", Article: true, New: articleLab, Rule: "CloseWritesTheTail", Says: `the sink to get the \d+ bytes that were written, in order`,
		Why: "There is no Close, so the last batch is lost, unless its timer happens to ring. Close has it written and waits."},
}
