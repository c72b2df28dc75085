package mirror

import (
	"bytes"
	"go/ast"
	"go/format"
	"go/token"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// Law 1: the judge knows none of the judged, so a lab that does not compile
// breaks that lab alone.
func TestHarnessImportsNoLab(t *testing.T) {
	for _, file := range goFiles(t, "harness") {
		for _, path := range imports(t, file) {
			require.True(t, strings.HasPrefix(path, "harness/"), "%s imports %s", file, path)
		}
	}
}

// Law 2: labs and solutions stand without the judge; contracts speak standard
// types.
func TestLabsAndSolutionsDoNotImportHarness(t *testing.T) {
	for _, file := range slices.Concat(goFiles(t, "labs"), goFiles(t, "solutions"), goFiles(t, "capstone")) {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		for _, path := range imports(t, file) {
			require.False(t, strings.HasPrefix(path, "harness/"), "%s imports %s", file, path)
		}
	}
}

// Law 3: a lab stands on solutions with a lower number and on no lab, so an
// unfinished lab never spoils a later one.
func TestALabStandsOnLowerSolutionsOnly(t *testing.T) {
	for _, file := range slices.Concat(goFiles(t, "labs"), goFiles(t, "solutions")) {
		for _, path := range imports(t, file) {
			if strings.HasPrefix(path, "harness/") || strings.HasPrefix(file, path+"/cmd/") {
				continue // law 2 has looked at it; a command serves its own lab
			}
			require.True(t, strings.HasPrefix(path, "solutions/"), "%s imports %s", file, path)
			if strings.Contains(file, "capstone") {
				continue
			}
			require.Less(t, number(path), number(file), "%s imports %s", file, path)
		}
	}
}

// A lab's commands, below cmd, are the same program on both sides, each on top
// of its own side's package.
func TestCommandsDifferInTheirImportAlone(t *testing.T) {
	for _, lab := range built() {
		for _, file := range goFiles(t, lab.Path("solutions")) {
			if !strings.Contains(file, "/cmd/") {
				continue
			}
			answer, err := os.ReadFile(filepath.Join(root, file))
			require.NoError(t, err)
			desk, err := os.ReadFile(filepath.Join(root, strings.Replace(file, lab.Path("solutions"), lab.Path("labs"), 1)))
			require.NoError(t, err)
			require.Equal(t, strings.ReplaceAll(string(answer), lab.Path("solutions"), lab.Path("labs")), string(desk), file)
		}
	}
}

// number is the NN of a path labs/NN-X/... or solutions/NN-X/...
func number(path string) string { return strings.Split(path, "/")[1][:2] }

// Law 4: lab and solution have the same face: files, exported names, their
// documentation, and the bytes of the tests.
func TestLabsMirrorSolutions(t *testing.T) {
	for _, lab := range built() {
		t.Run(lab.Dir(), func(t *testing.T) {
			desk, answer := lab.Path("labs"), lab.Path("solutions")
			deskSet, deskFiles := parse(t, desk)
			answerSet, answerFiles := parse(t, answer)
			require.ElementsMatch(t, keys(answerFiles), keys(deskFiles), "files")
			for name := range answerFiles {
				require.Equal(t, face(t, answerSet, answerFiles[name]), face(t, deskSet, deskFiles[name]), "%s: exported names and their documentation", name)
			}
			test := lab.Name + "_test.go"
			want, err := os.ReadFile(filepath.Join(root, answer, test))
			require.NoError(t, err)
			got, err := os.ReadFile(filepath.Join(root, desk, test))
			require.NoError(t, err)
			require.Equal(t, string(want), string(got), test)
			require.LessOrEqual(t, bytes.Count(got, []byte("\n")), 24, "%s is meant to be short", test)
		})
	}
}

func keys(files map[string]*ast.File) (names []string) {
	for name := range files {
		names = append(names, name)
	}
	return names
}

// face prints what a file exports, with documentation and without bodies or
// values.
func face(t *testing.T, set *token.FileSet, f *ast.File) string {
	var b strings.Builder
	if f.Doc != nil {
		b.WriteString(f.Doc.Text())
	}
	ast.FileExports(f)
	for _, decl := range f.Decls {
		switch d := decl.(type) {
		case *ast.FuncDecl:
			if d.Recv != nil && !ast.IsExported(receiver(d)) {
				continue
			}
			b.WriteString(d.Doc.Text())
			d.Body = nil
		case *ast.GenDecl:
			if d.Tok == token.IMPORT {
				continue
			}
			b.WriteString(d.Doc.Text())
			documented(d, &b)
		}
		require.NoError(t, format.Node(&b, set, bare(decl)))
		b.WriteByte('\n')
	}
	return b.String()
}

// receiver is the name of a method's type.
func receiver(d *ast.FuncDecl) string {
	t := d.Recv.List[0].Type
	if star, ok := t.(*ast.StarExpr); ok {
		t = star.X
	}
	switch generic := t.(type) {
	case *ast.IndexExpr: // of one type
		t = generic.X
	case *ast.IndexListExpr: // of several
		t = generic.X
	}
	return t.(*ast.Ident).Name
}

// documented writes the documentation inside a declaration: of grouped names
// and of a struct's fields.
func documented(d *ast.GenDecl, b *strings.Builder) {
	ast.Inspect(d, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.Field:
			b.WriteString(n.Doc.Text())
		case *ast.TypeSpec:
			b.WriteString(n.Doc.Text())
		case *ast.ValueSpec:
			b.WriteString(n.Doc.Text())
			n.Values = nil // the reference's choice of a limit, say, is not the contract
		}
		return true
	})
}

// bare takes the comments off, which face has written already: the printer
// would place them by the line numbers of the file.
func bare(decl ast.Decl) ast.Decl {
	ast.Inspect(decl, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.FuncDecl:
			n.Doc = nil
		case *ast.GenDecl:
			n.Doc = nil
		case *ast.Field:
			n.Doc, n.Comment = nil, nil
		case *ast.StructType:
			n.Incomplete = false // whether there are unexported fields is the student's business
		case *ast.TypeSpec:
			n.Doc, n.Comment = nil, nil
		case *ast.ValueSpec:
			n.Doc, n.Comment = nil, nil
		}
		return true
	})
	return decl
}
