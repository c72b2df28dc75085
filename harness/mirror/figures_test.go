package mirror

import (
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// Numbers come from a command that the reader can run. A table with measured
// figures, and a sentence that says it measured something, has such a command in
// its section or in one that encloses it; or a link to where "the command is" or
// "the commands are"; or it says that it is "by arithmetic".
func TestMeasuredFiguresNameTheirCommand(t *testing.T) {
	for _, d := range parsed(t) {
		for i, s := range d.sections {
			if d.commandNear(i) {
				continue
			}
			for _, what := range s.figures() {
				t.Errorf("%s, %q: no command says where this comes from: %s", d.path, s.heading, what)
			}
		}
	}
}

// unit is a number with a unit of what is measured. Sizes and durations that
// are settings look the same, so only tables of figures and sentences about
// measurements are looked at.
var (
	unit     = regexp.MustCompile(`\d[\d,.]* ?(?:ns|µs|ms|s|x|times|KB|KiB|MB|MiB|GB|GiB|bytes|B|%)(?:[ ,.|;)/]|$)|\d[\d,.]* (?:[a-z]+ )?(?:/s|a second|per second)`)
	word     = regexp.MustCompile(`\b(?:ns|µs|ms|CPU|KB|MB|GB|bytes|messages|deliveries|calls|times|P99|QPS)\b`)
	lone     = regexp.MustCompile(`^[*~≈<>± ]*\d[\d,.]+\*{0,2}$`)
	measures = regexp.MustCompile(`(?i)\b(?:we measured|measured here|measured on|on (?:this|our|one) machine|was measured|were measured)\b`)
	given    = regexp.MustCompile(`(?i)\bat (?:least|most)\b|\bbound\b|\blimit\b|\bdefault\b|\bformula\b`)
	told     = regexp.MustCompile(`(?i)\b(?:by|is) arithmetic\b|\bcommands? (?:is|are) in \[`)
)

// figures are the section's tables and sentences with measured figures.
func (s section) figures() (all []string) {
	for _, table := range tables(s.prose) {
		head, _, _ := strings.Cut(table, "\n")
		if figureCells(table) >= 2 && !given.MatchString(head) {
			all = append(all, "the table | "+strings.Trim(head, "| ")+" |")
		}
	}
	for _, sentence := range regexp.MustCompile(`[.!?:]\s`).Split(withoutTables(s.prose), -1) {
		if measures.MatchString(sentence) && unit.MatchString(sentence) {
			all = append(all, strings.TrimSpace(sentence))
		}
	}
	return all
}

// figureCells counts the short cells that are a number with a unit, or a number
// below or beside a word that is one.
func figureCells(table string) (n int) {
	lines := strings.Split(strings.TrimSpace(table), "\n")
	head := strings.Split(lines[0], "|")
	for _, line := range lines[min(2, len(lines)):] {
		cells := strings.Split(line, "|")
		for i, cell := range cells {
			cell = strings.TrimSpace(cell)
			named := i < len(head) && word.MatchString(head[i]) || len(cells) > 1 && word.MatchString(cells[1])
			if len(cell) <= 30 && unit.MatchString(cell) && !given.MatchString(cell) || lone.MatchString(cell) && named {
				n++
			}
		}
	}
	return n
}

// commandNear reports whether section i, one that encloses it, or a part of it
// says where its figures come from. What stands right below the title encloses
// everything, so there only a whole chapter of arithmetic counts.
func (d doc) commandNear(i int) bool {
	if d.sections[i].measures() || told.MatchString(d.sections[i].prose) {
		return true
	}
	level := d.sections[i].level
	for j := i - 1; j >= 0 && level > 1; j-- { // those around it
		if s := d.sections[j]; s.level < level {
			level = s.level
			if level > 1 && s.measures() || told.MatchString(s.prose) {
				return true
			}
		}
	}
	for j := i + 1; j < len(d.sections) && d.sections[j].level > d.sections[i].level; j++ { // those in it
		if d.sections[j].measures() {
			return true
		}
	}
	return false
}

var command = regexp.MustCompile(`^(?:\$ )?(?:cd \S+ && )?(?:make (?:check|compare|profile|costs|claims|demo|storm|resume|peers|soak|mutants|doctor)|go (?:run|test|build)|\.asynclab/bin/lab) ?`)

// measures reports whether the section has a command whose output are figures.
func (s section) measures() bool {
	for _, span := range s.spans() {
		if command.MatchString(span) {
			return true
		}
	}
	for _, f := range s.fences {
		if f.marked || f.language() == "sh" {
			return true // other people's tools, too
		}
		for line := range strings.Lines(f.body) {
			if command.MatchString(line) {
				return true
			}
		}
	}
	return false
}

// tables are the runs of lines that begin with a bar.
func tables(prose string) (all []string) {
	now := ""
	for line := range strings.Lines(prose + "\n") {
		if strings.HasPrefix(line, "|") {
			now += line
			continue
		}
		if now != "" {
			all = append(all, now)
		}
		now = ""
	}
	return all
}

func withoutTables(prose string) string {
	var b strings.Builder
	for line := range strings.Lines(prose) {
		if !strings.HasPrefix(line, "|") {
			b.WriteString(line)
		}
	}
	return b.String()
}

func TestFiguresWithoutACommandAreFound(t *testing.T) {
	table := "| way | CPU s/GB |\n| --- | --- |\n| copy | 1.58 |\n| sendfile | 0.32 |\n"
	for text, found := range map[string]int{
		"## A\n" + table: 1,
		"## A\n" + table + "\n```\ngo run ./solutions/09-zerocopy/cmd/ways\n```\n":                    0,
		"## A\n`make costs` says\n### B\n" + table:                                                    0,
		"## A\n" + table + "\n## B\n`make costs`\n":                                                   1,
		"## A\nWe measured 14.8 KB a connection.\n":                                                   1,
		"## A\nOn this machine that took 12 ms (`make costs`).\n":                                     0,
		"## A\nThe deadline is 10 ms.\n":                                                              0,
		"## A\n| target | bound |\n| --- | --- |\n| `delay` | at most 1 ms |\n| `b` | at most 2 ms |": 0,
	} {
		d, n := parseDoc("x.md", text), 0
		for i, s := range d.sections {
			if !d.commandNear(i) {
				n += len(s.figures())
			}
		}
		require.Equal(t, found, n, text)
	}
}
