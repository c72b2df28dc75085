package book

import (
	"fmt"
	"html"
	"html/template"
	"os"
	"path"
	"path/filepath"
	"strings"
	"unicode/utf8"
)

// writeFiles writes a page for each source file and folder that a document
// links to. A folder's page links to its files, which adds them.
func (b *builder) writeFiles() error {
	for name := range b.files {
		if b.isFolder(name) {
			if err := b.writeFolder(name); err != nil {
				return err
			}
		}
	}
	for name := range b.files {
		if b.isFile(name) {
			if err := b.writeFile(name); err != nil {
				return err
			}
		}
	}
	return nil
}

func (b *builder) writeFile(name string) error {
	text, err := os.ReadFile(filepath.Join(b.root, name))
	if err != nil {
		return err
	}
	body := `<pre class="source" tabindex="0"><code>` + colouredFile(name, string(text)) + "</code></pre>"
	if !utf8.Valid(text) {
		body = "<p>This file is no text.</p>"
	}
	return b.writeFrame(frame{Out: name + ".html", Title: name, Wide: true, Crumbs: b.crumbs(name, name+".html"), Body: template.HTML(body)})
}

func (b *builder) writeFolder(name string) error {
	out := path.Join(name, "index.html")
	entries, err := os.ReadDir(filepath.Join(b.root, name))
	if err != nil {
		return err
	}
	var body strings.Builder
	fmt.Fprintf(&body, "<h1>%s/</h1><ul class=\"files\">", html.EscapeString(name))
	for _, e := range entries {
		child := path.Join(name, e.Name())
		switch {
		case strings.HasPrefix(e.Name(), "."):
		case e.IsDir() && b.pages[path.Join(child, "README.md")] == nil && !b.files[child]:
			fmt.Fprintf(&body, "<li>%s/</li>", html.EscapeString(e.Name()))
		default:
			href := b.hrefOf(&Page{Source: name, Out: out}, child, "", false)
			fmt.Fprintf(&body, "<li><a href=%q>%s</a></li>", href, html.EscapeString(e.Name()))
		}
	}
	body.WriteString("</ul>")
	return b.writeFrame(frame{Out: out, Title: name + "/", Crumbs: b.crumbs(path.Dir(name), out), Body: template.HTML(body.String())})
}

// A crumb is one of the folders above a file; Href is empty where the site has
// no page of it.
type crumb struct{ Name, Href string }

func (b *builder) crumbs(name, out string) (all []crumb) {
	parts := strings.Split(name, "/")
	for i, part := range parts {
		folder := path.Join(parts[:i+1]...)
		c := crumb{Name: part}
		if b.pages[folder+"/README.md"] != nil || b.files[folder] && folder != name {
			c.Href = relative(out, path.Join(folder, "index.html"))
		}
		all = append(all, c)
	}
	return all
}

// writePictures copies the pictures that documents show.
func (b *builder) writePictures() error {
	for name := range b.pictures {
		data, err := os.ReadFile(filepath.Join(b.root, name))
		if os.IsNotExist(err) {
			continue // a problem, and noted as one
		}
		if err != nil {
			return err
		}
		b.site[name] = data
	}
	return nil
}
