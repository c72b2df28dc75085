//go:build !light

package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/asynclab/asynclab/harness/load"
	"github.com/asynclab/asynclab/harness/report"
	tea "github.com/charmbracelet/bubbletea"
	"github.com/charmbracelet/lipgloss"
)

// A demoFrame is one moment of a demo.
type demoFrame struct {
	act    act
	number int // of the act, from 1
	swarm  load.Snapshot
	loaded time.Duration // since the measured load began; 0 before
	cores  float64       // that the server kept busy in the last second
	rss    int64         // of the server, bytes
	files  int           // its open descriptors
}

// A demoView shows a demo while it runs. show and close belong to the goroutine
// that runs the demo.
type demoView interface {
	show(demoFrame)
	close() // takes away what should not stay
}

// newDemoView is a live view where out is a terminal, and lines elsewhere. quit
// is called when the student has seen enough.
func newDemoView(o demoOptions, s *server, out io.Writer, quit func()) demoView {
	if o.plain || !isTerminal(out) || !isTerminal(os.Stdin) || os.Getenv("TERM") == "dumb" {
		return newDemoLines(s, out)
	}
	return newLiveView(o, s, out, quit)
}

// demoLines prints a line a second.
type demoLines struct {
	out    io.Writer
	last   load.Snapshot // that was printed
	number int           // of its act
}

func newDemoLines(s *server, out io.Writer) *demoLines {
	fmt.Fprintf(out, "%s is process %d at %s, its dashboard at http://%s\n", s.pkg, s.pid(), s.addr, s.admin)
	fmt.Fprintln(out, "  time   conns  messages/s       p50       p99     p99.9  cores     RSS  files  faults")
	return &demoLines{out: out}
}

// show prints one frame in four. The rate is that of the whole second, the
// percentiles those of its last quarter.
func (v *demoLines) show(f demoFrame) {
	if f.number != v.number {
		fmt.Fprintf(v.out, "%d. %s: %s\n", f.number, f.act.Name, f.act.does)
		v.number, v.last = f.number, load.Snapshot{}
	}
	since := f.swarm.Elapsed - v.last.Elapsed
	if since < 900*time.Millisecond {
		return
	}
	rate := float64(counted(f.swarm)-counted(v.last)) / since.Seconds()
	p50, p99, p999 := millis(f.swarm.P50), millis(f.swarm.P99), millis(f.swarm.P999)
	if f.swarm.Phase == "connect" {
		p50, p99, p999 = "-", "-", "-"
	}
	fmt.Fprintf(v.out, "%4.0f s  %6d  %10s  %8s  %8s  %8s  %5.2f  %6s  %5d  %s\n", f.swarm.Elapsed.Seconds(), f.swarm.Connected,
		report.Number(float64(int(rate))), p50, p99, p999, f.cores, megabytes(f.rss), f.files, faultsInWords(f.swarm.Faults))
	v.last = f.swarm
}

// counted is what the figures count: deliveries in a room, echoes elsewhere.
func counted(s load.Snapshot) int64 {
	if s.Deliveries > 0 {
		return s.Deliveries
	}
	return s.Messages
}

func (v *demoLines) close() {}

// liveView draws the frames in place.
type liveView struct {
	program *tea.Program
	done    chan struct{} // closed when the terminal is as it was
}

func newLiveView(o demoOptions, s *server, out io.Writer, quit func()) *liveView {
	v := &liveView{done: make(chan struct{})}
	v.program = tea.NewProgram(demoModel{options: o, server: s, text: report.TextFor(out), quit: quit},
		tea.WithOutput(out), tea.WithoutSignalHandler()) // signals end the demo, and that ends the view
	go func() {
		defer close(v.done)
		if _, err := v.program.Run(); err != nil {
			quit() // the terminal is gone
		}
	}()
	return v
}

func (v *liveView) show(f demoFrame) { v.program.Send(f) }

func (v *liveView) close() {
	v.program.Send(hide{})
	<-v.done
}

// hide makes the view disappear.
type hide struct{}

// demoModel is what bubbletea draws: the last frame, and the rates before it.
type demoModel struct {
	options  demoOptions
	server   *server
	text     report.Text
	quit     func()
	frame    demoFrame
	rates    []float64 // one for each frame under load
	stopping bool
	hidden   bool
}

func (m demoModel) Init() tea.Cmd { return nil }

