package course

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestFindTakesEveryWayToNameALab(t *testing.T) {
	for _, word := range []string{"03", "3", "eventloop", "03-eventloop", "labs/03-eventloop/", "EventLoop"} {
		lab, err := Find(word)
		require.NoError(t, err, word)
		require.Equal(t, "03-eventloop", lab.Dir(), word)
	}
}

func TestFindListsTheLabsWhenThereIsNone(t *testing.T) {
	for _, word := range []string{"", "99", "event"} {
		_, err := Find(word)
		require.ErrorContains(t, err, "02-epoll", word)
	}
}

func TestALabNeedsOnlyLabsBeforeIt(t *testing.T) {
	before := map[string]bool{}
	for _, lab := range Labs {
		for _, need := range lab.Needs {
			require.True(t, before[need], "%s needs %s, which comes later or is not there", lab.ID, need)
		}
		require.False(t, before[lab.ID], "%s is listed twice", lab.ID)
		before[lab.ID] = true
	}
}

func TestALabThatIsNotBuiltRefuses(t *testing.T) {
	built, planned := 0, 0
	for _, lab := range Labs {
		if lab.Built {
			built++
			require.Empty(t, lab.Refusal())
			continue
		}
		planned++
		require.Contains(t, lab.Refusal(), "not built yet")
	}
	require.Equal(t, len(Labs), built+planned)
	require.Equal(t, "capstone", Labs[15].Path("labs"))
	require.Equal(t, "solutions/capstone", Labs[15].Path("solutions"))
}

func TestAnchorsAreGitHubs(t *testing.T) {
	require.Equal(t, "the-articles-version-and-its-autopsy", Anchor("The article's version, and its autopsy"))
	require.Equal(t, "step-2-write-first--queue-the-rest", Anchor("Step 2: write first — queue the rest"))
}
