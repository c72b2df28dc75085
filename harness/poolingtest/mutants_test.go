package poolingtest

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
	{Name: "exactly what was asked for", Rule: "GetFits", Says: `Get\(\d+\) to have the capacity \d+`},
	{Name: "one class too large", Rule: "GetFits", Says: `Get\(\d+\) to have the capacity \d+`},
	{Name: "a power of two needs the next one", Rule: "GetFits", Says: `Get\(\d+\) to have the capacity \d+`},
	{Name: "Bytes is the whole buffer", Rule: "GetFits", Says: `Get\(\d+\) to have \d+ bytes`},
	{Name: "Cap is the length", Rule: "GetFits", Says: `Get\(\d+\) to have the capacity \d+`},
	{Name: "never lends again", Rule: "LendsAgain", Says: `\d+ buffers to be made, and lent again \d+ times`},
	{Name: "stored by its length", Rule: "LendsAgain", Says: `\d+ buffers to be made, and lent again \d+ times`},
	{Name: "Resize cuts for good", Rule: "LendsAgain", Says: `\d+ buffers to be made, and lent again \d+ times`},
	{Name: "Resize clears", Rule: "LendsAgain", Says: `byte 999 to be as it was`},
	{Name: "any buffer will do", Rule: "GetFits", Says: `no panic`},
	{Name: "lends it twice", Rule: "OneOwnerAtATime", Says: `the process ended|a buffer to have one owner|buffers to have come back`},
	{Name: "Put allocates", Rule: "NothingIsAllocated", Says: `no allocation for a buffer that is lent again`},
	{Name: "oversize is kept", Rule: "OversizePassesBy", Says: `\d+ oversize buffers that are not kept`},
	{Name: "oversize is rounded up", Rule: "OversizePassesBy", Says: `Get\(\d+\) to have the capacity \d+`},
	{Name: "what is dropped is not counted", Rule: "CountsAdd", Says: `Stats after \d+ of \d+ came back to be \{Hits:\d+ Misses:\d+ Oversize`},
	{Name: "Idle counts buffers", Rule: "CountsAdd", Says: `Stats after \d+ of \d+ came back to be \{Hits:\d+ Misses:\d+ Oversize`},
	{Name: "returns what it made, too", Rule: "CountsAdd", Says: `Stats after \d+ of \d+ came back to be \{Hits:\d+ Misses:\d+ Oversize`},
	{Name: "Retain adds one", Rule: "LastOwnerGivesBack", Says: `no panic`},
	{Name: "any bound will do", Rule: "NonsenseIsRefused", Says: `New to refuse MaxIdle -\d+`},
	{Name: "less than nothing is nothing", Rule: "NonsenseIsRefused", Says: `nonsense to panic`},
	{Name: "Resize to anything", Rule: "NonsenseIsRefused", Says: `nonsense to panic`},

	{Name: "keeps all", Rule: "IdleIsBounded", Says: `at most \d+ bytes to wait`},
	{Name: "Trim does nothing", Rule: "IdleIsBounded", Says: `nothing to be kept after Trim`},
	{Name: "Trim forgets a class", Rule: "IdleIsBounded", Says: `nothing of any size to be kept`},
	{Name: "knows all that it has lent", Rule: "DroppedIsGarbage", Says: `buffers whose owners are gone to be garbage`},
	{Name: "the stack keeps its slots", Rule: "DroppedIsGarbage", Says: `buffers that were taken from the pool to be garbage when the`},
	{Name: "looks first, stores later", Rule: "BoundHoldsForAll", Says: `at most \d+ buffers to be in the pool`},

	{Name: "the first Release gives back", Rule: "LastOwnerGivesBack", Says: `no panic`},
	{Name: "owners without a lock", Rule: "OwnersMayRace", Says: `the process ended|3000 buffers lent|no panic`},
	{Name: "a second Release is nothing", Rule: "ReleasedTwicePanics", Says: `a second Release to panic`},
	{Name: "releases what is not lent", Rule: "ReleasedTwicePanics", Says: `a second Release to panic`},
	{Name: "Retain takes any number", Rule: "ReleasedTwicePanics", Says: `Retain\(0\) and Retain\(-1\) to panic`},
	{Name: "who is no owner may retain", Rule: "ReleasedTwicePanics", Says: `Retain after the last Release to panic`},

	{Name: "debug lends again", Rule: "DebugFindsDoubleRelease", Says: `one fault: released twice`},
	{Name: "debug does not tell", Rule: "DebugFindsDoubleRelease", Says: `one fault: released twice`},
	{Name: "debug has no stacks", Rule: "DebugFindsDoubleRelease", Says: `the stack that took the buffer, of poolingtest\.alice, for: r`},
	{Name: "OnFault under the lock", Rule: "DebugFindsDoubleRelease", Says: `OnFault to be able to use the pool|the check to end within`},
	{Name: "a fault without OnFault is nothing", Rule: "DebugFindsDoubleRelease", Says: `a fault to be a panic where there is no OnFault`},
	{Name: "the panic names nobody", Rule: "DebugFindsDoubleRelease", Says: `the panic to name those who took`},
	{Name: "no poison", Rule: "DebugFindsLateWrites", Says: `a buffer that was given back to be filled with \d+xDB`},
	{Name: "poison for the length only", Rule: "DebugFindsLateWrites", Says: `nothing about a buffer that nobody has written to`},
	{Name: "poison for what is in use", Rule: "DebugFindsLateWrites", Says: `one fault: written late`},
	{Name: "Check looks once", Rule: "DebugFindsLateWrites", Says: `one fault: written late`},
	{Name: "debug keeps 1000", Rule: "DebugFindsLateWrites", Says: `one fault: written late`},
	{Name: "the oldest goes unseen", Rule: "DebugFindsLateWrites", Says: `one fault: written late`},
	{Name: "Check looks at nothing", Rule: "DebugFindsLateWrites", Says: `one fault: written late`},
	{Name: "tells it again and again", Rule: "DebugFindsLateWrites", Says: `a fault to be told once`},
	{Name: "debug keeps all", Rule: "DebugFindsLateWrites", Says: `debug mode to keep \d+ buffers at most`},
	{Name: "knows of no leak", Rule: "DebugListsLeaks", Says: `\d+ leaks, one of them alice's`},
	{Name: "nobody watches the large ones", Rule: "DebugListsLeaks", Says: `4 leaks, one of them alice's`},
	{Name: "leaks are never forgotten", Rule: "DebugListsLeaks", Says: `\d+ leaks, one of them alice's`},
	{Name: "cries when all is well", Rule: "DebugIsQuiet", Says: `nothing to be found where all is well`},

	{Name: "grows by append", Rule: "SizesAreKnownBefore", Says: `Squares\(\d+\) to allocate \d+ times at most`},
	{Name: "as many zeros before", Rule: "SizesAreKnownBefore", Says: `Squares\(\d+\) to be the squares of \d+ to \d+`},
	{Name: "no room for what is between", Rule: "SizesAreKnownBefore", Says: `Join of \d+ parts to allocate \d+ times at most`},
	{Name: "an empty slice for nothing", Rule: "SizesAreKnownBefore", Says: `Join of nothing to allocate \d+ times at most`},
	{Name: "nothing at the end needs nothing before it", Rule: "SizesAreKnownBefore", Says: `Join of "", "b", ""`},
	{Name: "a header needs what follows it", Rule: "NothingEscapes", Says: `ParseHeader of 5 bytes`},
	{Name: "a frame of its own", Rule: "NothingEscapes", Says: `AppendFrame to a slice with room to allocate \d+ times at most`},
	{Name: "a little-endian length", Rule: "NothingEscapes", Says: `AppendFrame to append \d+ \d+ \d+ \d+ and "hello" to what was th`},
	{Name: "a header on the heap", Rule: "NothingEscapes", Says: `ParseHeader to allocate \d+ times at most`},
	{Name: "four bytes are enough", Rule: "NothingEscapes", Says: `ParseHeader of \d+ bytes not to be ok`},

	{Name: "the article: one size for all", Article: true, New: articleLab, Rule: "GetFits", Says: `Get\(\d+\) to have the capacity \d+`,
		Why: "Every buffer has 4 KiB, so a message of 5,000 bytes gets one that is too short, and one of 20 wastes the rest. Classes by powers of two fit all."},
	{Name: "the article: Put allocates", Article: true, New: articleLab, Rule: "NothingIsAllocated", Says: `no allocation for a buffer that is lent again`,
		Why: "A slice becomes an interface at each Put, and its header goes to the heap. A pointer to something that is there already costs nothing."},
	{Name: "the article: a buffer comes back short", Article: true, New: articleLab, Rule: "LendsAgain", Says: `Get\(\d+\) to have`,
		Why: "What was cut by its last user is lent as it is, and the next one finds less than it needs. The whole slice has to be kept beside the length."},
	{Name: "the article: nobody is asked who owns it", Article: true, New: articleLab, Rule: "LastOwnerGivesBack", Says: `the buffer to be its last owner's`,
		Why: "A handler that keeps a slice, or gives it to others, is overwritten by the next connection: 19 of 20 kept requests were. Owners are counted, and the last one gives back."},
}
