package mirror

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/asynclab/asynclab/harness/course"
	"github.com/stretchr/testify/require"
)

// root is the repository's top folder, seen from this package.
const root = "../.."

// goFiles lists the Go files below dir, by their path from the root.
func goFiles(t *testing.T, dir string) []string {
	var files []string
	err := filepath.WalkDir(filepath.Join(root, dir), func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && (d.Name() == "peers" || d.Name() == "testdata") {
			return filepath.SkipDir
		}
		if strings.HasSuffix(path, ".go") {
			rel, _ := filepath.Rel(root, path)
			files = append(files, rel)
		}
		return nil
	})
	require.NoError(t, err)
	return files
}

// imports lists what file imports from this module, by its path from the root.
func imports(t *testing.T, file string) []string {
	parsed, err := parser.ParseFile(token.NewFileSet(), filepath.Join(root, file), nil, parser.ImportsOnly)
	require.NoError(t, err)
	var ours []string
	for _, spec := range parsed.Imports {
		path, _ := strconv.Unquote(spec.Path.Value)
		if rest, ok := strings.CutPrefix(path, course.Module+"/"); ok {
			ours = append(ours, rest)
		}
	}
	return ours
}

// parse returns the files of a folder without its tests, with their comments.
func parse(t *testing.T, dir string) (*token.FileSet, map[string]*ast.File) {
	set, files := token.NewFileSet(), map[string]*ast.File{}
	names, err := filepath.Glob(filepath.Join(root, dir, "*.go"))
	require.NoError(t, err)
	for _, name := range names {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		f, err := parser.ParseFile(set, name, nil, parser.ParseComments)
		require.NoError(t, err)
		files[filepath.Base(name)] = f
	}
	return set, files
}

// built lists the labs that are there.
func built() []course.Lab {
	var labs []course.Lab
	for _, l := range course.Labs {
		if l.Built {
			labs = append(labs, l)
		}
	}
	return labs
}
