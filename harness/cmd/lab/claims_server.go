//go:build !light

package main

import (
	"context"
	"fmt"
	"runtime"
	"slices"
	"strings"

	"github.com/asynclab/asynclab/harness/capstonetest"
	"github.com/asynclab/asynclab/harness/claims"
	"github.com/asynclab/asynclab/harness/course"
	"github.com/asynclab/asynclab/harness/spec"
)

// Loads on two servers beside each other: as many clients as the naive one can
// hold under a usual limit of open files, at a rate that neither is busy with.
const (
	sideConns = 5000
	sideRate  = 10_000 // messages a second
)

// A claimServer is a program that loads are put on.
type claimServer struct {
	name    string // for errors
	program capstonetest.Program
}

// serverSteps are the loads of demo: on the reference beside a naive server, and
// on the reference with all clients that there is memory for.
func (c clone) serverSteps(ctx context.Context, o claimOptions, needed []string, work string, s *screen) ([]claimStep, error) {
	ofServers := func(key string) bool {
		return strings.HasPrefix(key, "reference ") || strings.HasPrefix(key, "naive ") || strings.HasPrefix(key, "full ")
	}
	if !slices.ContainsFunc(needed, ofServers) {
		return nil, nil
	}
	lab, err := course.Find(demoLab)
	if err != nil {
		return nil, err
	}
	side := side{Lab: lab.ID, Dir: lab.Dir(), Name: "solutions", Folder: lab.Path("solutions")}
	s.status("building %s", side.Folder)
	path, err := c.buildServer(ctx, side, side.Folder+"/cmd/"+demoCommandName)
	if err != nil {
		return nil, err
	}
	naive, err := c.build(ctx, work, side.Folder, false)
	if err != nil {
		return nil, fmt.Errorf("build %s: %w", side.Folder, err)
	}
	full := demoOptions{seconds: 4, depth: 1, broadcast: 8}
	beside := demoOptions{conns: sideConns, seconds: 2, depth: 1, rate: sideRate, broadcast: 8}
	if o.quick {
		full.conns, full.seconds = 500, 1
		beside.conns, beside.seconds, beside.rate = 200, 1, 1000
	}
	if err := full.complete(); err != nil {
		return nil, err
	}
	ours := claimServer{"the reference", capstonetest.Program{Command: []string{path}}}
	theirs := claimServer{"the naive server", capstonetest.Naive(naive.path)}
	step := func(name string, keys []string, most int, v claimServer, o demoOptions) claimStep {
		return claimStep{name: name, keys: keys, most: most, take: func(ctx context.Context) (claims.Taken, error) { return v.loads(ctx, o, keys) }}
	}
	return []claimStep{
		step(fmt.Sprintf("the reference under three loads, %s clients", number(float64(beside.conns))), []string{claims.RefEcho, claims.RefRate, claims.RefRoom}, 0, ours, beside),
		step(fmt.Sprintf("a naive server under three loads, %s clients", number(float64(beside.conns))), []string{claims.NaiveEcho, claims.NaiveRate, claims.NaiveRoom}, 0, theirs, beside),
		step(fmt.Sprintf("the reference under three loads, %s clients", number(float64(full.conns))), []string{claims.FullEcho, claims.FullRate, claims.FullRoom}, 1, ours, full),
	}, nil
}

// loads starts the server, puts demo's three loads on it, and stops it. keys are
// theirs, in the same order.
func (v claimServer) loads(ctx context.Context, o demoOptions, keys []string) (claims.Taken, error) {
	args := append(slices.Clone(v.program.Command[1:]), "-listen", "127.0.0.1:0", "-admin", "127.0.0.1:0", "-log-level", "error", "-max-conns", fmt.Sprint(o.conns+o.conns/100+100))
	s, err := startServerWith(ctx, v.program.Env, v.program.Command[0], "solutions", v.name, args...)
	if err != nil {
		return nil, err
	}
	defer s.close()
	m := &demoMeter{options: o, pid: s.pid(), admin: s.admin, view: unseen{}}
	m.sample(&m.empty)
	m.last = m.empty
	taken, before := claims.Taken{}, []actReport{}
	for i, next := range o.acts(s.addr) {
		a, err := m.play(ctx, next(before))
		if err == nil {
			err = a.Faults.Err()
		}
		if err != nil {
			return taken, fmt.Errorf("%s: %w", v.name, err)
		}
		before = append(before, a)
		taken[keys[i]] = m.claim(a)
	}
	return taken, s.close()
}

// claim is an act's report as a sample.
func (m *demoMeter) claim(a actReport) spec.Sample {
	return spec.Sample{Value: a.CPUPerMillion, Latency: a.latency, Also: map[string]float64{
		claims.Connections: float64(a.Connections), claims.PerSecond: float64(int(a.PerSecond)), claims.P99: float64(a.P99) / 1000,
		claims.IdleRSS: float64(m.idle.RSS), claims.PerConn: float64(m.idle.RSS-m.empty.RSS) / float64(max(1, a.Connections)), claims.Cores: float64(runtime.NumCPU())}}
}

// unseen is the view of a load that nobody watches.
type unseen struct{}

func (unseen) show(demoFrame) {}
func (unseen) close()         {}
