package book

import (
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/asynclab/asynclab/harness/course"
)

// contentsFile is the one place that says which documents are in the book, and
// in which order.
const contentsFile = "docs/contents.md"

// A Part is a run of chapters under one name.
type Part struct {
	Title string
	Pages []*Page
}

// An entry is a line of the contents: a document's path and what to call it.
type entry struct {
	title, path string
	nested      bool // belongs to the entry before it
}

var (
	partLine  = regexp.MustCompile(`^## (.+)$`)
	entryLine = regexp.MustCompile(`^( *)- \[(.+?)\]\((.+?)\)`)
	labsLine  = "<!-- labs -->"
)

// contents reads docs/contents.md: a part for each heading, a chapter for each
// item with a link. In place of the line <!-- labs --> stand the handouts of
// all labs that are built, in the course's order, each with its chapter
// docs/labs/NN-X.md where there is one.
func contents(root string) (titles []string, parts [][]entry, err error) {
	text, err := os.ReadFile(filepath.Join(root, contentsFile))
	if err != nil {
		return nil, nil, fmt.Errorf("read the book's contents: %w", err)
	}
	add := func(e ...entry) error {
		if len(parts) == 0 {
			return fmt.Errorf("%s: %s stands before the first part, a line that begins with ##", contentsFile, e[0].path)
		}
		parts[len(parts)-1] = append(parts[len(parts)-1], e...)
		return nil
	}
	for line := range strings.Lines(string(text)) {
		line = strings.TrimRight(line, "\r\n")
		if m := partLine.FindStringSubmatch(line); m != nil {
			titles, parts = append(titles, curl(m[1])), append(parts, nil)
		}
		if m := entryLine.FindStringSubmatch(line); m != nil {
			err = add(entry{curl(m[2]), path.Join(path.Dir(contentsFile), m[3]), m[1] != ""})
		}
		if line == labsLine {
			err = add(labEntries(root)...)
		}
		if err != nil {
			return nil, nil, err
		}
	}
	if len(parts) == 0 {
		return nil, nil, fmt.Errorf("%s has no part: a line that begins with ##", contentsFile)
	}
	return titles, parts, nil
}

// curl makes an apostrophe of the keyboard one for print, as goldmark does in
// running text.
func curl(s string) string { return strings.ReplaceAll(s, "'", "’") }

// labEntries are the handouts and chapters of the labs that are built.
func labEntries(root string) (all []entry) {
	for _, lab := range course.Labs {
		if !lab.Built {
			continue
		}
		title := lab.ID + " " + lab.Title
		if lab.ID == lab.Name {
			title = "Capstone: " + lab.Title
		}
		all = append(all, entry{title: title, path: lab.Path("labs") + "/README.md"})
		chapter := "docs/labs/" + lab.Dir() + ".md"
		if _, err := os.Stat(filepath.Join(root, chapter)); err == nil {
			all = append(all, entry{title: "Chapter", path: chapter, nested: true})
		}
	}
	return all
}

// Forgotten lists what the contents say wrongly: documents below docs/ that
// they leave out, and listed ones that do not exist.
func Forgotten(root string) (missing, dead []string, err error) {
	_, parts, err := contents(root)
	if err != nil {
		return nil, nil, err
	}
	listed := []string{contentsFile}
	for _, part := range parts {
		for _, e := range part {
			listed = append(listed, e.path)
			if _, err := os.Stat(filepath.Join(root, e.path)); err != nil {
				dead = append(dead, e.path)
			}
		}
	}
	err = filepath.WalkDir(filepath.Join(root, "docs"), func(file string, _ fs.DirEntry, err error) error {
		rel, _ := filepath.Rel(root, file)
		if err == nil && filepath.Ext(file) == ".md" && !slices.Contains(listed, filepath.ToSlash(rel)) {
			missing = append(missing, filepath.ToSlash(rel))
		}
		return err
	})
	return missing, dead, err
}
