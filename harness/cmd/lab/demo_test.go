//go:build !light

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"syscall"
	"testing"
	"time"

	"github.com/asynclab/asynclab/harness/load"
	"github.com/stretchr/testify/require"
)

// TestMain lets the test binary be the demo's swarm.
func TestMain(m *testing.M) {
	load.BecomeSwarm()
	os.Exit(m.Run())
}

// smallDemo is over in some seconds.
var smallDemo = demoOptions{side: "solutions", conns: 50, seconds: 1, depth: 4, broadcast: 2, plain: true}

func TestDemoMeasuresWhatItShows(t *testing.T) {
	o := smallDemo
	o.json = true
	var out, lines bytes.Buffer
	require.NoError(t, testClone(t).demo(t.Context(), o, &out, &lines))
	require.Contains(t, lines.String(), "building solutions/capstone/cmd/asyncserver\n")
	require.Contains(t, lines.String(), "    50 ")
	require.NotContains(t, lines.String(), "\x1b")
	var r demoReport
	require.NoError(t, json.Unmarshal(out.Bytes(), &r))
	require.Len(t, r.Acts, 3)
	for _, a := range r.Acts {
		require.Equal(t, 50, a.Connections, a.Name)
		require.Positive(t, a.Messages, a.Name)
		require.Positive(t, a.CPUPerMillion, a.Name)
		require.Zero(t, a.Gaps, a.Name)
	}
	require.Positive(t, r.IdleRSS)
	require.NoError(t, r.faults().Err())
	out.Reset()
	require.NoError(t, r.print(&out, false))
	require.NotContains(t, out.String(), "\x1b", "no colours in a pipe")
	require.Contains(t, out.String(), "the article")
	require.Contains(t, out.String(), "make check LAB=01")
}

// startedDemo is a server to end in the middle of a load, and a view that calls
// act as soon as the load has begun.
func startedDemo(t *testing.T, act func(*server)) (*server, *atFirstLoad) {
	s, err := testClone(t).startDemo(t.Context(), smallDemo, &bytes.Buffer{})
	require.NoError(t, err)
	t.Cleanup(func() { s.close() })
	return s, &atFirstLoad{act: func() { act(s) }}
}

type atFirstLoad struct{ act func() }

func (v *atFirstLoad) show(f demoFrame) {
	if f.swarm.Phase == "window" && v.act != nil {
		v.act()
		v.act = nil
	}
}

func (v *atFirstLoad) close() {}

func TestDemoSaysThatTheServerCrashed(t *testing.T) {
	s, view := startedDemo(t, func(s *server) { syscall.Kill(s.pid(), syscall.SIGKILL) })
	o := smallDemo
	o.seconds = 60 // the crash ends it
	_, err := watchLoad(t.Context(), o, s, view)
	require.Error(t, err)
	err = s.close()
	require.ErrorContains(t, err, "solutions/capstone/cmd/asyncserver")
	require.ErrorContains(t, err, "signal: killed")
	require.ErrorContains(t, err, "make check LAB=capstone SIDE=solutions")
}

func TestDemoThatIsStoppedLeavesNoProcess(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	s, view := startedDemo(t, func(*server) { cancel() })
	o := smallDemo
	o.seconds = 60 // cancel ends it
	_, err := watchLoad(ctx, o, s, view)
	require.ErrorIs(t, err, context.Canceled)
	require.NoError(t, s.close(), "the server shuts down in order")
	require.ErrorIs(t, syscall.Kill(s.pid(), 0), syscall.ESRCH)
}

func TestDemoOfTheSkeletonSaysWhereToGo(t *testing.T) {
	o := smallDemo
	o.side = "labs"
	c := testClone(t)
	s, err := c.startDemo(t.Context(), o, &bytes.Buffer{})
	if err == nil {
		s.close()
		t.Skip("the capstone is written in this clone")
	}
	require.ErrorContains(t, err, "not implemented")
	require.ErrorContains(t, err, "make check LAB=capstone SIDE=labs")
}

func TestDemoRefusesMoreThanTheMachineHas(t *testing.T) {
	o := smallDemo
	o.conns = 1 << 30
	require.ErrorContains(t, o.complete(), "at most")
	o.conns = 0
	require.NoError(t, o.complete())
	require.LessOrEqual(t, o.conns, demoConns)
}

func TestDemoViewFitsATerminal(t *testing.T) {
	m := demoModel{options: smallDemo, server: &server{pkg: "solutions/capstone/cmd/asyncserver", addr: "127.0.0.1:60000", cmd: &exec.Cmd{Process: &os.Process{Pid: 4194304}}}}
	for i := range 100 {
		next, _ := m.Update(demoFrame{swarm: load.Snapshot{Phase: "window", Connected: 10_000, PerSecond: float64(i * 1000), P999: 999_000}, loaded: time.Duration(i+1) * time.Second})
		m = next.(demoModel)
	}
	lines := bytes.Split([]byte(m.View()), []byte("\n"))
	require.Less(t, len(lines), 24)
	for _, l := range lines {
		require.LessOrEqual(t, len([]rune(string(l))), 80, "%s", l)
	}
}
