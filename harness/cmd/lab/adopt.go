package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/asynclab/asynclab/harness/course"
	"github.com/spf13/cobra"
)

func adoptCommand() *cobra.Command {
	return replaceCommand("adopt", "the reference", func(c clone, lab course.Lab) (sources, error) {
		return goFilesOf(c.path(lab.Path("solutions")), func(name string) bool {
			return !strings.HasSuffix(name, "_test.go") || name == lab.Name+"_test.go"
		})
	})
}

func resetCommand() *cobra.Command {
	return replaceCommand("reset", "the skeleton", func(_ clone, lab course.Lab) (sources, error) { return skeleton(lab) })
}

// replaceCommand makes a command that puts other files in place of the
// student's.
func replaceCommand(verb, what string, find func(clone, course.Lab) (sources, error)) *cobra.Command {
	var yes bool
	cmd := &cobra.Command{
		Use:   verb + " LAB",
		Short: "put " + what + " in place of your code, which is kept",
		Args:  cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 || args[0] == "" {
				return fmt.Errorf("%s which lab? make %s LAB=01", verb, verb)
			}
			c, err := findClone()
			if err != nil {
				return err
			}
			lab, err := course.Find(args[0])
			if err != nil {
				return err
			}
			if refusal := lab.Refusal(); refusal != "" {
				return errors.New(refusal)
			}
			files, err := find(c, lab)
			if err != nil {
				return err
			}
			question := fmt.Sprintf("put %s in place of your code in %s? yours is kept in .asynclab/backup (y/n) ", what, lab.Path("labs"))
			if !yes && !confirmed(cmd.InOrStdin(), cmd.OutOrStdout(), question) {
				fmt.Fprintln(cmd.OutOrStdout(), "nothing was changed")
				return exit(1)
			}
			return c.replace(lab, files, what, cmd.OutOrStdout())
		},
	}
	cmd.Flags().BoolVar(&yes, "yes", false, "do not ask")
	return cmd
}

// confirmed asks where somebody can answer; a script has said what it wants.
func confirmed(in io.Reader, out io.Writer, question string) bool {
	if !isTerminal(in) {
		return true
	}
	fmt.Fprint(out, question)
	answer, _ := bufio.NewReader(in).ReadString('\n')
	return strings.HasPrefix(strings.ToLower(strings.TrimSpace(answer)), "y")
}

// sources are a package's Go files, by name.
type sources map[string][]byte

func goFilesOf(dir string, want func(name string) bool) (sources, error) {
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	files := sources{}
	for _, e := range entries {
		if !e.Type().IsRegular() || !strings.HasSuffix(e.Name(), ".go") || !want(e.Name()) {
			continue
		}
		if files[e.Name()], err = os.ReadFile(filepath.Join(dir, e.Name())); err != nil {
			return nil, err
		}
	}
	return files, nil
}

func every(string) bool { return true }

// replace makes files the Go files of the student's lab. What was there is
// copied first, whole; a failure half-way loses nothing.
func (c clone) replace(lab course.Lab, files sources, what string, out io.Writer) error {
	if len(files) == 0 {
		return fmt.Errorf("%s of lab %s is not in this clone: git status shows what is missing", what, lab.Dir())
	}
	folder := lab.Path("labs")
	before, err := goFilesOf(c.path(folder), every)
	if err != nil {
		return err
	}
	if maps.EqualFunc(before, files, bytes.Equal) {
		fmt.Fprintf(out, "%s has %s already: nothing was changed\n", folder, what)
		return nil
	}
	backup, err := c.backup(lab, before)
	if err != nil {
		return fmt.Errorf("keep a copy of %s (nothing was changed): %w", folder, err)
	}
	restore := fmt.Sprintf("rm %s/*.go && cp %s/*.go %s/", folder, backup, folder)
	if err := exchange(c.path(folder), before, files); err != nil {
		return fmt.Errorf("put %s into %s (your code is in %s; put it back with: %s): %w", what, folder, backup, restore, err)
	}
	fmt.Fprintf(out, "%s now has %s: %s\n", folder, what, strings.Join(slices.Sorted(maps.Keys(files)), ", "))
	if len(before) > 0 {
		fmt.Fprintf(out, "your code is kept in %s; to put it back:\n  %s\n", backup, restore)
	}
	return nil
}

// backup copies files to a new folder and returns its path, from the root where
// it is below it.
func (c clone) backup(lab course.Lab, files sources) (string, error) {
	parent := c.state("backup", lab.Dir())
	if err := os.MkdirAll(parent, 0o755); err != nil {
		return "", err
	}
	name := time.Now().Format("20060102-150405")
	dir := filepath.Join(parent, name)
	for n := 2; ; n++ {
		err := os.Mkdir(dir, 0o755)
		if err == nil {
			break
		}
		if !errors.Is(err, fs.ErrExist) {
			return "", err
		}
		dir = filepath.Join(parent, fmt.Sprintf("%s-%d", name, n)) // twice in a second
	}
	return c.relative(dir), exchange(dir, nil, files)
}

// exchange removes the files of before from dir and writes those of after.
func exchange(dir string, before, after sources) error {
	for name := range before {
		if _, stays := after[name]; stays {
			continue
		}
		if err := os.Remove(filepath.Join(dir, name)); err != nil {
			return err
		}
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	for name, text := range after {
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o644); err != nil {
			return err
		}
	}
	return nil
}
