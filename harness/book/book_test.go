package book

import (
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/image/font"
	"golang.org/x/image/font/gofont/goregular"
	"golang.org/x/image/font/sfnt"
	"golang.org/x/image/math/fixed"

	"github.com/asynclab/asynclab/harness/course"
)

const root = "../.."

// theBook is this repository's, built once for all tests.
var theBook = sync.OnceValues(func() (Site, error) {
	site, wrong, err := Build(root)
	problems = wrong
	return site, err
})

var problems []string // of theBook

func built(t *testing.T) Site {
	site, err := theBook()
	require.NoError(t, err)
	return site
}

// repository makes a small one, of files by name.
func repository(t *testing.T, files map[string]string) string {
	dir := t.TempDir()
	for name, text := range files {
		file := filepath.Join(dir, name)
		require.NoError(t, os.MkdirAll(filepath.Dir(file), 0o755))
		require.NoError(t, os.WriteFile(file, []byte(text), 0o644))
	}
	return dir
}

func build(t *testing.T, files map[string]string) (Site, []string) {
	site, problems, err := Build(repository(t, files))
	require.NoError(t, err)
	return site, problems
}

// The three tests that the course's documents have to pass.

func TestContentsAreComplete(t *testing.T) {
	missing, dead, err := Forgotten(root)
	require.NoError(t, err)
	for _, m := range missing {
		t.Errorf("%s is not in the book: add a line to %s", m, contentsFile)
	}
	for _, d := range dead {
		t.Errorf("%s lists %s, which does not exist: take the line out, or write it", contentsFile, d)
	}
}

func TestNoLinkIsDead(t *testing.T) {
	site := built(t)
	for _, p := range problems {
		t.Error(p)
	}
	for _, d := range site.Dead() {
		t.Error(d)
	}
}

func TestEveryLabIsInTheBook(t *testing.T) {
	site := built(t)
	for _, lab := range course.Labs {
		if lab.Built {
			require.Contains(t, site, lab.Path("labs")+"/index.html", lab.Dir())
		}
	}
}

func TestLinksGoWhereTheyWent(t *testing.T) {
	site, problems := build(t, map[string]string{
		contentsFile: "## One\n- [Start](../README.md)\n- [Second](second.md)\n",
		"README.md":  "# Start\n\n[two](docs/second.md#a-part-of-it) [folder](src) [picture](plot.svg) [web](https://example.org/x#y) `src/a.go`\n",
		"docs/second.md": "# Second\n\n## A part of it\n\n[up](../README.md) [line](../src/a.go#L2-L3) [here](#a-part-of-it) [list](contents.md)\n\n" +
			"![a plot](../plot.svg) ![a photo](../photo.png)\n\n<details>\n<summary>s</summary>\n<a class=\"x\" href=\"../README.md\">raw</a>\n</details>\n\nIn <a href=\"b.go\">text</a>. `../src/a.go` `b.go`\n",
		"docs/b.go": "package b\n",
		"src/a.go":  "package a\n\n// A is <one>.\nconst A = 1\n",
		"plot.svg":  `<?xml version="1.0"?><svg width="1"><text>label</text></svg>`,
		"photo.png": "no picture really",
	})
	require.Empty(t, problems)
	require.Empty(t, site.Dead())
	start, second := string(site["index.html"]), string(site["docs/second.html"])
	for _, link := range []string{`href="docs/second.html#a-part-of-it"`, `href="src/index.html"`, `href="plot.svg"`, `href="https://example.org/x#y"`, `<a href="src/a.go.html" class="file"><code>src/a.go</code></a>`} {
		require.Contains(t, start, link)
	}
	for _, link := range []string{`href="../index.html"`, `href="../src/a.go.html#L2"`, `href="#a-part-of-it"`, `href="../contents.html"`, `<img src="../photo.png"`, `<a class="x" href="../index.html">raw`, `<a href="b.go.html">text`, `<svg width="1"><text>label</text>`, `href="b.go.html"`} {
		require.Contains(t, second, strings.Replace(link, `"#a-part`, `"second.html#a-part`, 1))
	}
	source := string(site["src/a.go.html"])
	require.Contains(t, source, `id="L4"`)
	require.NotContains(t, source, `id="L5"`)
	require.Contains(t, source, `<span class="c">// A is &lt;one&gt;.</span>`)
	require.Contains(t, string(site["src/index.html"]), `href="a.go.html"`)
	require.Contains(t, string(site["print.html"]), `href="#docs-second--a-part-of-it"`, "stays on the page with everything")
	require.Equal(t, "no picture really", string(site["photo.png"]))
}

