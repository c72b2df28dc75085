package mirror

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/asynclab/asynclab/harness/course"
	"github.com/stretchr/testify/require"
)

// Every command in a document is of a kind that is looked at here: a target of
// the Makefile, a program of this repository, go's own tools, the lab command.
// Whatever else is shown is output, in a fence of text, or depends on the
// reader's machine, in a fence below a line <!-- illustrative -->.
func TestCommandsInDocumentsAreReal(t *testing.T) {
	m := readMakefile(t)
	for _, d := range parsed(t) {
		for _, s := range d.sections {
			for _, f := range s.fences {
				for line, command := range f.commands() {
					if err := m.checkLine(command); err != nil {
						t.Errorf("%s:%d: %s: %v", d.path, line, command, err)
					}
				}
			}
			for _, span := range s.spans() {
				if ours.MatchString(span) {
					if err := m.checkLine(span); err != nil {
						t.Errorf("%s, %q: `%s`: %v", d.path, s.heading, span, err)
					}
				}
			}
		}
	}
}

// ours are commands in running text that are looked at: those of this
// repository. Of others the name alone is usually meant.
var ours = regexp.MustCompile(`^(?:make [a-z]|go (?:run|test|build|vet|tool) |\.asynclab/bin/lab )`)

// makefile is what the Makefile offers: targets, and the variables that each of
// them reads.
type makefile map[string]map[string]bool

func readMakefile(t *testing.T) makefile {
	text, err := os.ReadFile(filepath.Join(root, "Makefile"))
	require.NoError(t, err)
	macros := map[string]string{}
	for _, m := range regexp.MustCompile(`(?m)^([a-z]+) = (.*)$`).FindAllStringSubmatch(string(text), -1) {
		macros[m[1]] = m[2]
	}
	all := makefile{}
	for _, part := range regexp.MustCompile(`(?m)^[a-z-]+:(?: .*)?\n(?:\t.*\n?)*`).FindAllString(string(text), -1) {
		name, _, _ := strings.Cut(part, ":")
		all[name] = map[string]bool{"ARGS": strings.Contains(part, "$(ARGS)")}
		recipe := part
		for name, body := range macros {
			recipe = strings.ReplaceAll(recipe, "$("+name+")", body)
		}
		for _, m := range regexp.MustCompile(`[A-Z]+`).FindAllString(strings.Join(regexp.MustCompile(`\$\([^\n]*`).FindAllString(recipe, -1), " "), -1) {
			all[name][m] = true
		}
	}
	return all
}

// checkLine looks at one line of commands, joined by && or pipes.
func (m makefile) checkLine(line string) error {
	dir := ""
	for _, part := range regexp.MustCompile(`\s+(?:&&|\|\||\||;)\s+`).Split(line, -1) {
		words, err := shellWords(part)
		if err != nil {
			return err
		}
		if len(words) == 2 && words[0] == "cd" {
			dir = filepath.Join(dir, words[1])
			if info, err := os.Stat(filepath.Join(root, dir)); err != nil || !info.IsDir() {
				return fmt.Errorf("there is no folder %s", dir)
			}
			continue
		}
		if err := m.check(dir, words); err != nil {
			return err
		}
	}
	return nil
}

// check looks at one command.
func (m makefile) check(dir string, words []string) error {
	for len(words) > 0 && regexp.MustCompile(`^[A-Z_]+=`).MatchString(words[0]) {
		words = words[1:] // its environment
	}
	switch {
	case len(words) == 0:
		return nil
	case words[0] == "make":
		return m.checkMake(words[1:])
	case words[0] == "go":
		return checkGo(dir, words[1:])
	case words[0] == ".asynclab/bin/lab":
		return checkLab(words[1:])
	case len(words) == 3 && words[0] == "mkdir" && words[1] == "-p" && strings.HasPrefix(words[2], ".asynclab/"):
		return nil
	case slices.Contains([]string{"grep", "jq", "sort", "head", "tail", "wc"}, words[0]):
		return nil // filters behind our own commands
	}
	return fmt.Errorf("%s is no command of this repository: put it into a fence below a line <!-- illustrative -->, or into one of text if it is output", words[0])
}

// checkMake: TARGET NAME=VALUE...
func (m makefile) checkMake(words []string) error {
	if len(words) == 0 {
		return nil
	}
	reads, ok := m[words[0]]
	if !ok {
		return fmt.Errorf("the Makefile has no target %s", words[0])
	}
	lab := ""
	for _, w := range words[1:] {
		name, value, found := strings.Cut(w, "=")
		switch {
		case !found:
			return fmt.Errorf("%q is no NAME=VALUE", w)
		case !reads[name]:
			return fmt.Errorf("make %s does not read %s", words[0], name)
		case name == "LAB":
			lab = value
		}
	}
	return checkValues(words, lab)
}

