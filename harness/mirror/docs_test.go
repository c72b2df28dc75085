package mirror

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
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

var (
	link     = regexp.MustCompile(`\]\(([^)\s]+)\)`)
	makeCall = regexp.MustCompile("(?m)(?:^|`)make ([a-z-]+)([^`\n]*)")
	labWord  = regexp.MustCompile(`LAB=([A-Za-z0-9-]+)`)
	target   = regexp.MustCompile(`(?m)^([a-z-]+):`)
	check    = regexp.MustCompile("`([A-Z][a-z]+(?:[A-Z][a-z]+)+)`")
	ruleName = regexp.MustCompile(`Name:\s+"([A-Z][A-Za-z]+)"`)
)

func TestLinksLeadSomewhere(t *testing.T) {
	for name, text := range documents(t) {
		for _, m := range link.FindAllStringSubmatch(text, -1) {
			path, _, _ := strings.Cut(m[1], "#")
			if path == "" || strings.Contains(path, "://") || strings.HasPrefix(path, "mailto:") {
				continue
			}
			_, err := os.Stat(filepath.Join(root, filepath.Dir(name), path))
			require.NoError(t, err, "%s links to %s", name, m[1])
		}
	}
}

func TestMakeCommandsInDocumentsExist(t *testing.T) {
	makefile, err := os.ReadFile(filepath.Join(root, "Makefile"))
	require.NoError(t, err)
	targets := map[string]bool{}
	for _, m := range target.FindAllStringSubmatch(string(makefile), -1) {
		targets[m[1]] = true
	}
	for name, text := range documents(t) {
		for _, m := range makeCall.FindAllStringSubmatch(text, -1) {
			require.True(t, targets[m[1]], "%s says `make %s`, which the Makefile does not have", name, m[1])
			for _, l := range labWord.FindAllStringSubmatch(m[2], -1) {
				if l[1] == "NN" {
					continue
				}
				_, err := course.Find(l[1])
				require.NoError(t, err, name)
			}
		}
	}
}

// A check named in a handout is a rule of that lab, and no word that looks like
// one is left over from an earlier draft.
func TestChecksNamedInHandoutsExist(t *testing.T) {
	docs := documents(t)
	for _, lab := range built() {
		handout := docs[lab.Path("labs")+"/README.md"]
		require.NotEmpty(t, handout, lab.Dir())
		handout, _, _ = strings.Cut(handout, "## Going further") // names other people's code
		rules := map[string]bool{}
		files, err := filepath.Glob(filepath.Join(root, lab.Judge(), "*.go"))
		require.NoError(t, err)
		for _, file := range files {
			text, err := os.ReadFile(file)
			require.NoError(t, err)
			for _, m := range ruleName.FindAllStringSubmatch(string(text), -1) {
				rules[m[1]] = true
			}
		}
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
		require.True(t, words >= 1500 && words <= 4500, "%s: %d words", lab.Dir(), words)
		require.GreaterOrEqual(t, strings.Count(handout, "<details>"), 5, "%s: questions with answers", lab.Dir())
		for _, part := range []string{"## Where it sits", "## The contract", "## Predict before coding", "## Targets", "## Questions", "## What the checks do not cover", "## Going further", "autopsy"} {
			require.True(t, strings.Contains(handout, part), "%s: the part %q is missing", lab.Dir(), part)
		}
		require.False(t, strings.Contains(handout, "@@"), "%s: a figure is missing", lab.Dir())
	}
}