func TestLinksThatLeadNowhereAreProblems(t *testing.T) {
	site, problems := build(t, map[string]string{
		contentsFile: "## One\n- [Start](../README.md)\n- [Gone](gone.md)\n",
		"README.md":  "# Start\n\n[a](missing.md) ![b](missing.svg) ![c](https://example.org/c.png) [d](../outside.md) [e](#nowhere) [f](.hidden)\n",
		".hidden":    "",
		"docs/z.md":  "# Forgotten\n",
	})
	said := strings.Join(problems, "\n")
	for _, want := range []string{"does not list docs/z.md", "lists docs/gone.md", "links to missing.md", "shows missing.svg", "from elsewhere", "links to ../outside.md", "links to .hidden"} {
		require.Contains(t, said, want)
	}
	require.Contains(t, site, "docs/z.html", "what the contents forget is not lost")
	dead := strings.Join(site.Dead(), "\n")
	require.Contains(t, dead, "an empty link")
	require.Contains(t, dead, "no anchor #nowhere")
	require.Contains(t, dead, "loads https://example.org/c.png")
}

func TestDeadLinksAreFound(t *testing.T) {
	good := Site{"a.html": []byte(`<p id="x"><a href="b/">b</a><a href="b/index.html#y">y</a><a href="https://example.org">out</a>`), "b/index.html": []byte(`<p id="y"><img src="../p.png"><code>&lt;a href=&quot;no&quot;&gt;</code>`), "p.png": {}}
	good["a.html"] = []byte(strings.Replace(string(good["a.html"]), `href="b/"`, `href="b/index.html"`, 1))
	require.Empty(t, good.Dead())
	for link, why := range map[string]string{
		`<a href="c.html">`:                      "c.html is not in the site",
		`<a href="b/index.html#z">`:              "no anchor #z",
		`<a href="#z">`:                          "no anchor #z",
		`<a href="../a.html">`:                   "not in the site",
		`<a href="">`:                            "an empty link",
		`<p id="x">`:                             "the anchor #x twice",
		`<script src="https://cdn.example/x">`:   "<script> loads https://cdn.example/x",
		`<link href="//cdn.example/x.css">`:      "<link> loads",
		`<img alt="a" src="q.png">`:              "q.png is not in the site",
		`<a class="f" href="b/index.html#y%20">`: "no anchor",
	} {
		bad := maps.Clone(good)
		bad["a.html"] = append(slices.Clone(good["a.html"]), link...)
		require.Len(t, bad.Dead(), 1, link)
		require.Contains(t, bad.Dead()[0], why)
	}
}

func TestContentsRefuseWhatHasNoPlace(t *testing.T) {
	for contents, want := range map[string]string{
		"- [a](a.md)\n":   "before the first part",
		"# Contents\n":    "has no part",
		"<!-- labs -->\n": "before the first part",
	} {
		_, _, err := Build(repository(t, map[string]string{contentsFile: contents, "docs/a.md": "# A\n"}))
		require.ErrorContains(t, err, want, contents)
	}
	_, _, err := Build(t.TempDir())
	require.ErrorContains(t, err, "read the book's contents")
}