func (m demoModel) Update(msg tea.Msg) (tea.Model, tea.Cmd) {
	switch msg := msg.(type) {
	case tea.KeyMsg:
		if k := msg.String(); k == "q" || k == "ctrl+c" {
			m.stopping = true
			m.quit()
		}
	case demoFrame:
		m.frame = msg
		if msg.loaded > 0 && msg.swarm.Phase == "window" {
			m.rates = append(m.rates, m.rate())
		}
	case hide:
		m.hidden = true
		return m, tea.Quit
	}
	return m, nil
}

func (m demoModel) View() string {
	if m.hidden {
		return ""
	}
	s := m.frame.swarm
	row := func(name, format string, args ...any) string {
		return m.text.Dim(fmt.Sprintf("%-12s", name)) + fmt.Sprintf(format, args...)
	}
	latency := "-"
	if s.Phase != "connect" && s.Phase != "" {
		latency = fmt.Sprintf("p50 %-9s p99 %-9s p99.9 %s", millis(s.P50), millis(s.P99), millis(s.P999))
	}
	faults := faultsInWords(s.Faults)
	if faults == "none" {
		faults = m.text.Good(faults)
	} else {
		faults = m.text.Bad(faults)
	}
	body := strings.Join([]string{
		m.text.Bold(m.server.pkg) + m.text.Dim(fmt.Sprintf("  process %d at %s", m.server.pid(), m.server.addr)),
		m.text.Dim("dashboard    ") + "http://" + m.server.admin,
		"",
		m.text.Bold(fmt.Sprintf("%d of 3  %s", max(1, m.frame.number), m.frame.act.Name)),
		m.progress(),
		"",
		row("connections", "%s", report.Number(float64(s.Connected))),
		row("messages/s", "%-9s %s", report.Number(float64(int(m.rate()))), sparkline(m.rates)),
		row("latency", "%s", latency),
		row("server", "%.2f cores busy   %s resident   %s descriptors", m.frame.cores, megabytes(m.frame.rss), report.Number(float64(m.frame.files))),
		row("faults", "%s", faults),
		"",
		m.foot(),
	}, "\n")
	return lipgloss.NewStyle().Border(lipgloss.RoundedBorder()).Padding(0, 1).Width(viewWidth).Render(body) + "\n"
}

const viewWidth = 76 // columns inside the border: it fits in 80

func (m demoModel) rate() float64 {
	if m.frame.swarm.Phase == "connect" {
		return 0
	}
	return max(m.frame.swarm.PerSecond, m.frame.swarm.DeliveriesPerSecond)
}

// progress is the bar: of connections at first, of seconds later.
func (m demoModel) progress() string {
	f := m.frame
	switch f.swarm.Phase {
	case "", "connect":
		return fmt.Sprintf("connecting  %s  %s of %s", m.text.Bar(f.swarm.Connected, m.options.conns),
			report.Number(float64(f.swarm.Connected)), report.Number(float64(m.options.conns)))
	case "warmup":
		return fmt.Sprintf("warming up  %s", m.text.Bar(0, 1))
	case "drain":
		return fmt.Sprintf("emptying    %s  what is in flight comes back", m.text.Bar(1, 1))
	}
	return fmt.Sprintf("load        %s  %.0f of %d s", m.text.Bar(int(f.loaded.Milliseconds()), m.options.seconds*1000), f.loaded.Seconds(), m.options.seconds)
}

func (m demoModel) foot() string {
	if m.stopping {
		return m.text.Warn("stopping: the swarm first, then the server")
	}
	return m.text.Dim(m.frame.act.does + "; q ends it")
}

const sparks = 48 // columns of the sparkline

// sparkline draws the last figures as columns, from zero to the highest.
func sparkline(figures []float64) string {
	figures = figures[max(0, len(figures)-sparks):]
	highest := 1.0
	for _, f := range figures {
		highest = max(highest, f)
	}
	var b strings.Builder
	for _, f := range figures {
		b.WriteRune([]rune("▁▂▃▄▅▆▇█")[int(f/highest*7)])
	}
	return b.String()
}

func millis(us int64) string {
	if us < 10_000 {
		return fmt.Sprintf("%.2f ms", float64(us)/1000)
	}
	return fmt.Sprintf("%.0f ms", float64(us)/1000)
}

func megabytes(b int64) string { return fmt.Sprintf("%.0f MB", float64(b)/1e6) }

func faultsInWords(f load.Faults) string {
	n := int64(f.Refused+f.Mismatches+f.Ended+f.Reset) + f.Lost
	if n == 0 {
		return "none"
	}
	return fmt.Sprintf("%s: %s", report.Number(float64(n)), f.First)
}
