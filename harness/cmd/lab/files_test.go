package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/asynclab/asynclab/harness/course"
	"github.com/asynclab/asynclab/harness/report"
	"github.com/stretchr/testify/require"
)

// tree makes a clone with one lab: the student's files and a reference.
func tree(t *testing.T) (clone, course.Lab) {
	lab, err := course.Find("01")
	require.NoError(t, err)
	root := t.TempDir()
	c := clone{root: root, private: filepath.Join(root, ".asynclab")}
	write(t, c.path("labs", "01-blocking"), sources{"server.go": []byte("mine"), "mine_test.go": []byte("my test"), "README.md": []byte("handout")})
	write(t, c.path("solutions", "01-blocking"), sources{"server.go": []byte("reference"), "conn.go": []byte("reference"), "extra_test.go": []byte("the course's own")})
	return c, lab
}

func write(t *testing.T, dir string, files sources) {
	require.NoError(t, os.MkdirAll(dir, 0o755))
	for name, text := range files {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), text, 0o644))
	}
}

func read(t *testing.T, dir string) sources {
	files, err := goFilesOf(dir, every)
	require.NoError(t, err)
	return files
}

func TestReplacingKeepsTheStudentsCodeAndSaysHowToRestoreIt(t *testing.T) {
	c, lab := tree(t)
	desk := c.path("labs", "01-blocking")
	before := read(t, desk)
	var out bytes.Buffer
	require.NoError(t, c.replace(lab, sources{"server.go": []byte("reference"), "conn.go": []byte("more")}, "the reference", &out))
	require.Equal(t, sources{"server.go": []byte("reference"), "conn.go": []byte("more")}, read(t, desk))
	require.FileExists(t, filepath.Join(desk, "README.md"))

	command := regexp.MustCompile(`(?m)^  (rm .*)$`).FindStringSubmatch(out.String())
	require.NotNil(t, command, out.String())
	shell := exec.Command("sh", "-c", command[1])
	shell.Dir = c.root
	said, err := shell.CombinedOutput()
	require.NoError(t, err, string(said))
	require.Equal(t, before, read(t, desk))
}

func TestTwoBackupsInOneSecondAreTwo(t *testing.T) {
	c, lab := tree(t)
	for _, text := range []string{"a", "b", "c"} {
		require.NoError(t, c.replace(lab, sources{"server.go": []byte(text)}, "the reference", &bytes.Buffer{}))
	}
	backups, err := filepath.Glob(c.state("backup", "01-blocking", "*", "server.go"))
	require.NoError(t, err)
	require.Len(t, backups, 3)
}

func TestReplacingByTheSameChangesNothing(t *testing.T) {
	c, lab := tree(t)
	var out bytes.Buffer
	require.NoError(t, c.replace(lab, read(t, c.path("labs", "01-blocking")), "the reference", &out))
	require.Contains(t, out.String(), "nothing was changed")
	require.NoDirExists(t, c.state("backup"))
}

func TestNothingIsReplacedByNothing(t *testing.T) {
	c, lab := tree(t)
	require.ErrorContains(t, c.replace(lab, sources{}, "the reference", &bytes.Buffer{}), "not in this clone")
	require.Equal(t, "mine", string(read(t, c.path("labs", "01-blocking"))["server.go"]))
}

func TestHintsGoFromTierToTierAndStartOverWhenTheCheckPasses(t *testing.T) {
	c := testClone(t)
	s := fake("none")
	r := &report.Check{Lab: "01", Dir: s.Dir, Side: "labs", Rules: []report.Rule{{Explained: report.Explained{
		Name: "Echoes", Verdict: report.Failed, Section: "Step 1", Hints: []string{"nudge", "fact", "code"}}}}}
	show := func() string {
		var out bytes.Buffer
		require.NoError(t, c.hint(s, &out))
		return out.String()
	}
	require.ErrorContains(t, c.hint(s, &bytes.Buffer{}), "make check LAB=01")
	require.NoError(t, c.remember(r, true))
	require.Contains(t, show(), "nudge")
	require.Contains(t, show(), "fact")
	require.Contains(t, show(), "code")
	last := show()
	require.Contains(t, last, "that was the last hint")
	require.Contains(t, last, "make adopt LAB=01")

	r.Rules[0].Verdict = report.Passed
	require.NoError(t, c.remember(r, true))
	require.Contains(t, show(), "nothing to hint at")
	r.Rules[0].Verdict = report.Failed
	require.NoError(t, c.remember(r, true))
	require.Contains(t, show(), "nudge")
}

func TestTheNextLabIsTheFirstUnfinished(t *testing.T) {
	c := testClone(t)
	lab, err := c.nextUnfinished()
	require.NoError(t, err)
	require.Equal(t, "01", lab.ID)
	require.NoError(t, c.history().Append(report.Entry{Lab: "01", Side: "labs", Outcome: report.AllPoints, Points: 100}))
	require.NoError(t, c.history().Append(report.Entry{Lab: "01", Side: "labs", Outcome: report.SomeFailed, Points: 10}))
	require.NoError(t, c.history().Append(report.Entry{Lab: "02", Side: "solutions", Outcome: report.AllPoints, Points: 100}))
	lab, err = c.nextUnfinished()
	require.NoError(t, err)
	require.Equal(t, "02", lab.ID)
}

// In the course's own repository the stored skeletons are what labs holds. In a
// student's clone labs is the student's work, and the test has nothing to say.
func TestStoredSkeletonsAreTheLabs(t *testing.T) {
	if os.Getenv("ASYNCLAB_COURSE") == "" {
		t.Skip("set ASYNCLAB_COURSE=1 in the course's own repository")
	}
	c := testClone(t)
	for _, lab := range course.Labs {
		if !lab.Built {
			continue
		}
		stored, err := skeleton(lab)
		require.NoError(t, err, "make skeletons stores it")
		require.Equal(t, string(archive(read(t, c.path(lab.Path("labs"))))), string(archive(stored)), "%s: make skeletons stores the new one", lab.Dir())
	}
}

func TestEveryDoctorsFindingSaysWhatItMeans(t *testing.T) {
	for _, s := range testClone(t).examine(t.Context()) {
		require.NotEmpty(t, s.Value, s.Name)
		require.NotEmpty(t, s.Means, s.Name)
		if s.State != ok && !strings.Contains(s.Value, "unknown") {
			require.NotEmpty(t, s.Mend, s.Name)
		}
	}
}

func TestASaveIsNoticed(t *testing.T) {
	for name, by := range map[string]func(t *testing.T, dir string) <-chan struct{}{
		"kernel": func(t *testing.T, dir string) <-chan struct{} { c, _ := changes(t.Context(), dir); return c },
		"polling": func(t *testing.T, dir string) <-chan struct{} {
			c := make(chan struct{}, 1)
			go polled(t.Context(), dir, c)
			return c
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			changed := by(t, dir)
			// Written again and again: the first may come before the watch does.
			stop := make(chan struct{})
			defer close(stop)
			go keepSaving(dir, stop)
			<-changed
		})
	}
}

// keepSaving saves like an editor, through a second file and a rename.
func keepSaving(dir string, stop <-chan struct{}) {
	tick := time.NewTicker(2 * quiet)
	defer tick.Stop()
	for n := 0; ; n++ {
		select {
		case <-stop:
			return
		case <-tick.C:
			draft := filepath.Join(dir, "draft~")
			os.WriteFile(draft, bytes.Repeat([]byte("x"), n), 0o644)
			os.Rename(draft, filepath.Join(dir, "server.go"))
		}
	}
}
