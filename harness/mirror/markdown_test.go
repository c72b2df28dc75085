package mirror

import (
	"regexp"
	"strings"

	"github.com/asynclab/asynclab/harness/course"
)

// A doc is a Markdown file, cut into sections.
type doc struct {
	path     string // from the root
	text     string
	sections []section
}

// A section is what stands below one heading, up to the next of any level.
type section struct {
	heading string // empty: before the first
	level   int
	prose   string // without its fences
	fences  []fence
}

// A fence is a block between two lines of ```.
type fence struct {
	info string // what stands behind the first ```: "sh illustrative"
	body string
	line int // of the first ```, from 1

	marked bool // the line before it is <!-- illustrative -->
}

var headingLine = regexp.MustCompile(`^(#{1,6}) +(.*?) *#*$`)

// parseDoc cuts a document.
func parseDoc(path, text string) doc {
	d := doc{path: path, text: text, sections: []section{{}}}
	var open *fence
	before := ""
	for i, line := range strings.Split(text, "\n") {
		now := &d.sections[len(d.sections)-1]
		m := headingLine.FindStringSubmatch(line)
		switch {
		case strings.HasPrefix(line, "```") && open == nil:
			open = &fence{info: strings.TrimSpace(strings.TrimLeft(line, "`")), line: i + 1, marked: before == "<!-- illustrative -->"}
		case strings.HasPrefix(line, "```"):
			now.fences = append(now.fences, *open)
			open = nil
		case open != nil:
			open.body += line + "\n"
		case m != nil:
			d.sections = append(d.sections, section{heading: m[2], level: len(m[1])})
		default:
			now.prose += line + "\n"
		}
		if line != "" {
			before = line
		}
	}
	return d
}

// anchors are the names that links may have behind a #. A heading that comes
// again gets a number.
func (d doc) anchors() map[string]bool {
	all := map[string]bool{}
	for _, s := range d.sections {
		name := course.Anchor(plain(s.heading))
		for n, numbered := 1, name; ; n++ {
			if !all[numbered] {
				all[numbered] = true
				break
			}
			numbered = name + "-" + string(rune('0'+n))
		}
	}
	for _, m := range regexp.MustCompile(`(?:id|name)="([^"]+)"`).FindAllStringSubmatch(d.text, -1) {
		all[m[1]] = true
	}
	return all
}

// plain takes links and signs of emphasis from a heading.
func plain(heading string) string {
	heading = regexp.MustCompile(`\[([^\]]*)\]\([^)]*\)`).ReplaceAllString(heading, "$1")
	return strings.NewReplacer("`", "", "*", "").Replace(heading)
}

var codeSpan = regexp.MustCompile("`([^`\n]+)`")

// spans are the pieces of code in a section's prose.
func (s section) spans() (all []string) {
	for _, m := range codeSpan.FindAllStringSubmatch(s.prose, -1) {
		all = append(all, m[1])
	}
	for _, m := range regexp.MustCompile(`<code>([^<]+)</code>`).FindAllStringSubmatch(s.prose, -1) {
		all = append(all, m[1])
	}
	return all
}

// language is the first word of a fence's info.
func (f fence) language() string {
	word, _, _ := strings.Cut(f.info, " ")
	return word
}

// illustrative says that nobody is meant to run what stands in the fence, or
// that no test can: output, another language, or marked so.
func (f fence) illustrative() bool {
	if f.marked || strings.HasSuffix(f.info, " illustrative") {
		return true
	}
	switch f.language() {
	case "", "sh", "bash", "console":
		return false
	}
	return true
}

// programs are what a line of commands begins with.
var programs = regexp.MustCompile(`^(?:\$ )?(?:make|go|git|cd|curl|sudo|perf|strace|ss|ab|wrk|wrk2|hey|k6|docker|openssl|sysctl|ulimit|apt|apt-get|kill|bpftrace|jq|ps|cat|echo|taskset|chromium|nc|\.asynclab/bin/lab|[A-Z_]+=\S+ \S+|\./\S+|for \S+ in) ?`)

// hereDocument begins a file that is written where only the reader's things are.
var hereDocument = regexp.MustCompile(`^cat > \.asynclab/\S+ <<'?(\w+)'?$`)

// commands are the fence's lines to be typed, with their line numbers; none for
// a diagram. In a fence without a language the first line tells which it is.
func (f fence) commands() map[int]string {
	lines := strings.Split(strings.TrimRight(f.body, "\n"), "\n")
	if f.illustrative() || f.language() == "" && !programs.MatchString(firstLine(lines)) {
		return nil
	}
	all := map[int]string{}
	for i := 0; i < len(lines); i++ {
		at, line := f.line+1+i, strings.TrimSpace(lines[i])
		if m := hereDocument.FindStringSubmatch(line); m != nil {
			for i++; i < len(lines) && lines[i] != m[1]; i++ {
			}
			continue
		}
		for strings.HasSuffix(line, "\\") && i+1 < len(lines) {
			i++
			line = strings.TrimSuffix(line, "\\") + strings.TrimSpace(lines[i])
		}
		if line != "" && !strings.HasPrefix(line, "#") {
			all[at] = strings.TrimPrefix(line, "$ ")
		}
	}
	return all
}

// firstLine is the first that is neither empty nor a comment.
func firstLine(lines []string) string {
	for _, line := range lines {
		if line != "" && !strings.HasPrefix(line, "#") {
			return line
		}
	}
	return ""
}

// isDiagram reports whether the fence is a picture made of signs.
func (f fence) isDiagram() bool {
	return (f.language() == "" || f.language() == "text") && len(f.commands()) == 0 && regexp.MustCompile(`--|->|<-|\||[│─►▼┘┐]|\+`).MatchString(f.body)
}