func checkValues(words []string, word string) error {
	lab, err := course.Find(word)
	if word != "" && word != "NN" && err != nil {
		return err
	}
	for _, w := range words[1:] {
		name, value, _ := strings.Cut(w, "=")
		switch name {
		case "SIDE":
			if value != "labs" && value != "solutions" {
				return fmt.Errorf("SIDE=%s: labs or solutions", value)
			}
		case "STEP":
			if err == nil && lab.Built && !hasStep(lab, value) {
				return fmt.Errorf("the handout of lab %s has no step %s", lab.ID, value)
			}
		case "ARGS":
			folder := "harness/cmd/lab"
			if words[0] == "peers" {
				folder = "harness/peers"
			}
			return checkFlags(folder, strings.Fields(value))
		}
	}
	return nil
}

func hasStep(lab course.Lab, number string) bool {
	text, _ := os.ReadFile(filepath.Join(root, lab.Path("labs"), "README.md"))
	return regexp.MustCompile(`(?m)^## Step ` + regexp.QuoteMeta(number) + `\b`).Match(text)
}

// checkLab: a subcommand, a lab perhaps, flags.
func checkLab(words []string) error {
	if len(words) == 0 {
		return fmt.Errorf("lab needs a command")
	}
	found, err := findString("harness/cmd/lab", regexp.MustCompile(`Use:\s+"`+regexp.QuoteMeta(words[0])+`[ "]`))
	if err != nil || !found {
		return fmt.Errorf("lab has no command %s", words[0])
	}
	return checkFlags("harness/cmd/lab", words[1:])
}

// checkFlags looks for each flag's name in the Go files of a program's folder.
func checkFlags(folder string, words []string) error {
	for _, w := range words {
		name := strings.TrimLeft(w, "-")
		if name == w || name == "" {
			continue
		}
		name, _, _ = strings.Cut(name, "=")
		found, err := findString(folder, regexp.MustCompile(`"`+regexp.QuoteMeta(name)+`"`))
		if err != nil {
			return err
		}
		if !found {
			return fmt.Errorf("%s has no flag -%s", folder, name)
		}
	}
	return nil
}

// checkGo: what go is asked for is there.
func checkGo(dir string, words []string) error {
	if len(words) == 0 {
		return fmt.Errorf("go does nothing without a command")
	}
	flags, packages := goArguments(words[1:])
	switch words[0] {
	case "run":
		if len(packages) == 0 {
			return fmt.Errorf("go run needs a package")
		}
		folder := filepath.Join(dir, packages[0])
		main, err := findString(folder, regexp.MustCompile(`(?m)^package main$`))
		if err != nil || !main {
			return fmt.Errorf("there is no program in %s", folder)
		}
		at := slices.Index(words, packages[0])
		return checkFlags(folder, words[at+1:])
	case "test", "vet", "build":
		for _, p := range packages {
			if err := checkPackage(filepath.Join(dir, p)); err != nil {
				return err
			}
			if err := checkPattern(filepath.Join(dir, p), flags); err != nil {
				return err
			}
		}
		return nil
	case "tool", "env", "version":
		return nil
	}
	return fmt.Errorf("go %s is of no kind that is checked", words[0])
}

// goArguments tells go's flags from its packages.
func goArguments(words []string) (flags map[string]string, packages []string) {
	flags = map[string]string{}
	for i := 0; i < len(words); i++ {
		w := words[i]
		name, value, given := strings.Cut(strings.TrimLeft(w, "-"), "=")
		switch {
		case !strings.HasPrefix(w, "-"):
			packages = append(packages, w)
		case given:
			flags[name] = value
		case slices.Contains([]string{"run", "bench", "benchtime", "count", "timeout", "o", "tags", "memprofile", "cpuprofile", "memprofilerate", "p", "parallel", "cpu", "fuzz", "fuzztime", "trace", "http"}, name) && i+1 < len(words):
			flags[name] = words[i+1]
			i++
		default:
			flags[name] = ""
		}
	}
	return flags, packages
}

func checkPackage(path string) error {
	base := strings.TrimSuffix(path, "...")
	if strings.HasPrefix(base, ".asynclab/") {
		return nil // the reader's own, from a line above
	}
	if strings.Contains(base, "NN") || strings.Contains(base, "Xtest") {
		return nil // any lab's
	}
	found, err := findString(base, regexp.MustCompile(`(?m)^package `))
	if (err != nil || !found) && base == path {
		return fmt.Errorf("there is no package in %s", path)
	}
	if _, err := os.Stat(filepath.Join(root, base)); err != nil {
		return fmt.Errorf("there is no folder %s", base)
	}
	return nil
}

