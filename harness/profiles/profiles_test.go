package profiles

import (
	"testing"

	"github.com/google/pprof/profile"
	"github.com/stretchr/testify/require"
)

// made builds a CPU profile from stacks (innermost first) and nanoseconds.
func made(samples map[int64][]string) *profile.Profile {
	p := &profile.Profile{SampleType: []*profile.ValueType{{Type: "samples", Unit: "count"}, {Type: "cpu", Unit: "nanoseconds"}}}
	for v, names := range samples {
		s := &profile.Sample{Value: []int64{1, v}}
		for _, n := range names {
			s.Location = append(s.Location, &profile.Location{Line: []profile.Line{{Function: &profile.Function{Name: n}}}})
		}
		p.Sample = append(p.Sample, s)
	}
	return p
}

const lab = "github.com/asynclab/asynclab/labs/03-eventloop.(*Loop).Run"

func TestASystemCallBelongsToItsCallerAndToTheKernel(t *testing.T) {
	s, err := Summarize(made(map[int64][]string{
		600: {"internal/runtime/syscall/linux.Syscall6", "syscall.RawSyscall6", "golang.org/x/sys/unix.Write", lab},
		300: {lab},
		90:  {"runtime.mallocgc", lab},
		10:  {"sort.Sort"},
	}), "")
	require.NoError(t, err)
	require.Equal(t, "nanoseconds", s.Unit)
	require.EqualValues(t, 1000, s.Total)
	require.InDelta(t, 0.6, s.Kinds[Kernel], 1e-9)
	require.InDelta(t, 0.3, s.Kinds[Lab], 1e-9)
	require.InDelta(t, 0.09, s.Kinds[Runtime], 1e-9)
	require.InDelta(t, 0.01, s.Kinds[Other], 1e-9)
	require.Equal(t, Row{Name: lab, Kind: Kernel, Flat: 600, Part: 0.6}, s.Functions[0])
	require.Equal(t, "github.com/asynclab/asynclab/labs/03-eventloop", s.Packages[0].Name)
}

func TestWaitingBelongsToTheCodeThatWaits(t *testing.T) {
	p := made(map[int64][]string{7: {"runtime.chanrecv1", "sync.(*Mutex).Lock", lab}})
	p.SampleType[1].Type = "delay"
	s, err := Summarize(p, "delay")
	require.NoError(t, err)
	require.Equal(t, Row{Name: lab, Kind: Lab, Flat: 7, Part: 1}, s.Functions[0])
}

func TestPackageOf(t *testing.T) {
	for name, want := range map[string]string{
		"runtime.futex":                     "runtime",
		"net/http.(*conn).serve":            "net/http",
		"slices.SortFunc[go.shape.[]a/b.C]": "slices",
		lab:                                 "github.com/asynclab/asynclab/labs/03-eventloop",
		"main":                              "main",
	} {
		require.Equal(t, want, packageOf(name), name)
	}
}

func TestCompareMeetsLabAndSolutionInOneRow(t *testing.T) {
	mine, err := Summarize(made(map[int64][]string{75: {lab}, 25: {"runtime.x"}}), "cpu")
	require.NoError(t, err)
	reference, err := Summarize(made(map[int64][]string{20: {"github.com/asynclab/asynclab/solutions/03-eventloop.f"}, 80: {"runtime.x"}}), "cpu")
	require.NoError(t, err)
	rows := Compare(mine, reference)
	require.Len(t, rows, 2)
	require.ElementsMatch(t, []string{"03-eventloop", "runtime"}, []string{rows[0].Name, rows[1].Name})
}

func TestAnUnknownTypeListsWhatThereIs(t *testing.T) {
	_, err := Summarize(made(nil), "alloc_space")
	require.ErrorContains(t, err, "samples, cpu")
}

func TestAnEmptyProfileIsNoError(t *testing.T) {
	s, err := Summarize(made(nil), "")
	require.NoError(t, err)
	require.Zero(t, s.Total)
	require.Empty(t, s.Packages)
}
