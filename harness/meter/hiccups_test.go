package meter

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestHiccupsAreSeen(t *testing.T) {
	h := WatchHiccups()
	time.Sleep(20 * nap) // however long it takes, some naps are over
	seen := h.Stop()
	require.Positive(t, seen.TotalCount())
	require.Same(t, seen, h.Stop())
}
