// Command peers measures other people's WebSocket servers beside the reference
// capstone: the same client, the same machine, in turns. See README.md.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"

	"github.com/asynclab/asynclab/harness/load"
)

func main() {
	load.BecomeSwarm()
	rounds := flag.Int("rounds", 3, "times that each server is measured, in turns")
	only := flag.String("only", "", "servers, separated by commas: "+strings.Join(names(), ","))
	scenario := flag.String("scenario", "", "scenarios, separated by commas: "+strings.Join(scenarioNames(), ","))
	asJSON := flag.Bool("json", false, "print JSON")
	flag.Func("with", "one more server, NAME=COMMAND: it prints \"listening on ADDRESS\" and serves /echo and /room/NAME; may be given again", func(v string) error {
		s, err := given(v)
		servers = append(servers, s)
		return err
	})
	flag.Parse()
	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer cancel()
	if err := run(ctx, *rounds, *only, *scenario, *asJSON); err != nil {
		fmt.Fprintln(os.Stderr, "peers:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, rounds int, only, scenario string, asJSON bool) error {
	chosen, err := choose(servers, only, func(s server) string { return s.name })
	if err != nil {
		return err
	}
	acts, err := choose(scenarios, scenario, func(s scene) string { return s.name })
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "asynclab-peers-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	var ready []server
	for _, s := range chosen {
		fmt.Fprintf(os.Stderr, "building %s\n", s.name)
		if err := s.build(ctx, &s, dir); err != nil {
			fmt.Fprintf(os.Stderr, "  left out: %v\n", err)
			continue
		}
		ready = append(ready, s)
	}
	t := table{Servers: ready, Scenes: acts, Cells: map[string][]figure{}}
	total, done := rounds*len(acts)*len(ready), 0
	for round := range rounds {
		for _, a := range acts {
			for i := range ready {
				s := ready[(i+round)%len(ready)] // not always after the same one
				if ctx.Err() != nil {
					return ctx.Err()
				}
				done++
				progress(done, total, s.name+", "+a.name)
				f, err := measure(ctx, s, a)
				if err != nil {
					f.Word = word(err)
				}
				t.add(s, a, f)
			}
		}
	}
	progress(total, total, "")
	if asJSON {
		e := json.NewEncoder(os.Stdout)
		e.SetIndent("", "  ")
		return e.Encode(t)
	}
	t.print(os.Stdout, rounds)
	return nil
}

// choose picks those of all that a comma-separated list names; all if it is
// empty.
func choose[T any](all []T, list string, name func(T) string) (chosen []T, err error) {
	if list == "" {
		return all, nil
	}
	for n := range strings.SplitSeq(list, ",") {
		i := slices.IndexFunc(all, func(t T) bool { return name(t) == n })
		if i < 0 {
			return nil, fmt.Errorf("no %q: see -help for what there is", n)
		}
		chosen = append(chosen, all[i])
	}
	return chosen, nil
}

// progress draws one line on a terminal, and prints it elsewhere.
func progress(done, total int, what string) {
	end := "\n"
	if info, err := os.Stderr.Stat(); err == nil && info.Mode()&os.ModeCharDevice != 0 {
		end = "\x1b[K\r"
		if done == total && what == "" {
			end = "\x1b[K\n"
		}
	}
	fmt.Fprintf(os.Stderr, "[%3d/%3d] %s%s", done, total, what, end)
}

// word is what stands in the table for a server that failed.
func word(err error) string {
	s := err.Error()
	return s[:min(len(s), 60)]
}
