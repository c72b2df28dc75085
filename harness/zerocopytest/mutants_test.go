package zerocopytest

import (
	"flag"
	"os"
	"testing"

	"github.com/asynclab/asynclab/harness/spec"
)

func TestMain(m *testing.M) {
	flag.Parse()
	flag.Set("test.parallel", "12") // most mutants wait in vain for something
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
	{Name: "maps at any offset", Rule: "SendsThePiece", Says: `Send to return \(\d+, nil\), and those \d+ bytes from offset`},
	{Name: "the rest is forgotten", Rule: "ShortSendsGoOn", Says: `all \d+ bytes to come, and Send to say so`},
	{Name: "empty is mapped", Rule: "EmptyIsNothing", Says: `Send to return \(\d+, nil\), and those \d+ bytes from offset \d+ to `},
	{Name: "a short send is a send", Rule: "SendsThePiece", Says: `Send to return \(\d+, nil\), and those \d+ bytes from `},
	{Name: "begins the piece again", Rule: "ShortSendsGoOn", Says: `all \d+ bytes to come, and Send to say so`},
	{Name: "EAGAIN spins", Rule: "WaitsWithoutSpinning", Says: `it to sleep while its peer does not read`, Alone: true},
	{Name: "a blocking socket", Rule: "HoldsNoThread", Says: `\d+ Sends that wait to hold goroutines, not threads`},
	{Name: "no deadline", Rule: "DeadlineEndsIt", Says: `Send to return when c's write deadline has passed`},
	{Name: "counts what was read", Rule: "DeadlineEndsIt", Says: `Send to return how many bytes the kernel has taken, and os\.E`},
	{Name: "gone is the end", Rule: "GoneIsAnError", Says: `Send to return what was taken, and EPIPE or ECONNRESET`},
	{Name: "offsets of 32 bits", Rule: "BeyondTwoGiB", Says: `Send to return \(\d+, nil\), and those \d+ bytes from offs`},
	{Name: "one blocking call", Rule: "BeyondTwoGiB", Says: `all \d+ bytes to come`},
	{Name: "uses the file's offset", Rule: "SharesTheFile", Says: `Send to return|the file's own offset`},
	{Name: "pipes are used again as they are", Rule: "LeavesNothing", Says: `\d+ bytes to come|those \d+ bytes`},
	{Name: "pipes stay open", Rule: "LeavesNothing", Says: `no more descriptors than the \d+ before, but for up to \d+ tha`},
	{Name: "mappings stay", Rule: "LeavesNothing", Says: `no mapping of the file to be left`},

	{Name: "zeros for what is gone", Rule: "TruncatedIsAnError", Says: `Send to return ErrChanged, and how many bytes it sent before`},
	{Name: "cut is the end", Rule: "TruncatedIsAnError", Says: `Send to return ErrChanged, and how many bytes it sent before`},
	{Name: "touches the mapping", Rule: "TruncatedIsAnError", Says: `the process ended`},
	{Name: "looks once", Rule: "RewrittenIsAnError", Says: `Send to return ErrChanged before it sends a mixture`},
	{Name: "only the size", Rule: "RewrittenIsAnError", Says: `Send to return ErrChanged before it sends a mixture`},
	{Name: "trusts the length", Rule: "MoreThanThereIs", Says: `Send of \d+ bytes from \d+ of \d+,\d+ to return ErrChanged`},

	{Name: "one type for all", Rule: "AnswersAFile", Says: `Content-Type text/html for page\.html`},
	{Name: "no time", Rule: "AnswersAFile", Says: `Last-Modified: `},
	{Name: "HEAD is GET", Rule: "HeadHasNoBody", Says: `HEAD /missing to be answered`},
	{Name: "a bound for the connection", Rule: "KeepsConnections", Says: `answer \d+ of 300`},
	{Name: "always closes", Rule: "KeepsConnections", Says: `answer \d+ of \d+`},
	{Name: "the end is not in it", Rule: "RangesAreExact", Says: `Range: bytes=\d+-\d+ of a file of \d+ bytes to be answered `},
	{Name: "the last ones are the first ones", Rule: "RangesAreExact", Says: `Range: bytes=-\d+ of a file of \d+ bytes to be answered with`},
	{Name: "behind the end is all", Rule: "RangesAreExact", Says: `Range: bytes=\d+- of a file of \d+ bytes to be answered `},
	{Name: "nothing is 206", Rule: "RangesAreExact", Says: `Range: bytes=-\d+ of a file of \d+ bytes to be answered with`},
	{Name: "no ranges", Rule: "RangesAreExact", Says: `Range: bytes=\d+-\d+ of a file of \d+ bytes to be answered wit`},
	{Name: "If-Range is not looked at", Rule: "IfRangeGuards", Says: `a range with an earlier date in If-Range to be answered with`},
	{Name: "later is the same", Rule: "IfRangeGuards", Says: `a range with a later date in If-Range to be answered with \d+`},
	{Name: "never 304", Rule: "IfModifiedSince", Says: `GET with the file's own time in If-Modified-Since: \d+, and `},
	{Name: "nanoseconds count", Rule: "IfModifiedSince", Says: `GET with the file's own time in If-Modified-Since: \d+, and `},
	{Name: "any time is 304", Rule: "IfModifiedSince", Says: `GET with a second earlier in If-Modified-Since: \d+, and \d+`},

	{Name: "cleans the path", Rule: "StaysInTheRoot", Says: `no file outside of the root to be answered`},
	{Name: "joins the path", Rule: "StaysInTheRoot", Says: `no file outside of the root to be answered`},
	{Name: "waits for a pipe", Rule: "OnlyFiles", Says: `GET /pipe to be answered`},
	{Name: "everything is a file", Rule: "OnlyFiles", Says: `GET /pipe to be refused`},
	{Name: "any method", Rule: "RefusesWithAStatus", Says: `POST to be answered with \d+, a word, and its Content-Length`},
	{Name: "ends with what is unread", Rule: "RefusesWithAStatus", Says: `an end and no reset`},
	{Name: "405 alone", Rule: "RefusesWithAStatus", Says: `\d+ to say what is allowed`},
	{Name: "missing files are empty", Rule: "RefusesWithAStatus", Says: `a file that is not there to be answered with \d+, a word, an`},
	{Name: "bodies are requests", Rule: "BodyIsNoRequest", Says: `one answer to a GET with a body`},
	{Name: "accepts anything", Rule: "NonsenseIsRefused", Says: `New to refuse what can never work`},

	{Name: "no head timeout", Rule: "SlowHeadsEnd", Says: `the connection to end when HeadTimeout has passed without a `},
	{Name: "each byte renews", Rule: "SlowHeadsEnd", Says: `the connection to end when HeadTimeout has passed without a |408 or nothing at the end of HeadTimeout`},
	{Name: "no write timeout", Rule: "StalledTakersEnd", Says: `OnError to be told of the deadline when a client reads nothi`},
	{Name: "one deadline for all", Rule: "SlowTakersGoOn", Says: `a client that reads a little all the time to get all, howeve`},
	{Name: "fills up", Rule: "CutAnswersLookCut", Says: `fewer than the \d+ MiB promised, and the end of the connection`},
	{Name: "cut is a regular end", Rule: "CutAnswersLookCut", Says: `a reset where the answer is cut off`},
	{Name: "cut is silent", Rule: "CutAnswersLookCut", Says: `a reset where the answer is cut off`},
	{Name: "errors are kept", Rule: "CutAnswersLookCut", Says: `OnError to be told ErrChanged`},
	{Name: "opens again for each piece", Rule: "ReplacedFilesAreWhole", Says: `\d+ and all \d+ bytes of the file`},
	{Name: "files stay open", Rule: "ClientsComeAndGo", Says: `no more descriptors than the \d+ before, but for up to \d+ tha`},
	{Name: "what is not sent stays open", Rule: "ClientsComeAndGo", Says: `no more descriptors than the \d+ before, but for up to \d+ tha`},
	{Name: "somebody must be told", Rule: "ClientsComeAndGo", Says: `the process ended`},
	{Name: "the root stays open", Rule: "ShutdownHasAnEnd", Says: `no more descriptors than the \d+ before, but for up to \d+ tha`},
	{Name: "ends everything", Rule: "DrainsAnswers", Says: `Shutdown to wait for the answer`},
	{Name: "ctx is not looked at", Rule: "ShutdownHasAnEnd", Says: `Shutdown to return ctx's error`},

	{Name: "one direction first", Rule: "RelaysBothWays", Says: `\d+ bytes from the target while the client has said nothing`},
	{Name: "writes once", Rule: "RelaysBothWays", Says: `the target to get the \d+ bytes of the other side, then `},
	{Name: "ends both at once", Rule: "HalfCloseGoesThrough", Says: `the client to get the \d+ bytes of the other side, then t`},
	{Name: "the end is not passed on", Rule: "HalfCloseGoesThrough", Says: `the target to get the \d+ bytes of the other side, then t`},
	{Name: "a reset is an end", Rule: "ResetGoesThrough", Says: `the other side to see a reset`},
	{Name: "a reset stays here", Rule: "ResetGoesThrough", Says: `the other side to see a reset`},
	{Name: "no target is a regular end", Rule: "NoTargetIsAReset", Says: `the client to be reset`},
	{Name: "no target is the end", Rule: "NoTargetIsAReset", Says: `the check to get through`},
	{Name: "reads all it can", Rule: "HoldsLittle", Says: `the client to be held back when its target does not read`},
	{Name: "asks all the time", Rule: "HoldsLittle", Says: `it to sleep while its target does not read`, Alone: true},
	{Name: "no idle timeout", Rule: "QuietPairsEnd", Says: `a pair on which nothing moves for IdleTimeout to end`},
	{Name: "each direction for itself", Rule: "QuietPairsEnd", Says: `a pair on which one direction moves to go on`},
	{Name: "targets are nobody's", Rule: "ProxyLeavesNothing", Says: `no more descriptors than the \d+ before, but for up to \d+ tha`},
	{Name: "ends by a regular end", Rule: "ProxyLeavesNothing", Says: `what is left to be reset when ctx ends`},

	{Name: "a short send is whole", Rule: "PinnedArrivesWhole", Says: `the \d+ bytes of \d+ messages, and the end`},
	{Name: "full is broken", Rule: "PinnedArrivesWhole", Says: `Send of message \d+ \(\d+ bytes\) to return nil`},
	{Name: "done at once", Rule: "KernelReadsUntilDone", Says: `done only for what has left the sender's socket`},
	{Name: "done with the first call", Rule: "PinnedArrivesWhole", Says: `the \d+ bytes of \d+ messages, and the end`},
	{Name: "done twice", Rule: "PinnedArrivesWhole", Says: `the \d+ bytes of \d+ messages, and the end`},
	{Name: "the timeout is for all of Send", Rule: "PinnedArrivesWhole", Says: `a peer that reads a little all the time`},
	{Name: "a note is for one call", Rule: "EveryDoneOnce", Says: `Send, Settle and Close to return`},
	{Name: "copies have numbers", Rule: "EveryDoneOnce", Says: `Send, Settle and Close to return`},
	{Name: "Copied counts notes", Rule: "SmallIsCopied", Says: `Copied to count calls`},
	{Name: "an error is forgotten", Rule: "BrokenEnds", Says: `every Send behind an error to return it`},
	{Name: "a part is told nil", Rule: "BrokenEnds", Says: `done with an error for each Send that returned one`},
	{Name: "everything is pinned", Rule: "SmallIsCopied", Says: `small messages to be copied`},
	{Name: "nothing is pinned", Rule: "SmallIsCopied", Says: `large messages to be sent by reference`},
	{Name: "Close leaves it to the kernel", Rule: "CloseTakesBack", Says: `the peer to see a reset`},
	{Name: "Close forgets", Rule: "CloseTakesBack", Says: `done to be called once for each of \d+ messages`},
	{Name: "waits for ever", Rule: "BrokenEnds", Says: `Send, Settle and Close to return when the peer reads nothing`},
	{Name: "an error is told once", Rule: "BrokenEnds", Says: `every Send behind an error to return it`},
	{Name: "settled is well", Rule: "BrokenEnds", Says: `Settle to return the error of the stream`},

	{Name: "the article: one call for the whole file", Article: true, New: articleLab, Rule: "BeyondTwoGiB", Says: `all \d+ bytes to come`,
		Why: "One call moves at most 2,147,479,552 bytes, and nobody looks at what it returns: 67 MB of a file were missing, and it was called a success. A loop counts what was taken."},
	{Name: "the article: headers that nobody writes", Article: true, New: articleLab, Rule: "AnswersAFile", Says: `an answer`,
		Why: "What is set on a ResponseWriter is not written after Hijack: the client sees a file where a status line must be. Who takes the connection over writes the head himself."},
	{Name: "the article: HEAD with the body", Article: true, New: articleLab, Rule: "HeadHasNoBody", Says: `to be answered`,
		Why: "It sends the file whatever the method is. The head alone goes out, with the length the body would have."},
	{Name: "the article: requests that came early are lost", Article: true, New: articleLab, Rule: "KeepsConnections", Says: `answer \d+ of \d+`,
		Why: "The connection is closed behind one file, and what its reader held is thrown away. One buffered reader lives as long as the connection."},
	{Name: "the article: a thread for each slow client", Article: true, New: articleLab, Rule: "HoldsNoThread", Says: `\d+ Sends that wait to hold goroutines, not threads`,
		Why: "TCPConn.File().Fd() sets the socket to blocking: the system call holds its thread until the client reads. SyscallConn lends the descriptor as it is."},
	{Name: "the article: no deadline", Article: true, New: articleLab, Rule: "StalledTakersEnd", Says: `OnError to be told of the deadline when a client reads nothi`,
		Why: "A blocking call outside of the poller is woken by no deadline. RawConn.Write waits in the poller, with the connection's deadline."},
	{Name: "the article: SIGBUS", Article: true, New: articleLab, Rule: "TruncatedIsAnError", Says: `the process ended`,
		Why: "The page of a file that was cut is gone, and touching it is a signal that recover does not see. The kernel is given the mapping, and its answer is EFAULT; or the file is read."},
	{Name: "the article: an empty file is an error", Article: true, New: articleLab, Rule: "EmptyIsNothing", Says: `Send to return \(0, nil\)`,
		Why: "mmap(2) refuses a length of 0, and that was answered with 500. There is nothing to send, so nothing is mapped."},
}
