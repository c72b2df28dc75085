package mirror

import (
	"go/ast"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/asynclab/asynclab/harness/report"
	"github.com/stretchr/testify/require"
)

// What docs/using-the-labs.md says of a check's JSON document is what the
// document has: the same fields, in the order of its tables.
func TestTheDocumentOfACheckIsAsDescribed(t *testing.T) {
	text, err := os.ReadFile(filepath.Join(root, "docs", "using-the-labs.md"))
	require.NoError(t, err)
	var described [][]string
	var prose string
	for _, s := range parseDoc("docs/using-the-labs.md", string(text)).sections {
		if s.heading != "The document" {
			continue
		}
		prose = s.prose
		for _, table := range tables(s.prose) {
			described = append(described, firstColumn(table))
		}
	}
	require.Len(t, described, 3, "three tables: the document, what rules and targets share, what targets have besides")
	require.ElementsMatch(t, fields(report.Check{}), described[0], "of the document (report.Check)")
	require.ElementsMatch(t, fields(report.Explained{}), described[1], "of a rule and a target (report.Explained)")
	require.ElementsMatch(t, without(fields(report.Target{}), fields(report.Explained{})), described[2], "of a target (report.Target)")
	for _, part := range []any{report.Fault{}, report.Round{}, report.Spread{}} {
		for _, name := range fields(part) {
			require.Contains(t, prose, "`"+name+"`", "of %T", part)
		}
	}
	require.Equal(t, []string{"group"}, without(fields(report.Rule{}), fields(report.Explained{})))
	require.Contains(t, prose, "`group`")
}

// Every verdict and every outcome that a check can have is explained there.
func TestEveryVerdictIsExplained(t *testing.T) {
	text, err := os.ReadFile(filepath.Join(root, "docs", "using-the-labs.md"))
	require.NoError(t, err)
	found := 0
	_, files := parse(t, "harness/report")
	for _, f := range files {
		ast.Inspect(f, func(n ast.Node) bool {
			v, ok := n.(*ast.ValueSpec)
			if !ok || v.Type == nil {
				return true
			}
			kind, ok := v.Type.(*ast.Ident)
			if !ok || kind.Name != "Verdict" && kind.Name != "Outcome" {
				return true
			}
			word, err := strconv.Unquote(v.Values[0].(*ast.BasicLit).Value)
			require.NoError(t, err)
			found++
			require.Contains(t, string(text), "`"+word+"`", "the %s %q", kind.Name, word)
			return true
		})
	}
	require.Greater(t, found, 10, "verdicts and outcomes in harness/report")
}

// fields are the names that encoding/json gives a struct's fields, embedded
// ones among them.
func fields(of any) (names []string) {
	var walk func(t reflect.Type)
	walk = func(t reflect.Type) {
		for i := range t.NumField() {
			f := t.Field(i)
			name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
			if f.Anonymous && name == "" {
				walk(f.Type)
			} else if name != "-" {
				names = append(names, name)
			}
		}
	}
	walk(reflect.TypeOf(of))
	return names
}

func without(all, some []string) (rest []string) {
	has := map[string]bool{}
	for _, name := range some {
		has[name] = true
	}
	for _, name := range all {
		if !has[name] {
			rest = append(rest, name)
		}
	}
	return rest
}

// firstColumn are the names in backticks in the first column of a table.
func firstColumn(table string) (names []string) {
	for line := range strings.Lines(table) {
		cells := strings.Split(line, "|")
		for _, m := range regexp.MustCompile("`([a-z0-9_]+)`").FindAllStringSubmatch(cells[1], -1) {
			names = append(names, m[1])
		}
	}
	return names
}
