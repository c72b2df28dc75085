// Package capstonetest judges the capstone: a broadcast server. It starts the
// program and speaks only the wire, so it judges one in any language.
//
// The program prints "listening on ADDRESS" and, if it has an admin address,
// "admin on ADDRESS", ends in order on SIGTERM, and takes these flags, each also
// as an environment variable (ASYNC_MAX_CONNS; the flag wins):
//
//	-listen -admin               addresses; port 0 takes a free one
//	-max-conns -conn-rate -conns-per-address -origins
//	-max-message -queue-bytes -slow -publish-rate -publish-burst
//	-gap-timeout                 of a number that is missing
//	-heartbeat -zombie -handshake-timeout -close-timeout -drain
//	-loops                       event loops, where the server has any
//	-history -history-rooms      a folder, and the rooms kept there, with commas
//	-log-level                   debug says most; wherever it goes, nobody waits for its reader
//
// A WebSocket to /echo gets back what it sends. One to /room/NAME is a member of
// that room: what a member sends goes to every member, itself included, as it
// is, in the sender's order. With /room/NAME?sender=ME each message begins with
// its number and a space, "1 hello" being the first: a sender's messages may come
// over any of its connections, and again; the room hears each once, in the order
// of the numbers. A number that is missing for -gap-timeout is lost; one that is
// at least 100,000 ahead is dropped, one less than 240 ahead is not; a message
// without a number ends its connection with 1008.
//
// In a kept room each message that members receive begins with its number in the
// room and a space, "1 hello" being the first ever. It is heard by nobody before a
// crash of the process can no longer lose it. A client of /room/NAME?since=N
// receives all that came after N, then "=M", M being the number of the last, and
// then what is new; without since it begins with "=M". What it has missed waits
// for it, whatever -queue-bytes and -slow are. since with any other room, or that
// is no number, is refused with 400.
//
// Anything else is refused with 404. On the admin address are /api/stats (JSON),
// /metrics, /healthz and, at /, the dashboard.
package capstonetest

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/asynclab/asynclab/harness/load"
	"github.com/asynclab/asynclab/harness/spec"
)

// Program is a server to be judged: how it is started, without the flags.
type Program struct {
	Command []string
	Env     []string
}

var suite = spec.Suite[Program]{
	Lab:     "capstone",
	Probe:   probe,
	Rules:   rules,
	Targets: targets,
}

// Test checks the program in folder pkg, which it builds.
func Test(t *testing.T, pkg string) {
	p, err := build(t, pkg)
	if err != nil {
		t.Fatal(err)
	}
	suite.Test(t, p)
}

// Benchmark measures the targets.
func Benchmark(b *testing.B, pkg string) {
	load.BecomeSwarm() // in the child process that makes the load
	becomeStandin()    // in the one that is compared with
	p, err := build(b, pkg)
	if err != nil {
		b.Fatal(err)
	}
	suite.Benchmark(b, p)
}

// build compiles the program. It is not needed where rules are only listed.
func build(t testing.TB, pkg string) (Program, error) {
	if os.Getenv(spec.ListOnly) != "" {
		return Program{}, nil
	}
	bin := filepath.Join(t.TempDir(), "server")
	args := []string{"build", "-o", bin}
	if raceEnabled { // then the program has it, too
		args = append(args, "-race")
	}
	out, err := exec.Command("go", append(args, pkg)...).CombinedOutput()
	if err != nil {
		return Program{}, fmt.Errorf("build %s: %w\n%s", pkg, err, out)
	}
	return Program{Command: []string{bin}}, nil
}

// probe says that a program has not been started to be written: it ends at once
// with that word.
func probe(p Program) error {
	cmd := exec.Command(p.Command[0], append(p.Command[1:], "-listen", "127.0.0.1:0", "-admin", "")...)
	cmd.Env = append(os.Environ(), p.Env...)
	var said strings.Builder
	cmd.Stderr = &said
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	first := make([]byte, 64)
	n, _ := out.Read(first) // its first line, or its end
	cmd.Process.Kill()
	cmd.Wait()
	if _, why, found := strings.Cut(said.String(), "not implemented"); n == 0 && found {
		why, _, _ = strings.Cut(why, "\n")
		return fmt.Errorf("not implemented%s", why)
	}
	return nil
}
