package main

import (
	"strings"

	"github.com/asynclab/asynclab/harness/course"
)

const raceMark = "WARNING: DATA RACE"

var crashMarks = []string{"panic: ", "fatal error: ", "SIGSEGV", "SIGABRT"}

// crashed reports whether the process ended by a panic or a fatal error of the
// runtime. A line that only mentions one does not count: the status must too.
func crashed(end ending) bool {
	return (end.status == 2 || end.status == -1) && crashStart(end.output) >= 0
}

// crashStart is where a line begins with a crash mark; -1 when none does.
func crashStart(output string) int {
	first := -1
	for _, mark := range crashMarks {
		at := strings.Index(output, mark)
		for at > 0 && output[at-1] != '\n' {
			next := strings.Index(output[at+1:], mark)
			if next < 0 {
				at = -1
				break
			}
			at += 1 + next
		}
		if at >= 0 && (first < 0 || at < first) {
			first = at
		}
	}
	return first
}

func crashLine(output string) string {
	line, _, _ := strings.Cut(output[crashStart(output):], "\n")
	return line
}

// maxStack bounds what is shown of a crash or race: the rest is in the output
// of the command to repeat it.
const maxStack = 24

// trimCrash keeps the message and, of the goroutine that crashed, the frames of
// the clone.
func (c clone) trimCrash(output string) string {
	crash := output[crashStart(output):]
	if i := strings.Index(crash, "\ngoroutine "); i >= 0 {
		if j := strings.Index(crash[i+1:], "\n\n"); j >= 0 {
			crash = crash[:i+1+j]
		}
	}
	return c.trim(crash)
}

// trimRace keeps the first report, without the frames of the standard library.
func (c clone) trimRace(output string) string {
	race := output[strings.Index(output, raceMark):]
	race, _, _ = strings.Cut(race, "\n==================")
	return c.trim(race)
}

// trim drops frames from outside the clone and makes paths relative to it. A
// frame is a line with the function and a line with its place. Where no frame
// is the clone's, all stay: better long than empty.
func (c clone) trim(stack string) string {
	lines := strings.Split(strings.TrimRight(stack, "\n"), "\n")
	var kept []string
	for i := 0; i < len(lines); i++ {
		if i+1 < len(lines) && isPlace(lines[i+1]) {
			if c.own(lines[i+1]) {
				place, _, _ := strings.Cut(lines[i+1], " +0x")
				kept = append(kept, lines[i], place)
			}
			i++
			continue
		}
		kept = append(kept, lines[i])
	}
	if !strings.Contains(strings.Join(kept, "\n"), c.root+"/") && strings.Contains(stack, ".go:") {
		kept = lines
	}
	if len(kept) > maxStack {
		kept = append(kept[:maxStack:maxStack], "...")
	}
	return c.relative(strings.Join(kept, "\n"))
}

// own reports whether a frame's place is in the clone, and not the machinery
// that every check stands on.
func (c clone) own(place string) bool {
	return strings.Contains(place, c.root+"/") && !strings.Contains(place, "/harness/spec/")
}

// isPlace recognises "	/path/file.go:12 +0x1d".
func isPlace(line string) bool {
	return strings.HasPrefix(strings.TrimSpace(line), "/") && strings.Contains(line, ".go:")
}

// relative takes away what is the same in every line: the clone's place and the
// module's name.
func (c clone) relative(text string) string {
	text = strings.ReplaceAll(text, c.root+"/", "")
	return strings.ReplaceAll(text, course.Module+"/", "")
}

func lastLines(text string, n int) string {
	lines := strings.Split(strings.TrimRight(text, "\n"), "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}