func TestChaptersFollowTheirLabs(t *testing.T) {
	lab := course.Labs[0]
	site, problems := build(t, map[string]string{
		contentsFile:                     "## Labs\n<!-- labs -->\n## Rest\n- [It’s last](last.md)\n",
		lab.Path("labs") + "/README.md":  "# Lab\n",
		"docs/labs/" + lab.Dir() + ".md": "# About it\n",
		"docs/last.md":                   "# Last\n",
	})
	for _, p := range problems {
		require.Contains(t, p, "/README.md: ", "only the labs that are not in this small repository are missing")
	}
	handout := string(site[lab.Path("labs")+"/index.html"])
	require.Contains(t, handout, `rel="next" href="../../docs/labs/`+lab.Dir()+`.html"`)
	require.Contains(t, handout, `<li class="nested"><a href="../../docs/labs/`+lab.Dir()+`.html">About it</a>`)
	require.Contains(t, handout, `aria-current="page">`+lab.ID+" "+lab.Title)
	require.Contains(t, string(site["docs/labs/"+lab.Dir()+".html"]), `rel="next" href="../last.html"`)
}

// GitHub's names, so that a link works there and here.
func TestAnchorsAreGitHubs(t *testing.T) {
	a := newAnchors("")
	for _, c := range [][2]string{
		{"Step 1: accept and echo", "step-1-accept-and-echo"},
		{"The article's version, and its autopsy", "the-articles-version-and-its-autopsy"},
		{"`make check` for graders", "make-check-for-graders"},
		{"C10K & C10M: 10,000", "c10k--c10m-10000"},
		{"EPOLL_ET (edge)", "epoll_et-edge"},
		{"背压 (backpressure)", "背压-backpressure"},
		{"Questions", "questions"}, {"Questions", "questions-1"}, {"Questions", "questions-2"},
	} {
		require.Equal(t, c[1], string(a.Generate([]byte(c[0]), 0)), c[0])
	}
}

func TestTypography(t *testing.T) {
	site, _ := build(t, map[string]string{
		contentsFile: "## One\n- [It's it](../README.md)\n",
		"README.md": "# It's it\n\n\"Quoted\" and don't... but --flag stays, `\"code\"` too. 10 ms of 4 KiB, 5 services, `7 ms`.[^1]\n\n[^1]: A note.\n\n" +
			"| a | b |\n| --- | ---: |\n| 1 | 2 ms |\n| a longer text | `src/os/unix/a_long_name.c` |\n\n<details>\n<summary>Why?</summary>\n\nBecause **so**.\n</details>\n",
	})
	page := string(site["index.html"])
	for _, want := range []string{"“Quoted”", "don’t", "--flag", "<code>&quot;code&quot;</code>", `<div class="table" tabindex="0"><table>`, "<strong>so</strong>", "<details>", "footnotes", "It’s it</a>", "10\u00a0ms of 4\u00a0KiB, 5 services, <code>7 ms</code>", `class="short" style="text-align:right">2`, "<td>a longer", "<code>src/<wbr>os/<wbr>unix/<wbr>a_<wbr>long_<wbr>name.c</code>"} {
		require.Contains(t, unquote(page), want)
	}
	require.Contains(t, string(site["print.html"]), "<details open>")
	require.Empty(t, site.Dead())
}

// unquote writes out the typographer's entities.
func unquote(s string) string {
	return strings.NewReplacer("&ldquo;", "“", "&rdquo;", "”", "&rsquo;", "’", "&hellip;", "…").Replace(s)
}

func TestCodeIsComplete(t *testing.T) {
	for _, c := range [][2]string{{"go", "package a\n\nfunc (s *S) F(x int) error { return nil } // end\nvar r = `two\nlines`\n"}, {"go", "if x := <-c; \"open"}, {"go", "a\r\nb"}, {"bash", "A=1 go test ./... # all\n"}, {"json", "{\"a\": [1]}\n"}, {"nobody's", "<>&\n"}, {"", ""}} {
		var text strings.Builder
		for _, p := range pieces(c[0], c[1]) {
			text.WriteString(p.text)
		}
		require.Equal(t, c[1], strings.TrimSuffix(text.String(), "\n")+c[1][len(strings.TrimSuffix(c[1], "\n")):], c[0])
	}
	coloured := coloured("go", "func (s *S) Close(n int) error { return io.EOF } // \"x\"")
	for _, want := range []string{`<span class="k">func</span>`, `<span class="nf">Close</span>`, `<span class="kt">int</span>`, `<span class="c">// &#34;x&#34;</span>`, "io.EOF"} {
		require.Contains(t, coloured, want)
	}
	require.NotContains(t, coloured, `<span class="nf">S<`)
}

