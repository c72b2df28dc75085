package book

import (
	"context"
	"fmt"
	"net/http/httptest"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/input"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
	"github.com/stretchr/testify/require"
)

// A reader is a browser with the book in it.
type reader struct {
	*testing.T
	ctx  context.Context
	home string // the book's address, without a slash at its end

	mu         sync.Mutex
	complaints []string // of the console; guarded by mu
}

// newReader opens a headless Chromium. Without one the test is skipped, but not
// where the course's own tests must all run.
func newReader(t *testing.T) *reader {
	chromium := ""
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if p, err := exec.LookPath(name); err == nil {
			chromium = p
			break
		}
	}
	if chromium == "" {
		if os.Getenv("ASYNCLAB_COURSE") == "1" {
			t.Fatal("no browser here: install chromium (Debian: apt-get install chromium); the book is tested in one")
		}
		t.Skip("no browser here: install chromium to test the book in one")
	}
	server := httptest.NewServer(built(t))
	t.Cleanup(server.Close)
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(chromium), chromedp.NoSandbox, chromedp.DisableGPU,
		chromedp.Flag("disable-background-networking", true), chromedp.WSURLReadTimeout(2*time.Minute))
	ctx, cancel := context.WithTimeout(t.Context(), 8*time.Minute)
	t.Cleanup(cancel)
	ctx, cancel = chromedp.NewExecAllocator(ctx, options...)
	t.Cleanup(cancel)
	ctx, cancel = chromedp.NewContext(ctx, chromedp.WithErrorf(func(string, ...any) {})) // of events that are newer than chromedp
	t.Cleanup(cancel)
	r := &reader{T: t, ctx: ctx, home: server.URL}
	chromedp.ListenTarget(ctx, r.hear)
	r.do(chromedp.EmulateViewport(1280, 800))
	return r
}

// hear collects what the console says of errors and warnings.
func (r *reader) hear(event any) {
	said := ""
	switch e := event.(type) {
	case *runtime.EventExceptionThrown:
		said = e.ExceptionDetails.Error()
	case *runtime.EventConsoleAPICalled:
		for _, arg := range e.Args {
			said += fmt.Sprintf("console.%s %s %s ", e.Type, arg.Value, arg.Description)
		}
	case *log.EventEntryAdded: // the browser's own: what it could not load, or would not
		said = e.Entry.Text + " " + e.Entry.URL
	default:
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.complaints = append(r.complaints, said)
}

func (r *reader) quiet() {
	r.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	require.Empty(r, r.complaints, "what the console says")
}

func (r *reader) do(actions ...chromedp.Action) {
	r.Helper()
	require.NoError(r, chromedp.Run(r.ctx, actions...))
}

func (r *reader) open(path string) { r.Helper(); r.do(chromedp.Navigate(r.home + path)) }

// until waits for a condition, a JavaScript expression. While the browser goes
// from page to page there is nothing to ask.
func (r *reader) until(condition string) {
	r.Helper()
	var last error
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		holds := false
		if last = chromedp.Run(r.ctx, chromedp.Evaluate(condition, &holds)); last == nil && holds {
			return
		}
	}
	r.Fatalf("never came true: %s: %v", condition, last)
}

func ask[T any](r *reader, expression string) (value T) {
	r.Helper()
	r.do(chromedp.Evaluate(expression, &value))
	return value
}

// press is a key as the keyboard sends it: text comes of it only if no script
// takes the key.
func (r *reader) press(key, text string) {
	r.Helper()
	r.do(input.DispatchKeyEvent(input.KeyDown).WithKey(key).WithText(text), input.DispatchKeyEvent(input.KeyUp).WithKey(key))
}

func (r *reader) phone() {
	r.Helper()
	r.do(chromedp.EmulateViewport(390, 844, chromedp.EmulateMobile))
}

func (r *reader) dark() {
	r.Helper()
	r.do(emulation.SetEmulatedMedia().WithFeatures([]*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: "dark"}}))
}

func TestReadingFromPageToPage(t *testing.T) {
	r := newReader(t)
	r.open("/")
	r.until(`document.querySelector(".side [aria-current]").getAttribute("href") === "index.html"`)
	r.do(chromedp.Click(`.turn .next`, chromedp.ByQuery))
	r.until(`location.pathname !== "/" && document.querySelector(".turn .prev") !== null`)
	r.do(chromedp.Click(`.side a[href*="labs/01-blocking"]`, chromedp.ByQuery))
	r.until(`document.title.startsWith("Lab 01")`)
	r.do(chromedp.Click(`.toc a[href="#questions"]`, chromedp.ByQuery))
	r.until(`location.hash === "#questions" && document.getElementById("questions").getBoundingClientRect().top < 300`)
	r.until(`document.querySelector(".toc .here").textContent === "Questions"`)
	require.False(t, ask[bool](r, `document.querySelector("details p").checkVisibility()`), "answers are folded away")
	r.do(chromedp.Click(`details summary`, chromedp.ByQuery))
	r.until(`document.querySelector("details p").checkVisibility()`)
	r.do(chromedp.Click(`a.file`, chromedp.ByQuery))
	r.until(`document.querySelectorAll(".source .line").length > 10`)
	r.until(`document.fonts.check("1rem 'Book Mono'")`)
	r.quiet()
}

