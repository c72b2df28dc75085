package main

import (
	"cmp"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// A hole is a function of a desk that a step of the handout fills.
type hole struct {
	step    int
	text    string   // the declaration, without its comment
	imports []string // of its file, as they are written: `unix "golang.org/x/sys/unix"`
}

// A desk is what of a lab's skeleton is the student's to fill.
type desk struct {
	holes  map[string]hole              // by function: "New", "Conn.Send"
	fields map[string]map[string]string // types of fields, by struct and name: a hole that does for now may use one
}

// last is the last step that has a hole. From there on nothing is missing.
func (d desk) last() int {
	last := 0
	for _, each := range d.holes {
		last = max(last, each.step)
	}
	return last
}

// after lists the holes that somebody who has done the steps up to step has
// still.
func (d desk) after(step int) (names []string) {
	for name, each := range d.holes {
		if each.step > step {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// ofStep is how a hole says whose it is, in what it returns or in a comment. A
// hole that names two steps belongs to the first of them.
var ofStep = regexp.MustCompile(`\bstep (\d+)\b`)

// deskIn reads the files of a desk.
func deskIn(files sources) (desk, error) {
	d := desk{holes: map[string]hole{}, fields: map[string]map[string]string{}}
	for name, text := range files {
		g, err := parsed(name, text)
		if err != nil {
			return d, err
		}
		for _, f := range g.functions() {
			m := ofStep.FindSubmatch(g.cut(f.Body))
			if m == nil {
				continue
			}
			step, _ := strconv.Atoi(string(m[1]))
			d.holes[nameOf(f)] = hole{step: step, text: string(g.cut(f)), imports: g.imports()}
		}
		for name, s := range g.structs() {
			d.fields[name] = g.fields(s)
		}
	}
	return d, nil
}

// unfilled is the answer with the holes of the steps after step in place of its
// own functions: what a student has who has done the steps up to there, and
// rightly. Only files that change are in it. What has no hole on the desk,
// because the student invents it, stays as it is.
func unfilled(answer sources, d desk, step int) (sources, error) {
	missing := d.after(step)
	changed := sources{}
	if len(missing) == 0 {
		return changed, nil
	}
	for name, text := range answer {
		g, err := parsed(name, text)
		if err != nil {
			return nil, err
		}
		into := d.moreFields(g)
		imports := g.imports()
		for _, f := range g.functions() {
			i, found := slices.BinarySearch(missing, nameOf(f))
			if !found {
				continue
			}
			h := d.holes[missing[i]]
			missing = slices.Delete(missing, i, i+1)
			into = append(into, splice{f, h.text})
			imports = append(imports, h.imports...)
		}
		if into == nil {
			continue
		}
		if changed[name], err = withImports(name, g.with(into), imports); err != nil {
			return nil, err
		}
	}
	if len(missing) > 0 {
		return nil, fmt.Errorf("the desk has holes that the answer does not fill: %s", strings.Join(missing, ", "))
	}
	return changed, nil
}

// moreFields gives the answer's structs what only the desk's have.
func (d desk) moreFields(g goFile) (into []splice) {
	for name, s := range g.structs() {
		own, more := g.fields(s), ""
		for field, typ := range d.fields[name] {
			if own[field] == "" {
				more += "\t" + field + " " + typ + "\n"
			}
		}
		if more != "" {
			text := strings.TrimSuffix(string(g.cut(s.Fields)), "}")
			into = append(into, splice{s.Fields, text + "\n" + more + "}"})
		}
	}
	return into
}

// withImports gives a file those of imports that it uses: where a function
// became a hole, some are not used any more, and the hole may need others.
func withImports(name string, text []byte, imports []string) ([]byte, error) {
	g, err := parsed(name, text)
	if err != nil {
		return nil, err
	}
	used := g.qualifiers()
	slices.Sort(imports)
	imports = slices.DeleteFunc(slices.Compact(imports), func(i string) bool {
		name := importName(i)
		return name != "_" && name != "." && !used[name]
	})
	var into []splice
	for _, d := range g.file.Decls {
		if d, ok := d.(*ast.GenDecl); ok && d.Tok == token.IMPORT {
			into = append(into, splice{d, ""})
		}
	}
	block := "\n\nimport (\n\t" + strings.Join(imports, "\n\t") + "\n)"
	return g.with(append(into, splice{g.file.Name, g.file.Name.Name + block})), nil
}

var version = regexp.MustCompile(`^v\d+$`)

// importName is the word before the dot in a file with this import: its own, or
// by custom the last of the path that is not a version.
func importName(spec string) string {
	if name, _, own := strings.Cut(spec, " "); own {
		return name
	}
	p, _ := strconv.Unquote(spec)
	if base := path.Base(p); !version.MatchString(base) {
		return base
	}
	return path.Base(path.Dir(p))
}

// A goFile is source beside its tree.
type goFile struct {
	text []byte
	set  *token.FileSet
	file *ast.File
}

func parsed(name string, text []byte) (goFile, error) {
	set := token.NewFileSet()
	file, err := parser.ParseFile(set, name, text, parser.SkipObjectResolution|parser.ParseComments)
	return goFile{text, set, file}, err
}

func (g goFile) functions() (all []*ast.FuncDecl) {
	for _, d := range g.file.Decls {
		if f, ok := d.(*ast.FuncDecl); ok && f.Body != nil {
			all = append(all, f)
		}
	}
	return all
}

func (g goFile) structs() map[string]*ast.StructType {
	all := map[string]*ast.StructType{}
	ast.Inspect(g.file, func(n ast.Node) bool {
		if t, ok := n.(*ast.TypeSpec); ok {
			if s, ok := t.Type.(*ast.StructType); ok {
				all[t.Name.Name] = s
			}
		}
		return true
	})
	return all
}

// fields are the types of a struct's fields that have a name.
func (g goFile) fields(s *ast.StructType) map[string]string {
	all := map[string]string{}
	for _, f := range s.Fields.List {
		for _, name := range f.Names {
			all[name.Name] = string(g.cut(f.Type))
		}
	}
	return all
}

// nameOf is a function's name behind that of its receiver's type.
func nameOf(f *ast.FuncDecl) string {
	if f.Recv == nil {
		return f.Name.Name
	}
	receiver := ""
	ast.Inspect(f.Recv.List[0].Type, func(n ast.Node) bool {
		if id, ok := n.(*ast.Ident); ok && receiver == "" {
			receiver = id.Name // before its type parameters
		}
		return true
	})
	return receiver + "." + f.Name.Name
}

func (g goFile) imports() (all []string) {
	for _, i := range g.file.Imports {
		if i.Name != nil {
			all = append(all, i.Name.Name+" "+i.Path.Value)
		} else {
			all = append(all, i.Path.Value)
		}
	}
	return all
}

// qualifiers are all words that stand before a dot.
func (g goFile) qualifiers() map[string]bool {
	all := map[string]bool{}
	ast.Inspect(g.file, func(n ast.Node) bool {
		if s, ok := n.(*ast.SelectorExpr); ok {
			if id, ok := s.X.(*ast.Ident); ok {
				all[id.Name] = true
			}
		}
		return true
	})
	return all
}

func (g goFile) offsets(n ast.Node) (from, to int) {
	f := g.set.File(n.Pos())
	return f.Offset(n.Pos()), f.Offset(n.End())
}

// cut is the source of one node.
func (g goFile) cut(n ast.Node) []byte {
	from, to := g.offsets(n)
	return g.text[from:to]
}

// A splice is new source for one node.
type splice struct {
	node ast.Node
	text string
}

func (g goFile) with(all []splice) []byte {
	slices.SortFunc(all, func(a, b splice) int { return cmp.Compare(a.node.Pos(), b.node.Pos()) })
	var text []byte
	at := 0
	for _, s := range all {
		from, to := g.offsets(s.node)
		text = append(append(text, g.text[at:from]...), s.text...)
		at = to
	}
	return append(text, g.text[at:]...)
}
