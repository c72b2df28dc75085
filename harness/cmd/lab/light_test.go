package main

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// The first `make check` on a fresh clone compiles the light binary and all it
// imports: it has a minute for everything.
func TestTheLightBinaryLeavesHeavyPackagesOut(t *testing.T) {
	t.Parallel()
	imports, err := testClone(t).goTool(t.Context(), "list", "-tags", "light", "-deps", "./harness/cmd/lab")
	require.NoError(t, err, imports)
	for _, heavy := range []string{"gonum.org/", "net/http\n", "bubbletea", "google/pprof", "hdrhistogram"} {
		require.NotContains(t, imports, heavy, "put the file that needs it behind //go:build !light")
	}
}