func TestSearchByKeyboard(t *testing.T) {
	r := newReader(t)
	r.open("/labs/03-eventloop/")
	r.press("/", "/")
	r.until(`document.getElementById("search").open && document.activeElement.id === "query"`)
	require.Equal(t, "", ask[string](r, `document.getElementById("query").value`))
	r.do(chromedp.SendKeys("#query", "CapHolds", chromedp.ByID))
	r.until(`document.querySelectorAll("#results mark").length > 1`)
	require.Contains(t, ask[string](r, `document.querySelector("#results a").textContent`), "Lab 01", "the lab of the check comes first")
	r.do(chromedp.KeyEvent(kb.ArrowDown))
	r.until(`document.querySelectorAll("#results a")[1].classList.contains("at")`)
	r.do(chromedp.KeyEvent(kb.ArrowUp), chromedp.KeyEvent(kb.Enter))
	r.until(`location.pathname.includes("01-blocking") && location.hash !== "" && document.getElementById(location.hash.slice(1)) !== null`)
	require.False(t, ask[bool](r, `document.getElementById("search").open`))

	for query, first := range map[string]string{
		"reorder buffer gap":     "ordering",
		"token bucket":           "06",
		"WebSocket close frames": "15",
		"zzzqqq":                 "",
	} {
		r.open("/")
		r.press("/", "/")
		r.until(`document.activeElement.id === "query"`)
		r.do(chromedp.SendKeys("#query", query, chromedp.ByID))
		if first == "" {
			r.until(`document.getElementById("said").textContent === "Nothing found."`)
		} else {
			r.until(fmt.Sprintf(`[...document.querySelectorAll("#results a")].slice(0, 5).some((a) => a.href.includes(%q))`, first))
		}
		r.do(chromedp.KeyEvent(kb.Escape))
		r.until(`!document.getElementById("search").open`)
	}
	r.quiet()
}

func TestPhone(t *testing.T) {
	r := newReader(t)
	r.phone()
	r.open("/labs/05-backpressure/")
	require.False(t, ask[bool](r, `document.getElementById("side").checkVisibility()`))
	r.do(chromedp.Click(".menu", chromedp.ByQuery))
	r.until(`document.getElementById("side").checkVisibility() && document.querySelector(".menu").getAttribute("aria-expanded") === "true"`)
	r.do(chromedp.Click(`.side a[href*="06-ratelimit/"]`, chromedp.ByQuery))
	r.until(`document.title.startsWith("Lab 06")`)
	require.False(t, ask[bool](r, `document.getElementById("side").checkVisibility()`))
	r.do(chromedp.Click(".bar .find", chromedp.ByQuery))
	r.do(chromedp.SendKeys("#query", "watermark", chromedp.ByID))
	r.until(`document.querySelectorAll("#results a").length > 2`)
	r.until(`document.getElementById("search").getBoundingClientRect().right <= innerWidth`)
	r.do(chromedp.Click(`#results a`, chromedp.ByQuery))
	r.until(`document.body.textContent.toLowerCase().includes("watermark") && !document.getElementById("search").open`)
	r.quiet()
}

// At the width of a phone no page is wider than the window: what is wide
// scrolls in a box of its own.
func TestNoPageScrollsSideways(t *testing.T) {
	r := newReader(t)
	r.phone()
	files := map[string]bool{} // of source: one of a kind is enough
	for _, name := range built(t).pages() {
		if kind := strings.TrimSuffix(name, ".html"); strings.Contains(kind, ".") || strings.HasPrefix(name, "solutions/") {
			kind = kind[strings.LastIndex(kind, ".")+1:]
			if files[kind] {
				continue
			}
			files[kind] = true
		}
		r.open("/" + name)
		r.do(chromedp.Evaluate(`for (const d of document.querySelectorAll("details")) d.open = true`, nil))
		wide := ask[[]string](r, `document.documentElement.scrollWidth <= innerWidth ? [] :
			[...document.querySelectorAll("main *")].filter((e) => e.getBoundingClientRect().right > innerWidth + 1 && !e.parentElement.closest("pre, .table, .diagram, .plot")).map((e) => e.outerHTML.slice(0, 120)).concat("the page")`)
		require.Empty(t, wide, "%s is wider than a phone", name)
		require.Equal(t, 390.0, ask[float64](r, `innerWidth`), "%s made the window wider", name)
	}
	r.quiet()
}

