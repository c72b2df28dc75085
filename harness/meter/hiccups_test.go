package meter

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestHiccupsAreSeen(t *testing.T) {
	h := WatchHiccups()
	seen := h.Stop()
	require.Positive(t, seen.TotalCount())
	require.Same(t, seen, h.Stop())
}
