package costs

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestEveryCostIsMeasuredOnce(t *testing.T) {
	names := map[string]bool{}
	for _, c := range table {
		require.False(t, names[c.Name], c.Name)
		names[c.Name] = true
		figure, err := c.once(2)
		require.NoError(t, err, c.Name)
		require.GreaterOrEqual(t, figure, 0.0, c.Name)
	}
}

func TestMeasureEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	all, err := Measure(ctx, func(int, int, string) {})
	require.ErrorIs(t, err, context.Canceled)
	require.Empty(t, all)
}
