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

// demoLab is the lab whose server the demo shows, and demoCommandName its command.
const (
	demoLab         = "capstone"
	demoCommandName = "asyncserver"
)

// demoOptions say what a demo does.
type demoOptions struct {
	side      string
	conns     int     // 0: as many as the machine holds, at most demoConns
	seconds   int     // of each act
	depth     int     // echo: messages in flight on each connection
	rate      float64 // echo at a rate: messages a second on all connections; 0 for half of what was reached
	broadcast int     // messages in flight to the room
	hold      bool    // leave the server and its dashboard running at the end, until Ctrl-C
	plain     bool    // one line a second, whatever the terminal can do
	json      bool    // one JSON document on stdout, the lines on stderr
}

func demoCommand() *cobra.Command {
	o := demoOptions{}
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "the finished server under a swarm of WebSocket clients, live",
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
	f.IntVar(&o.seconds, "seconds", 8, "length of each of the three loads")
	f.IntVar(&o.depth, "depth", 1, "echo: messages in flight on each connection")
	f.Float64Var(&o.rate, "rate", 0, "echo at a rate: messages a second; by default half of what the first load reached")
	f.IntVar(&o.broadcast, "broadcast", 8, "messages in flight to the room")
	f.BoolVar(&o.hold, "hold", false, "leave the server and its dashboard running at the end, until Ctrl-C")
	f.BoolVar(&o.plain, "plain", false, "one line a second instead of the live view")
	f.BoolVar(&o.json, "json", false, "one JSON document on stdout; what goes on, on stderr")
	return cmd
}

const (
	demoConns  = 100_000
	demoMemory = 12 << 10 // bytes of RAM that a connection takes, both ends, the kernel's share included
)

// complete checks the options and sizes the demo to the machine.
func (o *demoOptions) complete() error {
	if o.conns < 0 || o.seconds < 1 || o.depth < 1 || o.rate < 0 || o.broadcast < 1 {
		return errors.New("--seconds, --depth and --broadcast are 1 or more, --conns and --rate not negative: lab demo --help")
	}
	room := 1 << 30
	if free := availableMemory(); free > 0 {
		room = int(free / 2 / demoMemory)
	}
	switch {
	case o.conns > room:
		return fmt.Errorf("--conns %d: there is memory for at most %d (about %d KB each, the kernel's share included, in half of what is free)", o.conns, room, demoMemory>>10)
	case o.conns == 0:
		o.conns = max(1, min(demoConns, room))
	}
	return nil
}

// openFileLimit is the most descriptors that one table may hold. The server and
// the swarm use several tables where it is not enough.
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
	if err == nil && o.hold {
		r.print(lines, false)
		fmt.Fprintf(lines, "the dashboard is at http://%s until you press Ctrl-C\n", s.admin)
		<-watched.Done()
	}
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
	if r.faults().Err() != nil {
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
	if o.side != "labs" && o.side != "solutions" {
		return nil, errSide
	}
	side := side{Lab: lab.ID, Dir: lab.Dir(), Name: o.side, Folder: lab.Path(o.side)}
	pkg := side.Folder + "/cmd/" + demoCommandName
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
	return startServer(ctx, path, side.Name, pkg, "-listen", "127.0.0.1:0", "-admin", "127.0.0.1:0", "-log-level", "warn", "-max-conns", fmt.Sprint(o.conns+o.conns/100+100))
}

// watchLoad runs the swarm against the server, shows view what happens, and
// measures the server at the swarm's turning points.
func watchLoad(ctx context.Context, o demoOptions, s *server, view demoView) (*demoReport, error) {
	m := &demoMeter{options: o, pid: s.pid(), admin: s.admin, view: view}
	m.sample(&m.empty)
	m.heapEmpty = liveHeap(ctx, s.admin)
	m.last = m.empty
	r := &demoReport{Server: s.pkg}
	for i, next := range o.acts(s.addr) {
		m.number = i + 1
		a, err := m.play(ctx, next(r.Acts))
		if err != nil {
			return nil, err
		}
		r.Acts = append(r.Acts, a)
	}
	return m.report(r), nil
}

const demoPayload = 64 // bytes

// A demoMeter follows the server's process. It belongs to the goroutine that
// runs the swarm's hooks.
type demoMeter struct {
	options demoOptions
	pid     int
	admin   string // the server's admin address
	view    demoView
	act     act
	number  int   // of the act, from 1
	err     error // the first of the measurements below that failed

	empty               meter.Sample // listening, no connection yet
	idle                meter.Sample // all connected, each with one echo behind it
	heapEmpty, heapIdle int64        // bytes of live heap then
	begin, end          meter.Sample // of the measured load

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
	f := demoFrame{act: m.act, number: m.number, swarm: s, cores: m.cores, rss: m.last.RSS, files: m.last.Files}
	if !m.begin.When.IsZero() {
		f.loaded = time.Since(m.begin.When)
	}
	m.view.show(f)
}
