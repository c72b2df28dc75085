//go:build !light

package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/asynclab/asynclab/harness/course"
	"github.com/asynclab/asynclab/harness/report"
)

// A comeback restarts the finished server under a crowd of clients of a kept
// room, in order and by force, and wants every message at every client.
type comeback struct {
	clone
	side    side
	clients int
	between time.Duration // of traffic before the server is ended
	asJSON  bool
	show    *screen

	dir    string // of the kept room
	addr   string // the server's, the same after each start
	binary string
	pkg    string
	server *server
}

const (
	crowdCommand = "asyncclients"
	crowdWait    = 60 * time.Second
)

func resumeCommand() *cobra.Command {
	name, clients, asJSON := "solutions", 1000, false
	cmd := &cobra.Command{
		Use:   "resume",
		Short: "restarts the finished server under 1,000 clients of a kept room; all come back and miss nothing",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if name != "labs" && name != "solutions" {
				return errSide
			}
			if clients < 1 || clients > 9000 {
				return fmt.Errorf("--clients is %d: give 1 to 9000", clients)
			}
			c, err := findClone()
			if err != nil {
				return err
			}
			m := c.comeback(name, clients)
			m.asJSON = asJSON
			return m.run(cmd.Context(), cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
	cmd.Flags().StringVar(&name, "side", name, "labs (yours) or solutions (the reference)")
	cmd.Flags().IntVar(&clients, "clients", clients, "how many clients")
	cmd.Flags().BoolVar(&asJSON, "json", false, "the result as JSON")
	return cmd
}

func (c clone) comeback(name string, clients int) *comeback {
	lab, err := course.Find(demoLab)
	if err != nil {
		panic(err) // the course has its last lab
	}
	return &comeback{clone: c, clients: clients, between: 2 * time.Second,
		side: side{Lab: lab.ID, Dir: lab.Dir(), Name: name, Folder: lab.Path(name)}}
}

func (m *comeback) run(ctx context.Context, out, lines io.Writer) (err error) {
	m.show = newScreen(lines)
	defer m.show.close()
	if m.dir, err = os.MkdirTemp("", "asynclab-resume-"); err != nil {
		return err
	}
	defer os.RemoveAll(m.dir)
	m.pkg = m.side.Folder + "/cmd/" + demoCommandName
	m.show.status("building %s", m.pkg)
	if m.binary, err = m.buildServer(ctx, m.side, m.pkg); err != nil {
		return err
	}
	path, err := m.buildServer(ctx, m.side, m.side.Folder+"/cmd/"+crowdCommand)
	if err != nil {
		return err
	}
	m.addr = "127.0.0.1:0"
	if err := m.start(ctx); err != nil {
		return err
	}
	defer func() { m.server.close() }()
	crowd, err := startCrowd(ctx, path, m.addr, m.clients)
	if err != nil {
		return err
	}
	defer crowd.close()
	if err := m.caughtUp(ctx, crowd, "connect"); err != nil {
		return err
	}
	for _, how := range []syscall.Signal{syscall.SIGTERM, syscall.SIGKILL, syscall.SIGTERM, syscall.SIGKILL} {
		if err := m.restart(ctx, crowd, how); err != nil {
			return err
		}
	}
	m.show.status("all hear the end")
	r, err := crowd.end(ctx)
	if err != nil {
		return err
	}
	return m.print(out, r)
}

// start starts the server where it was before.
func (m *comeback) start(ctx context.Context) (err error) {
	m.server, err = startServer(ctx, m.binary, m.side.Name, m.pkg, "-listen", m.addr, "-admin", "127.0.0.1:0", "-log-level", "warn",
		"-max-conns", fmt.Sprint(m.clients+100), "-history", filepath.Join(m.dir, "history"), "-history-rooms", "kept")
	if err == nil {
		m.addr = m.server.addr
	}
	return err
}

// restart ends the server while messages are under way, starts it again, and
// waits until all have caught up.
func (m *comeback) restart(ctx context.Context, c *crowd, how syscall.Signal) error {
	m.show.status("%d clients hear each other", m.clients)
	select {
	case <-time.After(m.between):
	case <-ctx.Done():
		return ctx.Err()
	}
	m.show.line(fmt.Sprintf("the server is ended with %s and started again", map[syscall.Signal]string{syscall.SIGTERM: "SIGTERM", syscall.SIGKILL: "SIGKILL"}[how]))
	for len(c.caughtUp) > 0 {
		<-c.caughtUp // somebody was away for a moment: not what is waited for below
	}
	m.server.cmd.Process.Signal(how)
	select {
	case <-m.server.gone:
	case <-time.After(2 * serverStop):
		return fmt.Errorf("the server does not end with %s", how)
	}
	if err := m.start(ctx); err != nil {
		return err
	}
	return m.caughtUp(ctx, c, "come back")
}

func (m *comeback) caughtUp(ctx context.Context, c *crowd, what string) error {
	m.show.status("%d clients %s", m.clients, what)
	began := time.Now()
	select {
	case number, ok := <-c.caughtUp:
		if !ok {
			return c.failure()
		}
		m.show.line(fmt.Sprintf("  all %d have caught up, at message %d, %.1f s later", m.clients, number, time.Since(began).Seconds()))
		return nil
	case <-m.server.gone:
		return m.server.close()
	case <-time.After(crowdWait):
		return fmt.Errorf("not all of %d clients have caught up within %v: look at the server alone, go run ./%s", m.clients, crowdWait, m.pkg)
	case <-ctx.Done():
		return ctx.Err()
	}
}

// resumed is what the crowd says at its end.
type resumed struct {
	Clients   int   `json:"clients"`
	Published int   `json:"published"`
	Numbers   int64 `json:"numbers"`
	Behind    int   `json:"behind"`
	Missing   int64 `json:"missing"`
	Doubled   int64 `json:"doubled"`
	Different int64 `json:"different"`
	Twice     int64 `json:"twice"`
	Ends      int64 `json:"ends"`
	Dials     int64 `json:"dials"`
	P50       int64 `json:"away_p50_ms"`
	P99       int64 `json:"away_p99_ms"`
	Max       int64 `json:"away_max_ms"`
}

func (m *comeback) print(out io.Writer, r resumed) error {
	if m.asJSON {
		if err := json.NewEncoder(out).Encode(r); err != nil {
			return err
		}
	} else {
		fmt.Fprintf(out, "%s messages heard by each of %s clients; %s connections ended, %s tries to come back\n",
			report.Number(float64(r.Numbers)), report.Number(float64(r.Clients)), report.Number(float64(r.Ends)), report.Number(float64(r.Dials)-float64(r.Clients)))
		fmt.Fprintf(out, "away: p50 %d ms, p99 %d ms, at most %d ms\n", r.P50, r.P99, r.Max)
		fmt.Fprintf(out, "missing %d, doubled %d, different %d, published twice %d, clients behind %d\n", r.Missing, r.Doubled, r.Different, r.Twice, r.Behind)
	}
	if r.Missing+r.Doubled+r.Different+r.Twice+int64(r.Behind) > 0 || r.Published == 0 {
		return exit(report.ExitFailed)
	}
	return nil
}

// crowd is the clients' process.
type crowd struct {
	cmd      *exec.Cmd
	caughtUp chan int64 // the number at which all were; closed when the process has ended
	result   chan resumed
	said     capped
}

func startCrowd(ctx context.Context, path, addr string, clients int) (*crowd, error) {
	c := &crowd{caughtUp: make(chan int64, 100), result: make(chan resumed, 1)}
	c.cmd = exec.CommandContext(ctx, path, "-addr", addr, "-clients", fmt.Sprint(clients), "-publishers", fmt.Sprint(min(10, clients)))
	endWithGroup(c.cmd)
	c.cmd.Stderr = &c.said
	out, err := c.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := c.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start the clients: %w", err)
	}
	go func() {
		for lines := bufio.NewScanner(out); lines.Scan(); {
			var said struct {
				Event  string
				Number int64
				resumed
			}
			if json.Unmarshal(lines.Bytes(), &said) != nil {
				continue
			}
			if said.Event != "" {
				c.caughtUp <- said.Number
				continue
			}
			c.result <- said.resumed
		}
		c.cmd.Wait()
		close(c.caughtUp)
		close(c.result)
	}()
	return c, nil
}

// end has the clients hear everything, and returns what they have found.
func (c *crowd) end(ctx context.Context) (resumed, error) {
	c.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case r, ok := <-c.result:
		if !ok {
			return r, c.failure()
		}
		return r, nil
	case <-time.After(crowdWait):
		return resumed{}, errors.New("the clients do not end")
	case <-ctx.Done():
		return resumed{}, ctx.Err()
	}
}

func (c *crowd) failure() error { return fmt.Errorf("the clients have ended: %s", c.said.String()) }

func (c *crowd) close() { c.cmd.Process.Kill() }