func TestHyphensAreShort(t *testing.T) {
	short, err := shortHyphen(goregular.TTF)
	require.NoError(t, err)
	wide := func(ttf []byte, r rune) fixed.Int26_6 {
		f, err := sfnt.Parse(ttf)
		require.NoError(t, err)
		var b sfnt.Buffer
		g, err := f.GlyphIndex(&b, r)
		require.NoError(t, err)
		_, err = f.LoadGlyph(&b, g, fixed.I(1000), nil)
		require.NoError(t, err)
		bounds, advance, err := f.GlyphBounds(&b, g, fixed.I(1000), font.HintingNone)
		require.NoError(t, err)
		require.Less(t, bounds.Max.X, advance, "%c stays in its place", r)
		return advance
	}
	require.Less(t, wide(short, '-'), wide(goregular.TTF, '-'))
	require.Equal(t, wide(goregular.TTF, 'n'), wide(short, 'n'))
	_, err = shortHyphen([]byte("no font"))
	require.Error(t, err)
}

func TestWriteReplacesABookAndNothingElse(t *testing.T) {
	site := Site{"index.html": []byte("new"), printPage: []byte("all"), "a/b.html": []byte("b")}
	dir := filepath.Join(t.TempDir(), "deep", "book")
	require.NoError(t, site.Write(dir))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "old.html"), nil, 0o644))
	require.NoError(t, site.Write(dir))
	require.NoFileExists(t, filepath.Join(dir, "old.html"))
	text, err := os.ReadFile(filepath.Join(dir, "a", "b.html"))
	require.NoError(t, err)
	require.Equal(t, "b", string(text))

	other := repository(t, map[string]string{"thesis.txt": "all my work"})
	require.ErrorContains(t, site.Write(other), "no book: name a new or an empty folder")
	require.FileExists(t, filepath.Join(other, "thesis.txt"))
}

func get(h http.Handler, path string) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest("GET", path, nil))
	return w
}

func TestServing(t *testing.T) {
	site := Site{"index.html": []byte("<p>start"), "labs/01/index.html": []byte("<p>one"), "assets/style.css": []byte("p{}")}
	require.Contains(t, get(site, "/").Body.String(), "start")
	require.Contains(t, get(site, "/labs/01/").Body.String(), "one")
	require.Equal(t, "/labs/01/", get(site, "/labs/01").Header().Get("Location"))
	require.Equal(t, 404, get(site, "/labs/02/").Code)
	require.Equal(t, 404, get(site, "/../book.go").Code)
	require.Contains(t, get(site, "/assets/style.css").Header().Get("Content-Type"), "text/css")
	require.Equal(t, "no-cache", get(site, "/").Header().Get("Cache-Control"))
}

func TestServingFollowsTheDocuments(t *testing.T) {
	dir := repository(t, map[string]string{contentsFile: "## One\n- [a](a.md)\n", "docs/a.md": "# Before\n"})
	site, _, err := Build(dir)
	require.NoError(t, err)
	h := Serve(dir, site)
	require.Contains(t, get(h, "/docs/a.html").Body.String(), "Before")
	require.NoError(t, os.WriteFile(filepath.Join(dir, "docs/a.md"), []byte("# After\n"), 0o644))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "docs/b.md"), []byte("# New\n"), 0o644))
	require.Contains(t, get(h, "/docs/a.html").Body.String(), "After")
	require.NoError(t, os.Remove(filepath.Join(dir, contentsFile)))
	require.Contains(t, get(h, "/docs/a.html").Body.String(), "After", "a book that cannot be built leaves the one before")
}
