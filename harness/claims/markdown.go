package claims

import (
	"fmt"
	"strings"

	"github.com/asynclab/asynclab/harness/course"
	"github.com/asynclab/asynclab/harness/report"
)

// Path is the Markdown page's, from the repository's root; Renew the command
// that writes it anew.
const (
	Path  = "docs/claims.md"
	Renew = "make claims WRITE=1"
)

// Markdown is the document as a page of the workbook.
func (d Document) Markdown() string {
	var b strings.Builder
	fmt.Fprintf(&b, "# The article's claims\n\n%s Yours will give other figures, and mostly the same verdicts:\n\n```\nmake claims\n```\n\n", strings.Replace(lead, "on this machine", "on one machine", 1))
	fmt.Fprintf(&b, "%s This page is written by `%s`.\n\n", d.made(), Renew)
	b.WriteString("| claim | measured | verdict | command |\n| --- | --- | --- | --- |\n")
	for _, r := range d.Results {
		fmt.Fprintf(&b, "| [%s](#%s) | %s | **%s** | `%s` |\n", r.Title, course.Anchor(r.Title), r.Measured, r.Verdict, r.Command)
	}
	b.WriteString("\nA claim that needs more hardware than there is has a normalised form beside it: per message, per connection, per GB. That form can be decided anywhere.\n")
	for _, r := range d.Results {
		b.WriteString(r.markdown())
	}
	return b.String()
}

func (r Result) markdown() string {
	var b strings.Builder
	fmt.Fprintf(&b, "\n## %s\n\n%s\n\nMeasured against: %s.\n\n", upper(r.Title), r.Says, r.Against)
	b.WriteString("| | unit | median | |\n| --- | --- | --- | --- |\n")
	for _, f := range r.Figures {
		fmt.Fprintf(&b, "| %s | %s | %s | %s |\n", f.Name, f.Unit, report.Number(f.Median), f.plusMinus())
	}
	fmt.Fprintf(&b, "\n**%s.** %s", upper(string(r.Verdict)), r.Because)
	if r.Normal != "" {
		fmt.Fprintf(&b, " Normalised: %s.", r.Normal)
	}
	fmt.Fprintf(&b, "\n\nMeasure it again: `%s`. What to build instead: [%s](../%s).\n", r.Command, handout(r.Lab), handout(r.Lab))
	return b.String()
}

func upper(s string) string { return strings.ToUpper(s[:1]) + s[1:] }