// checkPattern: what -run and -bench name is there: the function, and below it
// a rule or target of the lab's judge, or one of its mutants.
func checkPattern(folder string, flags map[string]string) error {
	for _, flag := range []string{"run", "bench"} {
		function, sub, _ := strings.Cut(flags[flag], "/")
		function = strings.Trim(function, "^$")
		if function == "" || function == "." || function == "xxx" || strings.HasSuffix(folder, "...") || strings.Contains(folder, "Xtest") {
			continue
		}
		found, err := findString(folder, regexp.MustCompile(`(?m)^func (?:Test|Benchmark|Fuzz|Example)?\w*`+function))
		if err != nil || !found {
			return fmt.Errorf("-%s: no test or benchmark in %s is called %s", flag, folder, function)
		}
		if sub = strings.Trim(sub, "^$"); sub == "" {
			continue
		}
		judge := folder
		if lab, err := course.Find(folder); err == nil {
			judge = lab.Judge()
		}
		name := strings.ReplaceAll(regexp.QuoteMeta(sub), "_", "[ _]")
		if found, err := findString(judge, regexp.MustCompile(`Name: +"(?:the article: )?`+strings.TrimPrefix(name, "the[ _]article:[ _]"))); err != nil || !found {
			return fmt.Errorf("-%s: %s has no rule, target or mutant %s", flag, judge, sub)
		}
	}
	return nil
}

// findString looks for a pattern in the Go files of a folder.
func findString(folder string, pattern *regexp.Regexp) (bool, error) {
	files, err := filepath.Glob(filepath.Join(root, folder, "*.go"))
	if err != nil {
		return false, err
	}
	for _, f := range files {
		text, err := os.ReadFile(f)
		if err != nil {
			return false, err
		}
		if pattern.Match(text) {
			return true, nil
		}
	}
	return false, nil
}

// shellWords splits a command as a shell does, so far as documents need it:
// quotes, and a comment at its end.
func shellWords(line string) (words []string, err error) {
	word, quote, inWord := "", rune(0), false
	for _, r := range line {
		switch {
		case quote != 0 && r == quote:
			quote = 0
		case quote != 0:
			word += string(r)
		case r == '\'' || r == '"':
			quote, inWord = r, true
		case r == '#' && !inWord:
			return words, nil
		case r == ' ':
			if inWord {
				words = append(words, word)
			}
			word, inWord = "", false
		default:
			word, inWord = word+string(r), true
		}
	}
	if quote != 0 {
		return nil, fmt.Errorf("a quote is not closed")
	}
	if inWord {
		words = append(words, word)
	}
	return words, nil
}

// What the check of commands refuses.
func TestWrongCommandsAreRefused(t *testing.T) {
	m := readMakefile(t)
	for command, want := range map[string]string{
		"make chek LAB=01":                                                 "no target chek",
		"make check LAB=99":                                                "no lab",
		"make check LAB=01 STEP=77":                                        "no step 77",
		"make check LAB=01 SIDE=mine":                                      "labs or solutions",
		"make doctor LAB=01":                                               "does not read LAB",
		"make check LAB=01 ARGS=--loud":                                    "no flag -loud",
		"go run ./solutions/09-zerocopy/cmd/way":                           "no program",
		"go run ./solutions/09-zerocopy/cmd/ways -roundz 7":                "no flag -roundz",
		"go test ./labs/01-blokking":                                       "no package",
		"go test -run TestNothing ./harness/mirror":                        "is called TestNothing",
		"go test -bench Benchmark/echo-depth-7 ./solutions/01-blocking":    "no rule, target or mutant echo-depth-7",
		"cd harness/pears && go run .":                                     "no folder",
		".asynclab/bin/lab grade 01":                                       "no command grade",
		"curl http://127.0.0.1:8009/":                                      "illustrative",
		"go run ./solutions/09-zerocopy/cmd/ways && wrk http://127.0.0.1/": "illustrative",
	} {
		require.ErrorContains(t, m.checkLine(command), want, command)
	}
	for _, command := range []string{
		"make check LAB=capstone SIDE=solutions STEP=1 JSON=1", "make check LAB=NN", "make", "make costs JSON=1", "make soak LAB=01 N=5",
		`make peers ARGS="-rounds 1"`, "go test -race -v -run '^TestMutants$/^the_article:_nothing_ends_Run$' ./harness/epolltest",
		"go test -race -count=1 -run '^Test$/^IdleConnectionEnds$' ./labs/01-blocking", "cd harness/peers && go run . -rounds 5   # all of them",
		".asynclab/bin/lab check 01 --side solutions --no-targets --json | grep points", "go test ./harness/...",
	} {
		require.NoError(t, m.checkLine(command), command)
	}
}