// contrasts are those of all text that can be seen, against the nearest
// background that is not transparent: WCAG's relation of luminances.
const contrasts = `(() => {
	const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
	const over = (colours) => { canvas.fillStyle = "#fff"; canvas.fillRect(0, 0, 1, 1); for (const c of colours) { canvas.fillStyle = c; canvas.fillRect(0, 0, 1, 1); } return canvas.getImageData(0, 0, 1, 1).data; };
	const luminance = (d) => { const [r, g, b] = [d[0], d[1], d[2]].map((v) => (v /= 255) <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4); return 0.2126 * r + 0.7152 * g + 0.0722 * b; };
	const poor = new Set();
	const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
	while (walker.nextNode()) {
		const e = walker.currentNode.parentElement;
		if (!walker.currentNode.data.trim() || !e.checkVisibility({ opacityProperty: true }) || e.closest(".plot, script, style, .anchor, .skip") || e.ariaHidden) continue;
		const behind = [];
		for (let up = e; up; up = up.parentElement) behind.unshift(getComputedStyle(up).backgroundColor);
		const style = getComputedStyle(e), ink = e instanceof SVGElement ? style.fill : style.color;
		const a = luminance(over(behind)), b = luminance(over([...behind, ink]));
		const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
		if (ratio < 4.5) poor.add(e.tagName + "." + (e.getAttribute("class") ?? "") + " " + ratio.toFixed(2) + " " + ink + " on " + behind.at(-1) + ": " + e.textContent.slice(0, 30));
	}
	return [...poor];
})()`

func TestContrast(t *testing.T) {
	for _, scheme := range []string{"light", "dark"} {
		t.Run(scheme, func(t *testing.T) {
			r := newReader(t)
			paper := []int{255, 255, 255}
			if scheme == "dark" {
				r.dark()
			}
			for _, name := range []string{"/", "/labs/05-backpressure/", "/labs/01-blocking/server.go.html", "/docs/autopsies.html", "/contents.html"} {
				r.open(name)
				require.Empty(t, ask[[]string](r, contrasts), name)
				paper = ask[[]int](r, `getComputedStyle(document.body).backgroundColor.match(/\d+/g).map(Number)`)
			}
			require.Equal(t, scheme == "dark", paper[0] < 100, "paper is %v", paper)
			r.press("/", "/")
			r.do(chromedp.SendKeys("#query", "deadline", chromedp.ByID))
			r.until(`document.querySelectorAll("#results mark").length > 1`)
			require.Empty(t, ask[[]string](r, contrasts), "the search")
			r.quiet()
		})
	}
}

// On paper there is the text alone, unfolded, in black on white.
func TestPaper(t *testing.T) {
	r := newReader(t)
	r.dark()
	r.open("/labs/01-blocking/")
	r.do(chromedp.Evaluate(`dispatchEvent(new Event("beforeprint"))`, nil))
	require.Equal(t, 0, ask[int](r, `document.querySelectorAll("details:not([open])").length`))
	r.do(emulation.SetEmulatedMedia().WithMedia("print").WithFeatures([]*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: "dark"}}))
	require.Equal(t, "rgb(255, 255, 255)", ask[string](r, `getComputedStyle(document.body).backgroundColor`))
	for _, hidden := range []string{".bar", ".side", ".toc", ".turn", "dialog"} {
		require.False(t, ask[bool](r, `document.querySelector("`+hidden+`").checkVisibility()`), hidden)
	}
	require.True(t, ask[bool](r, `document.querySelector("details p").checkVisibility()`))

	r.open("/print.html")
	var pdf []byte
	r.do(chromedp.ActionFunc(func(ctx context.Context) (err error) {
		pdf, _, err = page.PrintToPDF().WithPreferCSSPageSize(true).Do(ctx)
		return err
	}))
	require.Greater(t, strings.Count(string(pdf), "/Type /Page\n"), 100, "the whole book on paper")
	require.Equal(t, len(ask[[]string](r, `[...document.querySelectorAll("article h1")].map((h) => h.textContent)`)), ask[int](r, `document.querySelectorAll("article").length`))
	r.quiet()
}

// Opened as files, without a server, the book has its search too.
func TestAsFiles(t *testing.T) {
	r := newReader(t)
	dir := t.TempDir()
	require.NoError(t, built(t).Write(dir))
	r.home = "file://" + dir
	r.open("/labs/02-epoll/index.html")
	r.press("/", "/")
	r.do(chromedp.SendKeys("#query", "backlog", chromedp.ByID))
	r.until(`document.querySelectorAll("#results mark").length > 1`)
	r.do(chromedp.Click(`#results a`, chromedp.ByQuery))
	r.until(`location.protocol === "file:" && !document.getElementById("search").open`)
	r.quiet()
}
