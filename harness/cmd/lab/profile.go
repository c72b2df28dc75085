//go:build !light

package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/asynclab/asynclab/harness/course"
	"github.com/asynclab/asynclab/harness/profiles"
	"github.com/asynclab/asynclab/harness/report"
	"github.com/spf13/cobra"
)

// profileOptions is what the student may ask for.
type profileOptions struct {
	target string // whose load to run
	top    int    // rows of each table
	web    string // "cpu", "heap", ...: open this profile in pprof's web pages
	alone  bool   // do not profile the reference
}

func profileCommand() *cobra.Command {
	var o profileOptions
	var sideName string
	cmd := &cobra.Command{
		Use:   "profile LAB",
		Short: "where the time and memory go, beside the reference's",
		Args:  cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := findClone()
			if err != nil {
				return err
			}
			lab, err := labNamed(args, c.nextUnfinished)
			if err != nil {
				return err
			}
			s, err := sideOf(lab, sideName)
			if err != nil {
				return err
			}
			return c.profile(cmd.Context(), lab, s, o, cmd.OutOrStdout())
		},
	}
	sideFlag(cmd, &sideName)
	cmd.Flags().StringVar(&o.target, "target", "", "the target whose load is run; by default the last one with messages in it")
	cmd.Flags().IntVar(&o.top, "top", 10, "rows of each table")
	cmd.Flags().StringVar(&o.web, "web", "", "afterwards open cpu, heap, mutex or block in the browser (go tool pprof -http)")
	cmd.Flags().BoolVar(&o.alone, "alone", false, "leave the reference out")
	return cmd
}

// kinds of profiles, in the order of the report. sample is the type of sample
// that is added up.
var profileKinds = []struct{ name, flag, sample, about string }{
	{"cpu", "cpuprofile", "cpu", "CPU time"},
	{"heap", "memprofile", "alloc_space", "bytes allocated"},
	{"mutex", "mutexprofile", "delay", "time waited for locks"},
	{"block", "blockprofile", "delay", "time waited for channels and locks"},
}

// profile runs one target's load on a side, and on the reference, with every
// profile on, and prints where it went.
func (c clone) profile(ctx context.Context, lab course.Lab, s side, o profileOptions, out io.Writer) error {
	work, done, err := c.workspace()
	if err != nil {
		return err
	}
	defer done()
	screen := newScreen(out)
	defer screen.close()

	own, err := c.profileSide(ctx, s, &o, work, screen)
	if err != nil {
		return err
	}
	var reference map[string]profiles.Summary
	if !o.alone && s.Name != "solutions" {
		r, err := sideOf(lab, "solutions")
		if err != nil {
			return err
		}
		if reference, err = c.profileSide(ctx, r, &o, work, screen); err != nil {
			return err
		}
	}
	screen.status("")
	c.showProfiles(s, o, own, reference, out)
	if o.web == "" {
		fmt.Fprintf(out, "look closer: go tool pprof -http 127.0.0.1:0 %s\n", c.profilePath(s, "cpu"))
		return nil
	}
	return c.openWeb(ctx, s, o.web, out)
}

func (c clone) profilePath(s side, kind string) string {
	return c.state("profiles", s.Dir, s.Name, kind+".pb.gz")
}

// profileSide builds a side, runs the load, and reads what was written.
func (c clone) profileSide(ctx context.Context, s side, o *profileOptions, work string, screen *screen) (map[string]profiles.Summary, error) {
	screen.status("building %s", s.Folder)
	b, err := c.build(ctx, work, s.Folder, false)
	if err != nil {
		return nil, fmt.Errorf("build %s: %w", s.Folder, err)
	}
	if o.target == "" {
		_, targets, err := c.list(ctx, b)
		if err != nil {
			return nil, err
		}
		o.target = loadOf(targets)
	}
	if err := os.MkdirAll(filepath.Dir(c.profilePath(s, "cpu")), 0o755); err != nil {
		return nil, err
	}
	screen.status("running %s on %s with profiles on", o.target, s.Folder)
	args := []string{"-test.run=^$", "-test.bench=" + exactly("Benchmark", o.target), "-test.benchtime=1x", "-test.memprofilerate=4096"}
	for _, k := range profileKinds {
		args = append(args, "-test."+k.flag+"="+c.profilePath(s, k.name))
	}
	end, err := c.run(ctx, b, job{args: args})
	if err != nil {
		return nil, err
	}
	if verdict, finding, _ := c.judge(end); verdict != report.Passed {
		return nil, fmt.Errorf("%s did not get through %s: %s (make the checks green first: make check)", s.Folder, o.target, finding.Happened)
	}
	all := map[string]profiles.Summary{}
	for _, k := range profileKinds {
		if all[k.name], err = profiles.ReadFile(c.profilePath(s, k.name), k.sample); err != nil {
			return nil, err
		}
	}
	return all, nil
}

