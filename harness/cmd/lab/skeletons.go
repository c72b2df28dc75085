package main

import (
	"embed"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"

	"github.com/asynclab/asynclab/harness/course"
	"github.com/spf13/cobra"
	"golang.org/x/tools/txtar"
)

// The skeletons as they are handed out, one archive a lab. They are stored here
// because no other place has them for sure: a student commits their own work
// over labs, a clone may be shallow or a plain download without git, and the
// skeleton of the oldest commit may be out of date. `make skeletons` writes
// them from labs; a test holds them equal in the course's own repository.
//
//go:embed skeletons/*.txtar
var skeletons embed.FS

// skeleton returns the files of a lab as it is handed out.
func skeleton(lab course.Lab) (sources, error) {
	text, err := skeletons.ReadFile("skeletons/" + lab.Dir() + ".txtar")
	if err != nil {
		return nil, fmt.Errorf("no skeleton is stored for lab %s (authors: make skeletons)", lab.Dir())
	}
	files := sources{}
	for _, f := range txtar.Parse(text).Files {
		files[f.Name] = f.Data
	}
	return files, nil
}

func skeletonsCommand() *cobra.Command {
	var write bool
	cmd := &cobra.Command{
		Use:    "skeletons",
		Short:  "for authors: store the skeletons that make reset puts back",
		Hidden: true,
		Args:   cobra.NoArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			if !write {
				return errors.New("this takes labs as they are now for the skeletons: say --write if they are the skeletons")
			}
			c, err := findClone()
			if err != nil {
				return err
			}
			return c.storeSkeletons()
		},
	}
	cmd.Flags().BoolVar(&write, "write", false, "write harness/cmd/lab/skeletons from labs")
	return cmd
}

func (c clone) storeSkeletons() error {
	labs, err := builtLabs(nil)
	if err != nil {
		return err
	}
	for _, lab := range labs {
		files, err := goFilesOf(c.path(lab.Path("labs")), every)
		if err != nil {
			return err
		}
		if len(files) == 0 {
			continue // not written yet
		}
		if err := os.WriteFile(c.path("harness", "cmd", "lab", "skeletons", lab.Dir()+".txtar"), archive(files), 0o644); err != nil {
			return err
		}
	}
	return nil
}

func archive(files sources) []byte {
	a := &txtar.Archive{}
	for _, name := range slices.Sorted(maps.Keys(files)) {
		a.Files = append(a.Files, txtar.File{Name: name, Data: files[name]})
	}
	return txtar.Format(a)
}
