package ratelimittest

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
	{Name: "begins empty", Rule: "BurstThenRate", Says: `rate \d+\.\d+, burst \d+: tokens at once: \d+`},
	{Name: "a nanosecond early", Rule: "BurstThenRate", Says: `rate \d+, burst \d+: no token before its time`},
	{Name: "a fixed window", Rule: "BurstThenRate", Says: `rate \d+, burst \d+: a token in time`},
	{Name: "a token in whole nanoseconds", Rule: "HoldsTheRate", Says: `at most rate x time \+ burst, \d+\.\d+ after \d+\.\d+µs`},
	{Name: "a token in rounded nanoseconds", Rule: "HoldsTheRate", Says: `(at most|at least).* rate x time \+ burst`},
	{Name: "a token is rounded down", Rule: "HoldsTheRate", Says: `at most rate x time \+ burst`},
	{Name: "whole milliseconds", Rule: "HoldsTheRate", Says: `at least \d+ in \d+ms at \d+e\+\d+/s: rate x time \+ burst to \d+`},
	{Name: "idle time is saved up", Rule: "IdleEarnsOneBurst", Says: `tokens after idle hours, at \d+h\d+m\d+s: \d+`},
	{Name: "a clock that goes back fills it", Rule: "ClockBackMintsNothing", Says: `\d+ tokens: no time has passed`},
	{Name: "a clock that goes back is believed", Rule: "ClockBackMintsNothing", Says: `\d+ tokens: no time has passed`},
	{Name: "a clock that goes back costs tokens", Rule: "ClockBackMintsNothing", Says: `tokens a second after it was forward again: \d+`},
	{Name: "nothing may be asked for", Rule: "CountsAreChecked", Says: `\d+ tokens of a burst of \d+ to be refused`},
	{Name: "a negative count gives back", Rule: "CountsAreChecked", Says: `-\d+ tokens of a burst of \d+ to be refused`},
	{Name: "more than the burst may be asked for", Rule: "CountsAreChecked", Says: `\d+ tokens of a burst of \d+ to be refused`},
	{Name: "takes any options", Rule: "OptionsAreChecked", Says: `rate \d+, burst \d+ to be refused`},
	{Name: "not a number is a rate", Rule: "OptionsAreChecked", Says: `rate NaN, burst \d+ to be refused`},
	{Name: "a bucket that takes a year to fill", Rule: "OptionsAreChecked", Says: `rate \d+, burst \d+ to be refused`},
	{Name: "a refusal costs a token", Rule: "RefusalsCostNothing", Says: `a token after a second: true`},
	{Name: "a refusal begins the wait anew", Rule: "RefusalsCostNothing", Says: `a token after a second: true`},

	{Name: "no lock", Rule: "ManyAtOnce", Race: true, Says: `the process ended`},
	{Name: "Tokens takes one", Rule: "TokensAndDelayLookOnly", Says: `Delay\(\d+\): \d+s`},
	{Name: "Delay takes them", Rule: "TokensAndDelayLookOnly", Says: `Delay\(\d+\): \d+ms`},
	{Name: "whole tokens are told", Rule: "TokensAndDelayLookOnly", Says: `Tokens: 0\.5`},
	{Name: "a delay is rounded down", Rule: "TokensAndDelayLookOnly", Says: `a token when Delay has passed`},
	{Name: "an impossible count has no delay", Rule: "TokensAndDelayLookOnly", Says: `Delay\(-?\d+\) to be \d+ days`},

	{Name: "a change counts from the last look", Rule: "ChangeMintsNothing", Says: `tokens after \d+ s at \d+/s and a change to \d+/s: \d+`},
	{Name: "a change fills it", Rule: "ChangeMintsNothing", Says: `tokens after \d+ s at \d+/s and a change to \d+/s: \d+`},
	{Name: "a change empties it", Rule: "ChangeMintsNothing", Says: `tokens after \d+ s at \d+/s and a change to \d+/s: \d+`},
	{Name: "a change rounds down", Rule: "ChangeMintsNothing", Says: `tokens in no time: 0`},
	{Name: "SetLimit takes any limit", Rule: "ChangeMintsNothing", Says: `rate \d+, burst \d+ to be refused`},
	{Name: "a larger burst comes full", Rule: "BurstCanChange", Says: `tokens after a burst of \d+ became \d+: \d+`},
	{Name: "the burst stays", Rule: "BurstCanChange", Says: `tokens after a burst of \d+ became \d+: \d+`},
	{Name: "a smaller burst takes more", Rule: "BurstCanChange", Says: `tokens after a burst of 10 with \d became 5: \d`},
	{Name: "a change lets others in between", Rule: "ChangeWhileBusy", Says: `the \d+ tokens that were there to pass`},
	{Name: "who meets another is refused", Rule: "ChangeWhileBusy", Says: `Allow refused in the middle of a change|the \d+ tokens that were there to pass`},

	{Name: "sleeps whole milliseconds", Rule: "WaitSleepsExactly", Says: `Wait \d+ at \d+/s to return after \d+ms`},
	{Name: "Wait takes any count", Rule: "WaitSleepsExactly", Says: `Wait for -?\d+ to return ErrCount`},
	{Name: "sleeps a little longer", Rule: "WaitSleepsExactly", Says: `Wait \d+ at \d+/s to return after \d+ms`},
	{Name: "polls", Rule: "WaitingBurnsNothing", Says: `at most 10 looks|Wait to sleep until its time`},
	{Name: "takes when it wakes up", Rule: "WaitIsFair", Says: `Allow to be refused while others wait`},
	{Name: "the last in the line goes first", Rule: "WaitIsFair", Says: `those who wait for \d+, \d+, \d+, \d+ and \d+ to go at \[\d+ms \d+ms \d+`},
	{Name: "an ended context is not looked at", Rule: "WaitHearsItsContext", Says: `Wait with an ended context to return context\.Canceled`},
	{Name: "a deadline is not looked at", Rule: "WaitHearsItsContext", Says: `Wait to return ErrTooLong at once`},
	{Name: "a context cannot end a wait", Rule: "WaitHearsItsContext", Says: `Wait to return when its context ends`},
	{Name: "who leaves gives nothing back", Rule: "WaitHearsItsContext", Says: `the token after \d+ s, because nobody has taken it: true`},
	{Name: "who leaves gives back twice", Rule: "WaitHearsItsContext", Says: `no token before \d+ s`},
	{Name: "what is refused is taken", Rule: "WaitHearsItsContext", Says: `the token after \d+ s, because nobody has taken it: true`},
	{Name: "those behind stay where they are", Rule: "LeaverMakesRoom", Says: `them to return at \[\d+ms \d+ms \d+ms \d+ms\]`},
	{Name: "room is made at the end only", Rule: "LeaverMakesRoom", Says: `them to return at \[\d+ms \d+ms \d+ms \d+ms\]`},
	{Name: "moves up past a promise", Rule: "LeaverMakesRoom", Says: `who waits behind a reservation for 2 s to go at 3 s`},
	{Name: "who leaves in its turn loses it", Rule: "LeaverMakesRoom", Says: `the token to be taken if Wait has returned nil`},
	{Name: "a change does not reach who waits", Rule: "ChangeReachesWaiters", Says: `number \d+ to go at \d+ms`},
	{Name: "a change forgets what is reserved", Rule: "ChangeReachesWaiters", Says: `Tokens, with 5 that are owed, after a change: -5`},

	{Name: "Reserve looks only", Rule: "ReserveTellsWhen", Says: `Reserve\(\d+\) to return \d+ms`},
	{Name: "debts are not told", Rule: "ReserveTellsWhen", Says: `Tokens, with two that are owed: -1\.5`},
	{Name: "Reserve takes any count", Rule: "ReserveTellsWhen", Says: `Reserve of -?\d+ to return ErrCount`},
	{Name: "a refusal has no cancel", Rule: "ReserveTellsWhen", Says: `Reserve of -?\d+ to return ErrCount, and a cancel that is not nil`},
	{Name: "reserves any time ahead", Rule: "ReserveTellsWhen", Says: `the third to return ErrTooLong`},
	{Name: "remembers what was reserved", Rule: "ReserveTellsWhen", Says: `nothing to be left of reservations whose time has come`},
	{Name: "remembers who has waited", Rule: "ReserveTellsWhen", Says: `nothing to be left of those who have waited`},
	{Name: "cancel works twice", Rule: "CancelMintsNothing", Says: `delay after a cancel that was called twice: \d+ms`},
	{Name: "cancel gives back from the middle", Rule: "CancelMintsNothing", Says: `delay after a cancel in the middle: \d+ms`},
	{Name: "what was used is given back", Rule: "CancelMintsNothing", Says: `delay after a cancel in the middle: \d+ms`},
	{Name: "cancel works after a change", Rule: "CancelMintsNothing", Says: `Tokens after a cancel that comes after a change: -5`},

	{Name: "one bucket for all", Rule: "KeysAreApart", Says: `tokens of key \d+: \d+`},
	{Name: "Delay knows no key", Rule: "KeysAreApart", Says: `Delay of a key without tokens: \d+ms`},
	{Name: "never forgets a key", Rule: "FullKeysAreForgotten", Says: `at most the \d+,\d+ keys of the last two fill times`},
	{Name: "forgets all at a time", Rule: "FullKeysAreForgotten", Says: `tokens of the busy key in \d+ s: \d+`},
	{Name: "a large map keeps its size", Rule: "FullKeysAreForgotten", Says: `the memory of forgotten keys to come back`},
	{Name: "forgets late", Rule: "FullKeysAreForgotten", Says: `keys two fill times after|at most the \d+,\d+ keys of the last`},
	{Name: "no bound on keys", Rule: "KeysAreBounded", Says: `keys remembered: \d+`},
	{Name: "another key makes room", Rule: "KeysAreBounded", Says: `tokens for \d+,\d+ keys that are too many, which share a buck`},
	{Name: "who is too many is allowed", Rule: "KeysAreBounded", Says: `tokens for \d+,\d+ keys that are too many, which share a buck`},
	{Name: "who is too many is refused", Rule: "KeysAreBounded", Says: `tokens for \d+,\d+ keys that are too many, which share a buck`},
	{Name: "Delay knows no crowd", Rule: "KeysAreBounded", Says: `Delay of another new key: they share a bucket`},
	{Name: "NewKeyed takes any limit", Rule: "KeysAreBounded", Says: `rate \d+, burst \d+ to be refused`},

	{Name: "each sample decides", Rule: "RateFollowsLatency", Says: `before the first sample of the next window the rate to be \d+`},
	{Name: "a decision for each window that has passed", Rule: "RateFollowsLatency", Says: `after a bad window, and ten seconds of silence, the rate to `},
	{Name: "the rate is not used", Rule: "RateFollowsLatency", Says: `about \d+ requests in \d+ s at the rate \d+/s`},
	{Name: "down by a step", Rule: "RateFollowsLatency", Says: `after a bad window, and ten seconds of silence, the rate to `},
	{Name: "no floor", Rule: "StaysInBounds", Says: `after ten bad minutes the rate to be \d+\.\d+/s`},
	{Name: "no ceiling", Rule: "StaysInBounds", Says: `after ten good minutes the rate to be \d+\.\d+/s`},
	{Name: "the slowest decides", Rule: "OneSampleDoesNotDecide", Says: `one slow sample of \d+ not to lower the rate`},
	{Name: "the mean decides", Rule: "OneSampleDoesNotDecide", Says: `one slow sample of \d+ not to lower the rate`},
	{Name: "the fastest decides", Rule: "OneSampleDoesNotDecide", Says: `\d+ slow samples of \d+ to lower the rate: the \d+th percentil`},
	{Name: "a few samples are enough", Rule: "OneSampleDoesNotDecide", Says: `after \d+ samples, one of which comes after \d+, the rate to b`},
	{Name: "enough is one too few", Rule: "OneSampleDoesNotDecide", Says: `at the first sample after that window`},
	{Name: "up by a factor", Rule: "BalanceDoesNotDrift", Says: `the rate to settle between \d+ and \d+/s, wherever it began`},
	{Name: "adapts with any options", Rule: "OddSamplesAreSafe", Says: `options \d+ to be refused: \{Min:(NaN|\d+) Max:(NaN|\d+) Start:\d+ Burst:\d+`},
	{Name: "adapts with what is not a number", Rule: "OddSamplesAreSafe", Says: `options \d+ to be refused: \{Min:(NaN|\d+) Max:(NaN|\d+) Start:\d+ Burst:\d+`},
	{Name: "its floor is no rate", Rule: "OddSamplesAreSafe", Says: `options 18 to be refused`},

	{Name: "one more gets in", Rule: "InFlightIsBounded", Says: `that can be acquired: \d+`},
	{Name: "a Release too many is taken", Rule: "InFlightIsBounded", Says: `that a Release without an Acquire panics: true`},
	{Name: "limits with any options", Rule: "InFlightIsBounded", Says: `options \d+ to be refused: \{Min:\d+ Max:\d+ Start:\d+ Low:\d+ High:\d+\}`},
	{Name: "never falls", Rule: "QueueLowersTheLimit", Says: `first: a limit between \d+ and \d+`},
	{Name: "the base is the last window's", Rule: "QueueLowersTheLimit", Says: `first: a limit between \d+ and \d+`},
	{Name: "failures cost nothing", Rule: "QueueLowersTheLimit", Says: `a window with failures to take a quarter off \d+: \d+`},
	{Name: "a failure halves it", Rule: "QueueLowersTheLimit", Says: `a window with failures to take a quarter off \d+: \d+`},
	{Name: "rises with nobody there", Rule: "QueueLowersTheLimit", Says: `limit after \d+ requests, one at a time: \d+`},
	{Name: "a latency of 0 counts", Rule: "QueueLowersTheLimit", Says: `limit after windows without a measurement: \d+`},
	{Name: "a window of one", Rule: "QueueLowersTheLimit", Says: `limit after 15 requests, one of which has failed`},
	{Name: "no highest limit", Rule: "QueueLowersTheLimit", Says: `the limit to rise to 10, and not beyond`},
	{Name: "no lowest limit", Rule: "QueueLowersTheLimit", Says: `the limit to fall to 5, and not below`},
	{Name: "never looks for its base again", Rule: "QueueLowersTheLimit", Says: `a limit that begins at 300: a limit between`},
	{Name: "its base only falls", Rule: "QueueLowersTheLimit", Says: `it becomes slower: a limit between`},
	{Name: "who was here once is here for ever", Rule: "QueueLowersTheLimit", Says: `a limit that nobody reaches to stay`},
	{Name: "a failure is a measurement", Rule: "QueueLowersTheLimit", Says: `a limit above 15 again`},
	{Name: "a negative latency counts", Rule: "QueueLowersTheLimit", Says: `a limit above 15 again`},
	{Name: "who failed stays in", Rule: "InFlightIsBounded", Says: `in flight when all have been released: \d+`},

	{Name: "answers 503", Rule: "RefusesWith429", Says: `429`},
	{Name: "no Retry-After", Rule: "RefusesWith429", Says: `Retry-After: \d+ with a token in \d+s`},
	{Name: "Retry-After is rounded down", Rule: "RefusesWith429", Says: `Retry-After: \d+ with a token in \d+\.\d+s`},
	{Name: "Retry-After may be 0", Rule: "RefusesWith429", Says: `Retry-After: \d+ with a token in \d+s`},
	{Name: "Retry-After in milliseconds", Rule: "RefusesWith429", Says: `Retry-After: \d+ with a token in \d+s`},
	{Name: "Retry-After for those who pass", Rule: "RefusesWith429", Says: `the handler's own answer, \d+, without Retry-After`},
	{Name: "asks twice", Rule: "RefusesWith429", Says: `questions asked for \d+ requests: \d+`},
	{Name: "serves all the same", Rule: "RefusesWith429", Says: `requests that reached the handler: \d+`},

	{Name: "the article: the wait is rounded down to nothing", Article: true, New: articleLab, Rule: "WaitSleepsExactly", Says: `Wait to sleep until its time`,
		Why: "The seconds to wait become a Duration before they are multiplied, so less than one is none, and Wait asks two million times a second. A time in the smallest unit, and one timer, ask once."},
	{Name: "the article: a change counts for the time that has passed", Article: true, New: articleLab, Rule: "ChangeMintsNothing", Says: `tokens after \d+ s at \d+/s and a change to \d+/s: \d+`,
		Why: "The new rate is applied from the last Allow on, so a second at 1/s becomes a thousand tokens. What has flowed in is settled at the old rate first."},
	{Name: "the article: a rate of nothing", Article: true, New: articleLab, Rule: "OptionsAreChecked", Says: `rate \d+, burst \d+ to be refused`,
		Why: "Whatever it is given it takes: a rate of 0 is a division by it, a burst below 1 never grants a token. What cannot work is refused where it is written."},
	{Name: "the article: a rate without bounds", Article: true, New: articleLab, Rule: "StaysInBounds", Says: `after ten good minutes the rate to be \d+\.\d+/s`,
		Why: "Good latencies multiply the rate by 1.1 for ever: after ten minutes it is far above what any machine can do, and it takes as long to come back. A floor and a ceiling end that."},
	{Name: "the article: the last sample decides", Article: true, New: articleLab, Rule: "OneSampleDoesNotDecide", Says: `\d+ slow samples of \d+ to lower the rate: the \d+th percentil`,
		Why: "One latency a second is looked at, so one that was slow by chance lowers the rate, though 99 others were fine. A percentile over a window is not impressed."},
	{Name: "the article: up a tenth, down a tenth", Article: true, New: articleLab, Rule: "BalanceDoesNotDrift", Says: `the rate to settle between \d+ and \d+/s, wherever it began`,
		Why: "1.1 times 0.9 is 0.99: under a load that is balanced the rate falls by a percent every two seconds, down to nothing. An addition and a factor meet at a fixed point."},
}
