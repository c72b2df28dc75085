package partitiontest

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
	{Name: "a goroutine for each message", Rule: "OneKeyKeepsItsOrder", Says: `each message of a key once, in the order of its Sends`},
	{Name: "two goroutines for a shard", Rule: "OneKeyKeepsItsOrder", Says: `the process ended|each message of a key once`},
	{Name: "the newest first", Rule: "OneKeyKeepsItsOrder", Says: `each message of a key once, in the order of its Sends`},
	{Name: "a goroutine for each handler", Rule: "OneKeyKeepsItsOrder", Says: `the process ended|each message of a key once`},
	{Name: "handles each message twice", Rule: "AcceptedIsHandledOnce", Says: `a message to be handled once when Send returned nil, and not`},
	{Name: "the empty key has no bytes", Rule: "EmptyKeyIsAKey", Says: `no panic`},
	{Name: "hashes the first byte", Rule: "KeysSpreadEvenly", Says: `each shard to get its part of the keys, within a fifth`},
	{Name: "hashes the length", Rule: "KeysSpreadEvenly", Says: `each shard to get its part of the keys, within a fifth`},
	{Name: "sums the bytes", Rule: "KeysSpreadEvenly", Says: `each shard to get its part of the keys, within a fifth`},
	{Name: "a negative remainder", Rule: "KeysSpreadEvenly", Says: `Shard to be from \d+ to \d+`},
	{Name: "one too many shards", Rule: "KeysSpreadEvenly", Says: `Shard to be from \d+ to \d+`},
	{Name: "no seed", Rule: "ShardsCannotBeForeseen", Says: `two partitions to place keys differently, each by its own se`},
	{Name: "one handler at a time", Rule: "ShardsRunInParallel", Says: `all \d+ shards to be in Handle at the same time`},
	{Name: "one queue for all", Rule: "ShardsRunInParallel", Says: `no panic`},
	{Name: "checks nothing", Rule: "RefusesNonsense", Says: `New to refuse `},
	{Name: "a bound below the shards", Rule: "RefusesNonsense", Says: `New to refuse MaxKeys: \d+ with \d+ shards`},
	{Name: "0 shards are one too many", Rule: "RefusesNonsense", Says: `Shards: 0 to mean`},

	{Name: "Close forgets the queue", Rule: "CloseDrains", Says: `everything accepted to be handled when Close returns`},
	{Name: "Close does not wait", Rule: "CloseDrains", Says: `everything accepted to be handled when Close returns`},
	{Name: "Close has no deadline", Rule: "CloseForcesAtItsDeadline", Says: `Close to return at its deadline, although a Handle hangs`},
	{Name: "goes on after a Close by force", Rule: "CloseForcesAtItsDeadline", Says: `the \d+ messages that wait in each of \d+ shards to be discarded`},
	{Name: "a Close by force discards one queue", Rule: "CloseForcesAtItsDeadline", Says: `the \d+ messages that wait in each of \d+ shards to be discarded`},
	{Name: "the second Close panics", Rule: "CloseIsFinal", Says: `panic`},
	{Name: "the second Close does not wait", Rule: "CloseIsFinal", Says: `every Close to return nil when all that was accepted is hand`},
	{Name: "Close leaves who waits", Rule: "CloseIsFinal", Says: `a Send that waits for room to return ErrClosed at Close`},
	{Name: "accepts after Close", Rule: "CloseIsFinal", Says: `Send to return ErrClosed while Close drains`},
	{Name: "looks before it locks", Rule: "AcceptedIsHandledOnce", Says: `a message to be handled once when Send returned nil, and not`},

	{Name: "no bound", Rule: "QueueIsBounded", Says: `\d+ messages to wait beside the one in Handle`},
	{Name: "one more fits", Rule: "QueueIsBounded", Says: `\d+ messages to wait beside the one in Handle`},
	{Name: "another error when full", Rule: "QueueIsBounded", Says: `TrySend to return ErrFull when the queue is full`},
	{Name: "one place for all shards", Rule: "HotKeyStallsItsShardAlone", Says: `Send to another shard to return while the hot key hangs`},
	{Name: "waits with a lock that all need", Rule: "HotKeyStallsItsShardAlone", Says: `Send to another shard to return while the hot key hangs`},
	{Name: "room for whoever comes by", Rule: "BlockedSendersTakeTurns", Says: `room to belong to the Send that waits`},
	{Name: "the last to wait goes first", Rule: "BlockedSendersTakeTurns", Says: `the first Send in the line to be accepted when there is room`},
	{Name: "nobody lets a waiter in", Rule: "BlockedSendersTakeTurns", Says: `the first Send in the line to be accepted when there is room`},
	{Name: "Send drops what does not fit", Rule: "BlockedSendersTakeTurns", Says: `Send to wait while the queue is full`},
	{Name: "Send ignores its context", Rule: "SendGivesUpWithItsContext", Says: `Send to return when its context ends`},
	{Name: "who gives up is handled all the same", Rule: "SendGivesUpWithItsContext", Says: `each message of a key once, in the order of its Sends`},
	{Name: "who gives up takes the next one along", Rule: "SendGivesUpWithItsContext", Says: `progress`},
	{Name: "gives up although it was accepted", Rule: "SendGivesUpWithItsContext", Says: `a message to be handled if Send has returned nil`},
	{Name: "sent home, it says nil", Rule: "SendGivesUpWithItsContext", Says: `Send to return ErrClosed, or its context's error`},
	{Name: "holds the lock while it calls", Rule: "HandlersMaySend", Says: `a callback to be able to call TrySend and Stats`},
	{Name: "counts what is handled at once", Rule: "CountsAreConserved", Says: `Sent \d+, Queued \d+ \(the one in Handle among them\), Handled \d+`},
	{Name: "what is in Handle is not counted", Rule: "CountsAreConserved", Says: `Sent = Handled \+ Queued \+ Discarded at every instant`},
	{Name: "discarded messages are not counted", Rule: "CountsAreConserved", Says: `Sent = Handled \+ Queued \+ Discarded at every instant`},

	{Name: "one state for all", Rule: "StateStaysWithItsKey", Says: `the state as the key's last message has left it, and zero at`},
	{Name: "a copy of the state", Rule: "StateStaysWithItsKey", Says: `the state as the key's last message has left it, and zero at`},
	{Name: "Close evicts nothing", Rule: "CloseEvictsEveryKey", Says: `OnEvict once for each key when Close has returned`},
	{Name: "OnEvict is not called", Rule: "CloseEvictsEveryKey", Says: `OnEvict once for each key when Close has returned`},

	{Name: "a panic ends the process", Rule: "PanicCostsOneMessage", Says: `the process ended`},
	{Name: "a panic ends the shard", Rule: "PanicCostsOneMessage", Says: `each message of a key once, in the order of its Sends`},
	{Name: "a panic leaves the state", Rule: "PanicCostsOneMessage", Says: `a panic to cost its key's state, and no other's`},
	{Name: "a panic is tried again", Rule: "PanicCostsOneMessage", Says: `each message of a key once, in the order of its Sends`},
	{Name: "a panic evicts the key", Rule: "PanicCostsOneMessage", Says: `no OnEvict for a state that Handle's panic has spoiled`},
	{Name: "nobody hears of a panic", Rule: "PanicCostsOneMessage", Says: `OnPanic once, with the key and the value: a: oh`},
	{Name: "a panic of OnPanic ends the shard", Rule: "PanicCostsOneMessage", Says: `the process ended`},
	{Name: "OnEvict's panic ends the shard", Rule: "PanicCostsOneMessage", Says: `the process ended`},
	{Name: "a panic counts as an eviction", Rule: "PanicCostsOneMessage", Says: `Panics 1, Handled 10 .*, Evicted 0`},
	{Name: "nobody hears of OnEvict's panic", Rule: "PanicCostsOneMessage", Says: `OnPanic for each of \d+ panics`},

	{Name: "never evicts", Rule: "IdleKeysAreEvicted", Says: `the idle key to be evicted`},
	{Name: "evicts early", Rule: "IdleKeysAreEvicted", Says: `no key to be forgotten before it is idle for \d+m`},
	{Name: "only messages make it look", Rule: "IdleKeysAreEvicted", Says: `all keys of a silent shard to be evicted`},
	{Name: "a busy shard never looks", Rule: "IdleKeysAreEvicted", Says: `an idle key of a busy shard to be evicted`},
	{Name: "the first use counts", Rule: "IdleKeysAreEvicted", Says: `OnEvict once, for the key "b" with \{Count:\d+ Last:\d+\}`},
	{Name: "the clock decides who is idle", Rule: "QueuedKeysAreNotIdle", Says: `a key that gets a message every \d+ s to keep its state, howev`},
	{Name: "who waits grows old", Rule: "QueuedKeysAreNotIdle", Says: `a key whose message was accepted \d+ s ago to keep its state`},
	{Name: "evicts all at once", Rule: "EvictionYields", Says: `at most \d+ evictions, that is \d+ ms, between two messages t`},
	{Name: "65 evictions", Rule: "EvictionYields", Says: `at most \d+ evictions between two messages that wait`},
	{Name: "evictions see no Close by force", Rule: "EvictionYields", Says: `no callback to begin after a Close by force`},
	{Name: "a sweeper of its own", Rule: "CallbacksTakeTurns", Race: true, Says: `the process ended|one at a time`},
	{Name: "the map keeps its size", Rule: "MemoryComesBack", Says: `their memory to come back`},

	{Name: "no bound on keys", Rule: "MaxKeysHolds", Says: `the keys not used for the longest time to go, with their cou`},
	{Name: "the newest key goes", Rule: "MaxKeysHolds", Says: `the keys not used for the longest time to go, with their cou`},
	{Name: "the whole bound for each shard", Rule: "MaxKeysHolds", Says: `at most \d+ keys at any time, the parts of the shards full in`},
	{Name: "remembers all keys that ever were", Rule: "AMillionKeysFit", Says: `a million keys through a bound of \d+,\d+ to take less than \d+`},

	{Name: "resizes without a pause", Rule: "ResizeKeepsOrder", Says: `every key to keep its order and its state through a Resize`},
	{Name: "resizes to nothing", Rule: "ResizeMovesTheState", Says: `Resize to refuse \d+ shards`},
	{Name: "Resize forgets the keys", Rule: "ResizeMovesTheState", Says: `\d+ keys, none evicted, and the counts of before`},
	{Name: "Resize makes keys young", Rule: "ResizeMovesTheState", Says: `moved keys to be evicted when they are idle`},
	{Name: "Resize makes keys old", Rule: "ResizeMovesTheState", Says: `a key to have the same state after Resize`},
	{Name: "Resize uses no more shards", Rule: "ResizeMovesTheState", Says: `the keys to be on all of \d+ shards`},
	{Name: "Resize is use", Rule: "ResizeMovesTheState", Says: `the key to be evicted at most 2m after its message`},
	{Name: "Resize mixes up the order of use", Rule: "ResizeMovesTheState", Says: `the keys to go in the order of their last use`},
	{Name: "resizes beyond the bound", Rule: "ResizeMovesTheState", Says: `Resize to refuse more shards than MaxKeys`},
	{Name: "Resize leaves too many keys", Rule: "ResizeMovesTheState", Says: `each of \d+ shards to keep the \d+ keys used last`},
	{Name: "Resizes run into each other", Rule: "ResizeMovesTheState", Says: `each Resize to succeed|panic|each message of a key once|a key to have the same state|the check to end|every Resize to return`},
	{Name: "Resize waits for ever", Rule: "ResizeGivesUpWhole", Says: `progress`},
	{Name: "Resize hears of no Close", Rule: "ResizeGivesUpWhole", Says: `Resize to give up with ErrClosed|the check to end`},
	{Name: "TrySend waits for Resize", Rule: "ResizeGivesUpWhole", Says: `TrySend to return at once during Resize`},
	{Name: "Send waits for Resize, whatever its context says", Rule: "ResizeGivesUpWhole", Says: `Send to return its context's error when it ends during Resize`},
	{Name: "a Resize that gives up leaves shards behind", Rule: "ResizeGivesUpWhole", Says: `each message of a key once, in the order of its Sends`},

	{Name: "the article: a goroutine for each key", Article: true, New: articleLab, Rule: "GoroutinesStayFew", Says: `about as many goroutines as shards`,
		Why: "Each key gets a channel with a goroutine of its own, so strangers decide how many goroutines there are. A number of shards that does not grow keeps each key's order just as well."},
	{Name: "the article: keys are never forgotten", Article: true, New: articleLab, Rule: "IdleKeysAreEvicted", Says: `the idle key to be evicted \d+m to \d+m after its message`,
		Why: "Nothing removes a key: its channel, its map and its goroutine stay for as long as the process. A list in the order of use finds the idle ones without looking at the others."},
	{Name: "the article: no bound on keys", Article: true, New: articleLab, Rule: "MaxKeysHolds", Says: `the keys not used for the longest time to go, with their cou`,
		Why: "The number of shards is a field that nothing reads. A bound on keys, shared out to the shards, bounds the memory whatever comes."},
	{Name: "the article: a full channel accepts", Article: true, New: articleLab, Rule: "QueueIsBounded", Says: `\d+ messages to wait beside the one in Handle`,
		Why: "What finds the channel full stays in a map without a bound, and is delivered only when another message comes for that key. A bounded queue that says no tells the sender at once."},
	{Name: "the article: nothing ends it", Article: true, New: articleLab, Rule: "CloseDrains", Says: `everything accepted to be handled when Close returns`,
		Why: "There is no Close, so a program that ends loses what is queued, and one that goes on keeps every goroutine. Close has a shard handle what it has accepted, and waits."},
}
