package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/asynclab/asynclab/harness/course"
	"github.com/asynclab/asynclab/harness/report"
)

// A clone is a working copy of the repository.
type clone struct {
	root    string
	private string // folder of what is the student's alone: root/.asynclab
	overlay string // files that builds take instead of those on disk (see [overlay]); empty for none
}

// findClone looks for the repository from the current folder upward.
func findClone() (clone, error) {
	start, err := os.Getwd()
	if err != nil {
		return clone{}, err
	}
	for dir := start; ; dir = filepath.Dir(dir) {
		mod, err := os.ReadFile(filepath.Join(dir, "go.mod"))
		if err == nil && bytes.HasPrefix(mod, []byte("module "+course.Module+"\n")) {
			return clone{root: dir, private: filepath.Join(dir, ".asynclab")}, nil
		}
		if dir == filepath.Dir(dir) {
			return clone{}, fmt.Errorf("%s is not inside a clone of asynclab: cd into the clone and run the command again", start)
		}
	}
}

// path joins names below the repository's root.
func (c clone) path(names ...string) string {
	return filepath.Join(append([]string{c.root}, names...)...)
}

// environ is the environment of the go command and of a lab's process: the
// capstone's judge builds its program itself.
func (c clone) environ() []string {
	env := os.Environ()
	if c.overlay != "" {
		env = append(env, "GOFLAGS="+os.Getenv("GOFLAGS")+" '-overlay="+c.overlay+"'")
	}
	return env
}

// state is where a clone keeps what is the student's alone: history, the last
// report, hints given, backups, binaries. Git ignores it.
func (c clone) state(names ...string) string {
	return filepath.Join(append([]string{c.private}, names...)...)
}

func (c clone) history() report.History { return report.History{Path: c.state("history.jsonl")} }

// workspace makes a folder for one command's binaries; done removes it. Those of
// commands that were killed are removed after a day.
func (c clone) workspace() (dir string, done func(), err error) {
	if err := os.MkdirAll(c.state(), 0o755); err != nil {
		return "", nil, fmt.Errorf("make %s: %w", c.state(), err)
	}
	old, _ := filepath.Glob(c.state("run-*"))
	for _, o := range old {
		if info, err := os.Stat(o); err == nil && time.Since(info.ModTime()) > 24*time.Hour {
			os.RemoveAll(o)
		}
	}
	dir, err = os.MkdirTemp(c.state(), "run-")
	return dir, func() { os.RemoveAll(dir) }, err
}

// A side is one package that a judge can look at: the student's or the
// reference's.
type side struct {
	Lab    string // ID: "03"
	Dir    string // "03-eventloop"
	Name   string // "labs" or "solutions"
	Folder string // from the root: "labs/03-eventloop"

	Handout string // from the root: "labs/03-eventloop/README.md"
}

var errSide = errors.New("a side is labs (yours) or solutions (the reference): SIDE=labs or SIDE=solutions")

// sideOf finds the package of lab on a side. It refuses labs that are not built.
func sideOf(lab course.Lab, name string) (side, error) {
	if name != "labs" && name != "solutions" {
		return side{}, errSide
	}
	if refusal := lab.Refusal(); refusal != "" {
		return side{}, errors.New(refusal)
	}
	return side{Lab: lab.ID, Dir: lab.Dir(), Name: name, Folder: lab.Path(name), Handout: lab.Path("labs") + "/README.md"}, nil
}

// labNamed finds the lab of a command's arguments; without one, next chooses.
func labNamed(args []string, next func() (course.Lab, error)) (course.Lab, error) {
	if len(args) == 0 || args[0] == "" {
		return next()
	}
	return course.Find(args[0])
}

// nextUnfinished is the first lab that no run of the student's has finished.
func (c clone) nextUnfinished() (course.Lab, error) {
	all, err := c.history().Entries()
	if err != nil {
		return course.Lab{}, err
	}
	standing := report.Standings(all, "labs")
	for _, lab := range course.Labs {
		if lab.Built && !standing[lab.ID].Done() {
			return lab, nil
		}
	}
	return course.Lab{}, errors.New("every lab that is built is finished: look back with make progress, or name one with LAB=NN")
}

// findLabs is the clone, and the labs that args name: one of them or all.
func findLabs(args []string) (clone, []course.Lab, error) {
	c, err := findClone()
	if err != nil {
		return c, nil, err
	}
	labs, err := builtLabs(args)
	return c, labs, err
}

// builtLabs lists the labs there are, or the one that is named.
func builtLabs(args []string) ([]course.Lab, error) {
	if len(args) > 0 && args[0] != "" {
		lab, err := course.Find(args[0])
		if err != nil {
			return nil, err
		}
		if refusal := lab.Refusal(); refusal != "" {
			return nil, errors.New(refusal)
		}
		return []course.Lab{lab}, nil
	}
	var all []course.Lab
	for _, lab := range course.Labs {
		if lab.Built {
			all = append(all, lab)
		}
	}
	return all, nil
}
