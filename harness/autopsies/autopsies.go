// Package autopsies writes docs/autopsies.md: each fault of the article's
// designs, the check that exposes it, and the repair. The faults are the judges'
// mutants that rebuild the article; the labs are the course's table. Nothing
// else lists them, so the page cannot fall behind: each judge's TestMutants
// holds its own section, and this package's test holds what is around them.
package autopsies

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/asynclab/asynclab/harness/course"
)

// Path is the page's, from the repository's root.
const Path = "docs/autopsies.md"

// Renew is the command that writes the page anew.
const Renew = "make autopsies"

// A Fault is one wrong turn of the article's, rebuilt as a mutant.
type Fault struct {
	Name string // of the mutant
	Rule string // the check that refuses it
	Why  string // the reason, and the repair
}

// Page is the whole document. sections has those of labs that are built, by
// their ID.
func Page(sections map[string]string) string {
	var b strings.Builder
	b.WriteString(opening)
	b.WriteString("| lab | the article's design | faults |\n| --- | --- | --- |\n")
	total := 0
	for _, lab := range course.Labs {
		if s := sections[lab.ID]; s != "" {
			n := faultsIn(s)
			total += n
			fmt.Fprintf(&b, "| [%s](#%s) | %s | %d |\n", lab.Dir(), course.Anchor(strings.Trim(heading(lab), "\n# ")), lab.From, n)
		}
	}
	fmt.Fprintf(&b, "| all | | %d |\n", total)
	b.WriteString(running)
	for _, lab := range course.Labs {
		b.WriteString(sections[lab.ID])
	}
	return b.String()
}

const opening = `# Autopsies

The article that this course starts from has good ideas and code that does not run. We rebuilt each of its designs in our own code and let the judges look at it. This page has every fault that a check exposes: what it is, the check, the reason, and the repair.

It is written from the judges' own tests by ` + "`" + Renew + "`" + `; change it there.

`

const running = `
To see the faults of one lab refused, with the other wrong implementations we thought of, and what each check says to them:

` + "```" + `
make mutants LAB=02
` + "```" + `

To see one of them alone, name it as go test does, with underscores:

` + "```" + `
go test -v -run 'TestMutants/the_article:_nothing_ends_Run' ./harness/epolltest
` + "```" + `
`

// heading begins the section of a lab.
func heading(lab course.Lab) string { return "\n## Lab " + lab.Dir() + ": " + lab.Title + "\n" }

// Section is what the page says of one lab. judge is the folder of its judge:
// where each mutant and each rule is written is looked up in its files.
func Section(lab course.Lab, judge fs.FS, faults []Fault) (string, error) {
	var b strings.Builder
	b.WriteString(heading(lab))
	fmt.Fprintf(&b, "\nThe article's design: %s. The lab: [what to build instead](../%s/README.md#the-articles-version-and-its-autopsy).", lab.From, lab.Path("labs"))
	if _, err := fs.Stat(judge, "article_test.go"); err == nil {
		fmt.Fprintf(&b, " The design in our own code: [article_test.go](../%s/article_test.go).", lab.Judge())
	}
	b.WriteString("\n\n| fault | exposed by | why, and the repair |\n| --- | --- | --- |\n")
	for _, f := range faults {
		mutant, err := file(judge, short(f.Name), true)
		if err != nil {
			return "", err
		}
		rule, err := file(judge, f.Rule, false)
		if err != nil {
			return "", err
		}
		fmt.Fprintf(&b, "| [%s](../%s/%s) | [`%s`](../%s/%s) | %s |\n", short(f.Name), lab.Judge(), mutant, f.Rule, lab.Judge(), rule, f.Why)
	}
	return b.String(), nil
}

// short is a mutant's name without the words that say whose fault it is.
func short(name string) string { return strings.TrimPrefix(name, "the article: ") }

// file is the judge's file whose text has a row with that name.
func file(judge fs.FS, name string, test bool) (string, error) {
	all, err := fs.Glob(judge, "*.go")
	if err != nil {
		return "", err
	}
	for _, f := range all {
		text, err := fs.ReadFile(judge, f)
		if err != nil {
			return "", err
		}
		row := strings.Contains(string(text), `Name: "`+name+`"`) || strings.Contains(string(text), `Name: "the article: `+name+`"`)
		if row && strings.HasSuffix(f, "_test.go") == test {
			return f, nil
		}
	}
	return "", fmt.Errorf("no file of the judge has a row with the name %q", name)
}

func faultsIn(section string) int { return strings.Count(section, "\n| [") }

// Sections cuts a page into what it says of each lab, by ID; of a lab that it
// has no section for, there is none.
func Sections(page string) map[string]string {
	all := map[string]string{}
	for _, lab := range course.Labs {
		_, after, found := strings.Cut(page, heading(lab))
		if !found {
			continue
		}
		body, _, _ := strings.Cut(after, "\n## ")
		all[lab.ID] = heading(lab) + body
	}
	return all
}

// Hold compares the page of the repository at root with the faults of one lab.
// Its error says what to do.
func Hold(root string, lab course.Lab, faults []Fault) error {
	want, err := Section(lab, os.DirFS(filepath.Join(root, lab.Judge())), faults)
	if err != nil {
		return err
	}
	page, err := os.ReadFile(filepath.Join(root, Path))
	if err != nil {
		return err
	}
	if got := Sections(string(page))[lab.ID]; got != want {
		return fmt.Errorf("%s does not say of lab %s what its mutants are (%s writes it anew)\nit says:\n%s\nit should say:\n%s", Path, lab.Dir(), Renew, got, want)
	}
	return nil
}
