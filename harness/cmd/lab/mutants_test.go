package main

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestAMutantsReasonIsWhatHappened(t *testing.T) {
	for refusal, want := range map[string]string{
		"expected 7 bytes; after 3 bytes: EOF":                       "after 3 bytes: EOF",
		"the process ended (exit status 2):\npanic: close of closed": "panic: close of closed",
		"WARNING: DATA RACE\nRead at":                                "WARNING: DATA RACE",
	} {
		require.Equal(t, want, shortened(because(refusal), 80))
	}
	require.Equal(t, "a long ...", shortened("a long reason", 10))
}

func TestSoakCountsFailuresByRule(t *testing.T) {
	t.Parallel()
	c := testClone(t)
	tallies := map[string]tally{}
	require.NoError(t, c.soakOnce(t.Context(), compiled(t, c, "slower", true), tallies))
	require.Empty(t, tallies)
	require.NoError(t, c.soakOnce(t.Context(), compiled(t, c, "mixed", true), tallies))
	require.Equal(t, 1, tallies["AnswersWrongly"].failed)
	require.Equal(t, "it was 8", tallies["AnswersWrongly"].reason)
}
