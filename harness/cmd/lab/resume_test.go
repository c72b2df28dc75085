//go:build !light

package main

import (
	"bytes"
	"encoding/json"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestResumeFindsEveryMessageAtEveryClient(t *testing.T) {
	m := testClone(t).comeback("solutions", 30)
	m.between, m.asJSON = 300*time.Millisecond, true
	var out, lines bytes.Buffer
	require.NoError(t, m.run(t.Context(), &out, &lines), lines.String())
	var r resumed
	require.NoError(t, json.Unmarshal(out.Bytes(), &r))
	require.Equal(t, 30, r.Clients)
	require.GreaterOrEqual(t, r.Numbers, int64(r.Published))
	require.Positive(t, r.Published)
	require.GreaterOrEqual(t, r.Ends, int64(4*30), "four ends of the server are four of each connection")
	require.Contains(t, lines.String(), "SIGKILL")
	require.NotContains(t, lines.String(), "\x1b")
}

func TestResumeFailsWhenSomethingIsMissing(t *testing.T) {
	m := testClone(t).comeback("solutions", 30)
	var out bytes.Buffer
	require.NoError(t, m.print(&out, resumed{Clients: 30, Published: 5}))
	for _, r := range []resumed{{Published: 5, Missing: 1}, {Published: 5, Doubled: 1}, {Published: 5, Different: 1}, {Published: 5, Twice: 1}, {Published: 5, Behind: 1}, {}} {
		require.Error(t, m.print(&out, r), "%+v", r)
	}
}