// loadOf chooses a target to profile: the last with messages, for it has the
// most in flight, or the last of all.
func loadOf(targets []report.Target) string {
	name := ""
	for _, t := range targets {
		if strings.HasPrefix(t.Unit, "messages") || name == "" {
			name = t.Name
		}
	}
	return name
}

func (c clone) showProfiles(s side, o profileOptions, own, reference map[string]profiles.Summary, out io.Writer) {
	text := report.TextFor(out)
	fmt.Fprintf(out, "%s  %s, load of %s\n", text.Bold("profile of lab "+s.Dir), s.Folder, o.target)
	for _, k := range profileKinds {
		sum := own[k.name]
		fmt.Fprintf(out, "\n%s  %s\n", text.Bold(k.about), amount(sum))
		if sum.Total == 0 {
			continue
		}
		if k.name == "cpu" {
			fmt.Fprint(out, text.Table(kindTable(sum, reference[k.name])))
			fmt.Fprintln(out, text.Dim("  kernel: inside system calls; runtime: scheduler, collector, locks; harness: the judge, in the same process"))
		}
		fmt.Fprint(out, text.Table(rowTable("package", sum.Packages, o.top)))
		fmt.Fprint(out, text.Table(rowTable("function (for kernel: the caller)", sum.Functions, o.top)))
	}
	if ref, ok := reference["cpu"]; ok {
		fmt.Fprintf(out, "\n%s\n", text.Bold("CPU time: your shares beside the reference's, the largest difference first"))
		fmt.Fprint(out, text.Table(changeTable(profiles.Compare(own["cpu"], ref), o.top)))
	}
}

func amount(s profiles.Summary) string {
	switch s.Unit {
	case "nanoseconds":
		return report.Number(s.Total/1e9) + " s"
	case "bytes":
		return report.Number(s.Total/(1<<20)) + " MiB"
	}
	return report.Number(s.Total) + " " + s.Unit
}

func kindTable(own, reference profiles.Summary) report.Table {
	t := report.Table{Head: []string{"where", "share"}}
	if reference.Total > 0 {
		t.Head = append(t.Head, "reference")
	}
	for _, k := range profiles.Kinds {
		row := []string{string(k), percent(own.Kinds[k])}
		if reference.Total > 0 {
			row = append(row, percent(reference.Kinds[k]))
		}
		t.Add(row...)
	}
	return t
}

func rowTable(what string, rows []profiles.Row, top int) report.Table {
	t := report.Table{Head: []string{"share", "where", what}}
	for _, r := range rows[:min(top, len(rows))] {
		t.Add(percent(r.Part), string(r.Kind), short(r.Name))
	}
	return t
}

func changeTable(rows []profiles.Change, top int) report.Table {
	t := report.Table{Head: []string{"you", "reference", "where", "package"}}
	for _, r := range rows[:min(top, len(rows))] {
		t.Add(percent(r.Mine), percent(r.Other), string(r.Kind), short(r.Name))
	}
	return t
}

func percent(share float64) string { return fmt.Sprintf("%.1f%%", 100*share) }

// short leaves the module's path out: what is ours is known by its folder.
func short(name string) string { return strings.ReplaceAll(name, course.Module+"/", "") }

// openWeb serves a profile with pprof's own pages until Ctrl-C.
func (c clone) openWeb(ctx context.Context, s side, kind string, out io.Writer) error {
	path := c.profilePath(s, kind)
	if _, err := os.Stat(path); err != nil {
		return fmt.Errorf("no profile %q: there are cpu, heap, mutex and block", kind)
	}
	fmt.Fprintln(out, "pprof serves the profile until Ctrl-C")
	cmd := exec.CommandContext(ctx, "go", "tool", "pprof", "-http", "127.0.0.1:0", path)
	cmd.Stdout, cmd.Stderr = out, os.Stderr
	endWithGroup(cmd)
	err := cmd.Run()
	if ctx.Err() != nil {
		return nil // Ctrl-C is how it is meant to end
	}
	return err
}
