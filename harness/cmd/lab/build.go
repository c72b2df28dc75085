package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"

	"github.com/asynclab/asynclab/harness/report"
)

// A binary is a compiled test of one package.
type binary struct {
	path   string // of the executable
	folder string // of the package, from the root; the process runs there
	race   bool   // built with the race detector
}

// A buildError is what the compiler said about a package. It is the student's
// to mend; other errors of build are not.
type buildError struct{ faults []report.Fault }

func (e *buildError) Error() string {
	return fmt.Sprintf("%s: %s", e.faults[0].At, e.faults[0].Text)
}

// build compiles the test of the package in folder into dir. Packages that do
// not compile give a [buildError].
func (c clone) build(ctx context.Context, dir, folder string, race bool) (binary, error) {
	name := strings.ReplaceAll(folder, "/", "-")
	args := []string{"test", "-c", "-vet=off"} // vet is a step of its own
	if race {
		args = append(args, "-race")
		name += "-race"
	}
	b := binary{path: filepath.Join(dir, name+".test"), folder: folder, race: race}
	out, err := c.goTool(ctx, append(args, "-o", b.path, "./"+folder)...)
	return b, compileError(ctx, out, err)
}

// goTool runs the go command in the root and returns all it printed.
func (c clone) goTool(ctx context.Context, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Dir, cmd.Env = c.root, c.environ()
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	endWithGroup(cmd)
	err := cmd.Run()
	return out.String(), err
}

func compileError(ctx context.Context, out string, err error) error {
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.Is(err, exec.ErrNotFound):
		return errors.New("the go command is not in PATH: install Go from https://go.dev/dl, then open a new terminal")
	}
	return &buildError{faults: faultsIn(out)}
}

var position = regexp.MustCompile(`^(?:vet: )?([^\s:]+\.go:\d+(?::\d+)?): (.*)$`)

// faultsIn picks the lines of the compiler or go vet that say what is wrong.
// An indented line belongs to the fault before it.
func faultsIn(out string) []report.Fault {
	var faults []report.Fault
	for line := range strings.Lines(out) {
		line = strings.TrimRight(line, "\n")
		if m := position.FindStringSubmatch(line); m != nil {
			faults = append(faults, report.Fault{At: strings.TrimPrefix(m[1], "./"), Text: m[2]})
		} else if n := len(faults); n > 0 && strings.HasPrefix(line, "\t") {
			faults[n-1].Text += "\n" + line
		}
	}
	if len(faults) == 0 {
		faults = []report.Fault{{Text: strings.TrimSpace(out)}}
	}
	return faults
}

// noRace says why the race detector cannot be used here; empty when it can. It
// needs cgo, and so a C compiler, on Linux.
func (c clone) noRace(ctx context.Context) string {
	out, err := c.goTool(ctx, "env", "CGO_ENABLED", "CC")
	enabled, cc, _ := strings.Cut(strings.TrimSpace(out), "\n")
	if err != nil || enabled == "1" {
		if words := strings.Fields(cc); len(words) > 0 {
			_, err = exec.LookPath(words[0])
		}
		if err == nil {
			return ""
		}
	}
	return "it needs a C compiler: sudo apt-get install gcc (and unset CGO_ENABLED)"
}

// endWithGroup gives cmd a process group and makes the end of its context end
// the whole group, children of its own included. If this process dies, so does
// the command itself.
func endWithGroup(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
}
