package main

import (
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"golang.org/x/term"
)

// A screen prints lines that stay and, on a terminal, one line below them that
// says what is going on right now and for how long.
type screen struct {
	out      io.Writer
	terminal bool
	done     chan struct{}

	mu    sync.Mutex // guards the following and writing to out
	now   string     // empty: nothing is shown
	since time.Time
	frame int
}

func newScreen(out io.Writer) *screen {
	s := &screen{out: out, terminal: isTerminal(out), done: make(chan struct{})}
	if s.terminal {
		go s.spin()
	}
	return s
}

func isTerminal(w any) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// line prints text for good.
func (s *screen) line(text string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.erase()
	fmt.Fprintln(s.out, text)
	s.draw()
}

// status says what is going on; empty for nothing.
func (s *screen) status(format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.erase()
	s.now, s.since = fmt.Sprintf(format, args...), time.Now()
	s.draw()
}

// close takes the status line away for good.
func (s *screen) close() {
	s.status("")
	close(s.done)
}

func (s *screen) spin() {
	tick := time.NewTicker(120 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-s.done:
			return
		case <-tick.C:
			s.mu.Lock()
			s.frame++
			s.erase()
			s.draw()
			s.mu.Unlock()
		}
	}
}

const frames = `|/-\`

func (s *screen) draw() {
	if !s.terminal || s.now == "" {
		return
	}
	text := fmt.Sprintf("  %c %s  %.0f s", frames[s.frame%len(frames)], s.now, time.Since(s.since).Seconds())
	if width, _, err := term.GetSize(int(s.out.(*os.File).Fd())); err == nil && len(text) >= width {
		text = text[:max(0, width-1)] // a line that wraps cannot be erased
	}
	fmt.Fprint(s.out, text)
}

func (s *screen) erase() {
	if s.terminal && s.now != "" {
		fmt.Fprint(s.out, "\r\x1b[K")
	}
}
