//go:build !light

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/asynclab/asynclab/harness/course"
	"github.com/asynclab/asynclab/harness/load"
	"github.com/asynclab/asynclab/harness/meter"
	"github.com/asynclab/asynclab/harness/report"
	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"
)

// demoLab is the lab whose server the demo shows.
const demoLab = "03"

// demoOptions say what a demo does.
type demoOptions struct {
	side    string
	conns   int // 0: as many as one process may open, at most demoConns
	seconds int
	depth   int     // closed loop: messages in flight on each connection
	rate    float64 // open loop: messages a second on all connections; 0 for a closed loop
	plain   bool    // one line a second, whatever the terminal can do
	json    bool    // one JSON document on stdout, the lines on stderr
}

func demoCommand() *cobra.Command {
	o := demoOptions{}
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "the event loop under a swarm of clients, live",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := findClone()
			if err != nil {
				return err
			}
			if err := o.complete(); err != nil {
				return err
			}
			return c.demo(cmd.Context(), o, cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
	f := cmd.Flags()
	f.StringVar(&o.side, "side", "solutions", "labs (yours) or solutions (the reference)")
	f.IntVar(&o.conns, "conns", 0, fmt.Sprintf("connections; by default %d, or what the open-file limit allows", demoConns))
	f.IntVar(&o.seconds, "seconds", 15, "length of the measured load")
	f.IntVar(&o.depth, "depth", 4, "messages in flight on each connection")
	f.Float64Var(&o.rate, "rate", 0, "open loop: messages a second, however fast they come back")
	f.BoolVar(&o.plain, "plain", false, "one line a second instead of the live view")
	f.BoolVar(&o.json, "json", false, "one JSON document on stdout; what goes on, on stderr")
	return cmd
}

const (
	demoConns  = 10_000
	demoMargin = 128 // descriptors that are not connections, in the swarm as in the server
)

// complete checks the options and sizes the demo to the machine.
func (o *demoOptions) complete() error {
	if o.conns < 0 || o.seconds < 1 || o.depth < 1 || o.rate < 0 {
		return errors.New("--seconds and --depth are 1 or more, --conns and --rate not negative: lab demo --help")
	}
	limit, err := openFileLimit()
	if err != nil {
		return err
	}
	room := limit - demoMargin
	switch {
	case room < 1:
		return fmt.Errorf("a process may open only %d files here: raise the limit (as root: ulimit -Hn 20000) and run again", limit)
	case o.conns > room:
		return fmt.Errorf("--conns %d: a process may open %d files here, so at most %d connections (make demo chooses by itself; ulimit -Hn raises the limit, as root)", o.conns, limit, room)
	case o.conns == 0:
		o.conns = min(demoConns, room)
	}
	return nil
}

// openFileLimit is the most descriptors that one process may have: the hard
// limit, which the swarm and the server each raise their soft limit to.
func openFileLimit() (int, error) {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return 0, fmt.Errorf("read the open-file limit: %w", err)
	}
	return int(min(limit.Max, 1<<30)), nil
}

var errQuit = errors.New("q or Ctrl-C was pressed")

// demo runs the server and the swarm, shows them, and sums up on out. Both
// processes are gone when it returns.
func (c clone) demo(ctx context.Context, o demoOptions, out, errOut io.Writer) error {
	lines := out
	if o.json {
		lines = errOut
	}
	s, err := c.startDemo(ctx, o, lines)
	if err != nil {
		return err
	}
	defer s.close()
	watched, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	go func() {
		<-s.gone
		cancel(errServerEnded)
	}()
	view := newDemoView(o, s, lines, func() { cancel(errQuit) })
	r, err := watchLoad(watched, o, s, view)
	view.close()
	ended := s.close()
	switch {
	case ctx.Err() != nil:
		return ctx.Err() // execute says so
	case context.Cause(watched) == errQuit:
		fmt.Fprintln(errOut, "stopped")
		return exit(130)
	case ended != nil: // it tells more than what the swarm saw of it
		err = ended
	}
	if err != nil {
		fmt.Fprintln(errOut, "lab:", err)
		return exit(report.ExitFailed)
	}
	if err := r.print(out, o.json); err != nil {
		return err
	}
	if r.Faults.Err() != nil {
		return exit(report.ExitFailed)
	}
	return nil
}

// startDemo builds the server and starts it.
func (c clone) startDemo(ctx context.Context, o demoOptions, lines io.Writer) (*server, error) {
	lab, err := course.Find(demoLab)
	if err != nil {
		return nil, err
	}
	side, err := sideOf(lab, o.side)
	if err != nil {
		return nil, err
	}
	pkg := side.Folder + "/cmd/echod"
	show := newScreen(lines)
	defer show.close()
	if !show.terminal {
		show.line("building " + pkg)
	}
	show.status("building %s", pkg)
	path, err := c.buildServer(ctx, side, pkg)
	if err != nil {
		return nil, err
	}
	show.status("starting %s", pkg)
	return startServer(ctx, path, side.Name, pkg)
}

// watchLoad runs the swarm against the server, shows view what happens, and
// measures the server at the swarm's turning points.
func watchLoad(ctx context.Context, o demoOptions, s *server, view demoView) (*demoReport, error) {
	m := &demoMeter{options: o, pid: s.pid(), view: view}
	m.sample(&m.empty)
	m.last = m.empty
	cfg := load.Config{Addr: s.addr, Conns: o.conns, Wire: load.Framed, Payload: demoPayload, Rate: o.rate, Depth: o.depth,
		Window: time.Duration(o.seconds) * time.Second}
	result, err := load.Spawn(ctx, cfg, load.Hooks{
		Connected: func() { m.sample(&m.idle) },
		Window:    func() { m.sample(&m.begin) },
		Done:      func() { m.sample(&m.end) },
		Snapshot:  m.snapshot,
	})
	if err := errors.Join(err, m.err); err != nil {
		return nil, err
	}
	return m.report(s, result), nil
}

const demoPayload = 64 // bytes

// A demoMeter follows the server's process. It belongs to the goroutine that
// runs the swarm's hooks.
type demoMeter struct {
	options demoOptions
	pid     int
	view    demoView
	err     error // the first of the measurements below that failed

	empty      meter.Sample // listening, no connection yet
	idle       meter.Sample // all connected, each with one echo behind it
	begin, end meter.Sample // of the measured load

	last  meter.Sample // for the view, once a second
	cores float64      // busy in the second before last
}

func (m *demoMeter) sample(into *meter.Sample) {
	var err error
	if *into, err = meter.Process(m.pid); m.err == nil {
		m.err = err
	}
}

// snapshot shows the swarm's figures beside the server's. Those are taken once a
// second: CPU time comes in steps of 10 ms, and the kernel needs some
// milliseconds to list 10,000 descriptors, on a core that the server could use.
func (m *demoMeter) snapshot(s load.Snapshot) {
	if time.Since(m.last.When) >= 950*time.Millisecond {
		now, err := meter.Process(m.pid)
		if err != nil {
			return // it has ended, which is reported where that is noticed
		}
		m.cores, m.last = m.last.Until(now).Cores(), now
	}
	f := demoFrame{swarm: s, cores: m.cores, rss: m.last.RSS, files: m.last.Files}
	if !m.begin.When.IsZero() {
		f.loaded = time.Since(m.begin.When)
	}
	m.view.show(f)
}
