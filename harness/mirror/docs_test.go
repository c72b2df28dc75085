package mirror

import (
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/asynclab/asynclab/harness/course"
	"github.com/stretchr/testify/require"
)

// documents reads every Markdown file of the repository, by its path from the
// root.
func documents(t *testing.T) map[string]string {
	docs := map[string]string{}
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && strings.HasPrefix(d.Name(), ".") && d.Name() != ".." && path != root {
			return filepath.SkipDir
		}
		if strings.HasSuffix(path, ".md") {
			text, err := os.ReadFile(path)
			rel, _ := filepath.Rel(root, path)
			docs[rel] = string(text)
			return err
		}
		return nil
	})
	require.NoError(t, err)
	require.NotEmpty(t, docs)
	return docs
}

// parsed are all documents, cut into sections, in the order of their paths.
func parsed(t *testing.T) (all []doc) {
	docs := documents(t)
	for _, path := range slices.Sorted(maps.Keys(docs)) {
		all = append(all, parseDoc(path, docs[path]))
	}
	return all
}

var (
	link     = regexp.MustCompile(`\]\(([^)\s]+)\)`)
	check    = regexp.MustCompile("`([A-Z][a-z]+(?:[A-Z][a-z]+)+)`")
	ruleName = regexp.MustCompile(`Name:\s+"([A-Z][A-Za-z]+)"`)
)

// Links lead to files, and, behind a #, to headings.
func TestLinksLeadSomewhere(t *testing.T) {
	anchors := map[string]map[string]bool{}
	for _, d := range parsed(t) {
		anchors[d.path] = d.anchors()
	}
	for _, d := range parsed(t) {
		for _, s := range d.sections {
			for _, m := range link.FindAllStringSubmatch(codeSpan.ReplaceAllString(s.prose+s.heading, ""), -1) {
				path, anchor, _ := strings.Cut(m[1], "#")
				if strings.Contains(path, "://") || strings.HasPrefix(path, "mailto:") {
					continue
				}
				file := d.path
				if path != "" {
					file = filepath.Join(filepath.Dir(d.path), path)
				}
				if _, err := os.Stat(filepath.Join(root, file)); err != nil {
					t.Errorf("%s links to %s, which is not there", d.path, m[1])
				} else if anchor != "" && !anchors[file][anchor] {
					t.Errorf("%s links to %s, which has no heading for #%s", d.path, m[1], anchor)
				}
			}
		}
	}
}

// Wherever a document says "lab 07" or "labs 09 to 12", there are such labs.
func TestLabsNamedInDocumentsExist(t *testing.T) {
	named := regexp.MustCompile(`\b[Ll]ab \d\d\b|\b[Ll]abs \d\d\b(?:(?:,| and| to| or|, and) \d\d\b)*`)
	for _, d := range parsed(t) {
		for _, m := range named.FindAllString(d.text, -1) {
			for _, id := range regexp.MustCompile(`\d\d`).FindAllString(m, -1) {
				_, err := course.Find(id)
				require.NoError(t, err, "%s: %q", d.path, m)
			}
		}
	}
}

// rules are the names of all rules of a judge.
func rules(t *testing.T, lab course.Lab) map[string]bool {
	all := map[string]bool{}
	files, err := filepath.Glob(filepath.Join(root, lab.Judge(), "*.go"))
	require.NoError(t, err)
	for _, file := range files {
		text, err := os.ReadFile(file)
		require.NoError(t, err)
		for _, m := range ruleName.FindAllStringSubmatch(string(text), -1) {
			all[m[1]] = true
		}
	}
	return all
}

// A check that a document speaks of is some judge's: where the words say that
// it is a check, and in every table with a column of checks. Other names there
// are code.
func TestChecksNamedInDocumentsExist(t *testing.T) {
	all := map[string]bool{}
	for _, lab := range built() {
		for name := range rules(t, lab) {
			all[name] = true
		}
	}
	said := regexp.MustCompile("(?:[Cc]hecks?|[Rr]ules?|green:?|[Ee]xposed by|[Rr]efused by) \\[?`([A-Z][a-z]+(?:[A-Z][a-z]+)+)`")
	for _, d := range parsed(t) {
		for _, s := range d.sections {
			for _, m := range said.FindAllStringSubmatch(s.prose, -1) {
				require.True(t, all[m[1]], "%s, %q: no judge has a check %s", d.path, s.heading, m[1])
			}
			for _, table := range tables(s.prose) {
				for _, name := range checkColumn(table) {
					require.True(t, all[name], "%s, %q: no judge has a check %s", d.path, s.heading, name)
				}
			}
		}
	}
}

// checkColumn is the names in those columns of a table that are of checks.
func checkColumn(table string) (names []string) {
	lines := strings.Split(table, "\n")
	head := strings.Split(lines[0], "|")
	for _, line := range lines[1:] {
		for i, cell := range strings.Split(line, "|") {
			if i < len(head) && regexp.MustCompile(`^(?:checks?|exposed by|refused by)$`).MatchString(strings.TrimSpace(head[i])) {
				for _, m := range check.FindAllStringSubmatch(cell, -1) {
					names = append(names, m[1])
				}
			}
		}
	}
	return names
}

// A check named in a handout is a rule of that lab, and no word that looks like
// one is left over from an earlier draft.
func TestChecksNamedInHandoutsExist(t *testing.T) {
	docs := documents(t)
	for _, lab := range built() {
		handout := docs[lab.Path("labs")+"/README.md"]
		require.NotEmpty(t, handout, lab.Dir())
		handout, _, _ = strings.Cut(handout, "## Going further") // names other people's code
		rules := rules(t, lab)
		exported := faces(t, lab)
		for _, m := range check.FindAllStringSubmatch(handout, -1) {
			if !rules[m[1]] && !strings.Contains(exported, m[1]) {
				t.Errorf("%s names the check %s, which its judge does not have", lab.Dir(), m[1])
			}
		}
	}
}

// faces is all that a lab, and what it stands on, exports: these names are no
// checks.
func faces(t *testing.T, lab course.Lab) string {
	var all strings.Builder
	for _, l := range built() {
		set, files := parse(t, l.Path("solutions"))
		for _, f := range files {
			all.WriteString(face(t, set, f))
		}
		if l.ID == lab.ID {
			break
		}
	}
	return all.String()
}

// Handouts are of comparable depth.
func TestHandoutsAreWhole(t *testing.T) {
	docs := documents(t)
	for _, lab := range built() {
		handout := docs[lab.Path("labs")+"/README.md"]
		words := len(strings.Fields(handout))
		require.True(t, words >= 1500 && words <= 4000, "%s: %d words, of 1,500 to 4,000", lab.Dir(), words)
		require.GreaterOrEqual(t, strings.Count(handout, "<details>"), 5, "%s: questions with answers", lab.Dir())
		require.Positive(t, diagrams(parseDoc(lab.Dir(), handout)), "%s: a diagram", lab.Dir())
		for _, part := range []string{"## Where it sits", "## The contract", "## Predict before coding", "## Targets", "## Questions", "## What the checks do not cover", "## Going further", "autopsy"} {
			require.True(t, strings.Contains(handout, part), "%s: the part %q is missing", lab.Dir(), part)
		}
		require.False(t, strings.Contains(handout, "@@"), "%s: a figure is missing", lab.Dir())
	}
}

// diagrams counts pictures made of signs.
func diagrams(d doc) (n int) {
	for _, s := range d.sections {
		for _, f := range s.fences {
			if f.isDiagram() {
				n++
			}
		}
	}
	return n
}
