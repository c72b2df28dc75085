package book

import (
	"regexp"
	"strings"

	"github.com/asynclab/asynclab/harness/book/diagram"
)

// A kind is what a fenced block is taken for.
type kind int

const (
	code     kind = iota // in a language that the fence names
	commands             // lines to type into a shell
	output               // what a program says, and all else that is plain
	drawing              // a diagram, to be drawn
)

// kindOf says what a block is, by the word after its fence. Most blocks of the
// course have none; then their text decides:
//
//   - a drawing has a box character of Unicode in it, or at least two strokes:
//     a corner (+-- or --+), an arrow (--> or <--), a branch (|-- or '--), or one
//     arrow that points up or down;
//   - commands are blocks whose every line begins with a command;
//   - everything else is output.
//
// A block that is taken wrongly says what it is: diagram, sh or text.
func kindOf(language, text string) kind {
	switch language {
	case "diagram":
		return drawing
	case "sh", "bash", "shell", "console":
		return commands
	case "text", "output", "plain", "txt":
		return output
	case "":
	default:
		return code
	}
	switch {
	case allCommands(text):
		return commands
	case strings.ContainsAny(text, "│┌┐└┘├┤┬┴┼╭╮╰╯▼▲►◄") || len(strokes.FindAllString(text, 2)) == 2 || diagram.Read(text).Upright():
		return drawing
	}
	return output
}

var (
	strokes = regexp.MustCompile("\\+--|--\\+|-->|<--|──|[|'`]--|['`]->")
	command = regexp.MustCompile(`^(sudo |[A-Z_]+=\S+ |\$ )*(make|go|cd|curl|git|perf|ss|ulimit|sysctl|strace|docker|kubectl|wrk|ab|hey|k6|websocat|apt-get|nginx|openssl|cat|echo|export|taskset|tc|ip|chromium|redis-\w+|\./\S+)( |$)`)
)

// allCommands says whether a block is for the shell. A line that begins with
// blanks goes on with the one before.
func allCommands(text string) bool {
	found := false
	for line := range strings.Lines(text) {
		line = strings.TrimRight(line, "\n")
		switch {
		case strings.TrimSpace(line) == "" || strings.HasPrefix(line, "#"):
		case found && strings.HasPrefix(line, " "):
		case !command.MatchString(line):
			return false
		default:
			found = true
		}
	}
	return found
}
