package dashboard

import (
	"context"
	"fmt"
	"maps"
	"math"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
	"github.com/gorilla/websocket"
	"github.com/stretchr/testify/require"
)

// fake is a server of 100,000 connections that lives one second with every
// snapshot.
type fake struct {
	mu  sync.Mutex
	now Snapshot // guarded by mu
}

func newFake(ws string) *fake {
	f := &fake{}
	f.restart(ws)
	return f
}

// change lets the server be in another state from the next snapshot on.
func (f *fake) change(how func(*Snapshot)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	how(&f.now)
}

// restart begins every counter at 0, as a new process does.
func (f *fake) restart(ws string) {
	f.change(func(s *Snapshot) {
		*s = Snapshot{
			TimeMS: s.TimeMS + 1000, WebSocket: ws, Connections: 100_000, Accepted: 100_500, Rooms: 128, Goroutines: 21,
			Loops:  []Loop{{Connections: 50_112}, {Connections: 49_888}},
			Limits: Limits{Connections: 120_000, QueueBytes: 262_144},
		}
	})
}

// snapshot is one second after the one before, with waves of load in it.
func (f *fake) snapshot() Snapshot {
	f.mu.Lock()
	defer f.mu.Unlock()
	s := &f.now
	s.TimeMS += 1000
	s.Uptime++
	wave := 1 + 0.25*math.Sin(s.Uptime/20) + 0.05*math.Sin(s.Uptime*1.7)
	spike := 1.0
	if int(s.Uptime)%70 < 4 {
		spike = 6
	}
	messages, deliveries := int64(1600*wave), int64(1_250_000*wave)
	s.Messages += messages
	s.Deliveries += deliveries
	s.BytesIn += messages * 70
	s.BytesOut += deliveries * 68
	s.CPU += 0.9 * wave * math.Sqrt(spike)
	s.Latency = Latency{P50: int64(900 * wave), P90: int64(2300 * wave), P99: int64(6100 * wave * spike), P999: int64(9800 * wave * spike * spike), Max: int64(15_000 * wave * spike * spike), Count: messages}
	s.Loops = []Loop{ // new ones: those before belong to whoever has them
		{Connections: 50_112, Messages: s.Messages / 2, Deliveries: s.Deliveries * 51 / 100, QueuedBytes: 48_000, Lag: int64(420 * wave * spike)},
		{Connections: 49_888, Messages: s.Messages / 2, Deliveries: s.Deliveries * 49 / 100, Lag: int64(380 * wave)},
	}
	s.RSS, s.Heap = 412_000_000+int64(9e6*wave), 230_000_000+int64(20e6*wave)
	s.Drops.Oldest += int64(spike) - 1
	s.Refused.Address, s.Closed.Normal, s.Closed.Error = 12, 480, 20
	return *s
}

// serve ends with the test. Streams have no end of their own, so they are cut.
func serve(t *testing.T, h http.Handler) *httptest.Server {
	s := httptest.NewServer(h)
	t.Cleanup(func() {
		s.Listener.Close()
		s.CloseClientConnections()
		s.Close()
	})
	return s
}

// chatServer is /room/chat: everybody hears everything.
type chatServer struct {
	*httptest.Server
	mu      sync.Mutex
	members map[*websocket.Conn]bool // guarded by mu, and so is writing to them
}

func newChatServer(t *testing.T) *chatServer {
	s := &chatServer{members: map[*websocket.Conn]bool{}}
	s.Server = serve(t, s)
	t.Cleanup(s.cut) // what was upgraded is no longer the server's
	return s
}

func (s *chatServer) url() string { return "ws" + strings.TrimPrefix(s.URL, "http") }

func (s *chatServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path != "/room/chat" {
		http.NotFound(w, r)
		return
	}
	up := websocket.Upgrader{CheckOrigin: func(*http.Request) bool { return true }}
	c, err := up.Upgrade(w, r, nil)
	if err != nil {
		return
	}
	defer c.Close()
	s.mu.Lock()
	s.members[c] = true
	s.mu.Unlock()
	for {
		kind, p, err := c.ReadMessage()
		if err != nil {
			break
		}
		s.say(kind, string(p))
	}
	s.mu.Lock()
	delete(s.members, c)
	s.mu.Unlock()
}

func (s *chatServer) say(kind int, text string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.members {
		c.WriteMessage(kind, []byte(text))
	}
}

// cut ends every connection without a word.
func (s *chatServer) cut() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range maps.Keys(s.members) {
		c.NetConn().Close()
	}
}

// gate stands before the dashboard: while it is shut, requests end as it says.
type gate struct {
	http.Handler
	mu   sync.Mutex
	shut func(http.ResponseWriter) // guarded by mu; nil is open
}

func (g *gate) set(shut func(http.ResponseWriter)) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.shut = shut
}

func (g *gate) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	g.mu.Lock()
	shut := g.shut
	g.mu.Unlock()
	if shut != nil {
		shut(w)
		return
	}
	g.Handler.ServeHTTP(w, r)
}

// browser opens a headless Chromium. Without one the test is skipped, but not
// where the course's own tests must all run.
func browser(t *testing.T) context.Context {
	path := ""
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if p, err := exec.LookPath(name); err == nil {
			path = p
			break
		}
	}
	if path == "" {
		if os.Getenv("ASYNCLAB_COURSE") == "1" {
			t.Fatal("no browser here: install chromium (Debian: apt-get install chromium); the dashboard is tested in one")
		}
		t.Skip("no browser here: install chromium to test the dashboard in one")
	}
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(path), chromedp.NoSandbox, chromedp.DisableGPU,
		chromedp.Flag("disable-background-networking", true), chromedp.WindowSize(1280, 800))
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	ctx, cancel = chromedp.NewExecAllocator(ctx, options...)
	t.Cleanup(cancel)
	ctx, cancel = chromedp.NewContext(ctx)
	t.Cleanup(cancel)
	require.NoError(t, chromedp.Run(ctx), "start "+path)
	return ctx
}

// anotherPage is a second page of the same browser.
func anotherPage(t *testing.T, ctx context.Context) context.Context {
	ctx, cancel := chromedp.NewContext(ctx)
	t.Cleanup(cancel)
	return ctx
}

// complaints collects what the console of a page says of errors and warnings.
func complaints(ctx context.Context) func() []string {
	var mu sync.Mutex
	var all []string
	add := func(text string) {
		mu.Lock()
		defer mu.Unlock()
		all = append(all, text)
	}
	chromedp.ListenTarget(ctx, func(event any) {
		switch e := event.(type) {
		case *runtime.EventExceptionThrown:
			add(e.ExceptionDetails.Error())
		case *runtime.EventConsoleAPICalled:
			for _, arg := range e.Args {
				add(fmt.Sprintf("console.%s %s %s", e.Type, arg.Value, arg.Description))
			}
		case *log.EventEntryAdded: // the browser's own: what it could not load, or would not
			add(e.Entry.Text + " " + e.Entry.URL)
		}
	})
	return func() []string {
		mu.Lock()
		defer mu.Unlock()
		return append([]string{}, all...)
	}
}

// until waits for a condition, a JavaScript expression.
func until(t *testing.T, ctx context.Context, condition string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	if err := chromedp.Run(ctx, chromedp.Poll(condition, nil, chromedp.WithPollingInterval(20*time.Millisecond))); err != nil {
		t.Fatalf("never came true: %s: %v", condition, err)
	}
}

// says waits until an element's text has a part.
func says(t *testing.T, ctx context.Context, id, part string) {
	t.Helper()
	until(t, ctx, fmt.Sprintf(`document.getElementById(%q).textContent.includes(%q)`, id, part))
}

func evaluate[T any](t *testing.T, ctx context.Context, expression string) (value T) {
	t.Helper()
	require.NoError(t, chromedp.Run(ctx, chromedp.Evaluate(expression, &value)))
	return value
}

func open(t *testing.T, ctx context.Context, url string) {
	t.Helper()
	require.NoError(t, chromedp.Run(ctx, chromedp.Navigate(url)))
	says(t, ctx, "state", "live")
}

const every = 20 * time.Millisecond // a second of the fake server

func TestNumbersMove(t *testing.T) {
	ctx := browser(t)
	said := complaints(ctx)
	server := newFake(newChatServer(t).url())
	s := serve(t, Handler(server.snapshot, every))
	open(t, ctx, s.URL)
	says(t, ctx, "connections", "100,000")
	for _, id := range []string{"messages", "deliveries", "out", "p99", "quantiles", "uptime", "loops", "process", "losses", "deliveries-key", "latency-key", "cost-key"} {
		before := evaluate[string](t, ctx, `document.getElementById("`+id+`").textContent`)
		until(t, ctx, fmt.Sprintf(`document.getElementById(%q).textContent !== %q`, id, before))
	}
	until(t, ctx, `/^(1\.\d+ M|9\d\d(\.\d)? k)$/.test(document.getElementById("deliveries").textContent)`)
	for _, id := range []string{"messages", "deliveries", "latency", "cost"} { // there is a line in its colour on each
		until(t, ctx, `(() => {
			const c = document.getElementById("`+id+`-chart"), d = c.getContext("2d").getImageData(0, 0, c.width, c.height).data;
			for (let i = 0; i < d.length; i += 4) if (d[i+3] > 200 && Math.max(d[i], d[i+1], d[i+2]) - Math.min(d[i], d[i+1], d[i+2]) > 90) return true;
			return false; })()`)
	}
	says(t, ctx, "chat-state", "joined")
	require.Empty(t, said(), "what the console says")

	// By the keyboard: the cursor of a chart goes back in time.
	require.NoError(t, chromedp.Run(ctx, chromedp.Focus("#latency-chart", chromedp.ByID), chromedp.KeyEvent(kb.ArrowLeft)))
	says(t, ctx, "deliveries-key", "ago")
	require.NoError(t, chromedp.Run(ctx, chromedp.KeyEvent(kb.Escape)))
	until(t, ctx, `!document.getElementById("deliveries-key").textContent.includes("ago")`)
}

// A stream may send a sample twice: it has a clock of its own.
func TestSameSampleTwiceIsNoStandstill(t *testing.T) {
	ctx := browser(t)
	server := newFake("")
	s := serve(t, Handler(func() Snapshot {
		s := server.snapshot()
		s.TimeMS, s.Messages = s.TimeMS/2000*2000, s.TimeMS/2000*2000 // 1000 a second, told every other second
		return s
	}, every))
	open(t, ctx, s.URL)
	says(t, ctx, "messages", "1,000")
	require.NoError(t, chromedp.Run(ctx, chromedp.Evaluate(`
		var wrong = [];
		new MutationObserver(() => { const s = document.getElementById("messages").textContent; if (s !== "1,000") wrong.push(s); })
			.observe(document.getElementById("messages"), { childList: true, characterData: true, subtree: true })`, nil)))
	until(t, ctx, `document.getElementById("uptime").textContent.includes("min")`)
	require.Empty(t, evaluate[[]string](t, ctx, `wrong`))
}

func TestDraining(t *testing.T) {
	ctx := browser(t)
	server := newFake("")
	s := serve(t, Handler(server.snapshot, every))
	open(t, ctx, s.URL)
	require.True(t, evaluate[bool](t, ctx, `document.getElementById("banner").hidden`))
	server.change(func(s *Snapshot) { s.Draining, s.Connections = true, 77 })
	says(t, ctx, "state", "draining")
	says(t, ctx, "banner", "other 77")
	require.False(t, evaluate[bool](t, ctx, `document.getElementById("banner").hidden`))
}

// A stream may be lost in two ways, of which EventSource itself survives only the
// first; and the server that comes back may be another one.
func TestLostStreamShowsAndRecovers(t *testing.T) {
	for name, shut := range map[string]func(http.ResponseWriter){
		"broken off":       func(http.ResponseWriter) { panic(http.ErrAbortHandler) },
		"503 from a proxy": func(w http.ResponseWriter) { http.Error(w, "no server", http.StatusServiceUnavailable) },
	} {
		t.Run(name, func(t *testing.T) {
			ctx := browser(t)
			server := newFake("")
			g := &gate{Handler: Handler(server.snapshot, every)}
			s := serve(t, g)
			open(t, ctx, s.URL)
			says(t, ctx, "deliveries", " M")

			g.set(shut)
			s.CloseClientConnections()
			says(t, ctx, "state", "lost")
			says(t, ctx, "banner", "No news from the server")

			server.restart("")
			server.change(func(s *Snapshot) { s.Connections = 5 })
			g.set(nil)
			says(t, ctx, "state", "live")
			until(t, ctx, `document.getElementById("connections").textContent === "5"`)
			says(t, ctx, "deliveries", " M")
			require.True(t, evaluate[bool](t, ctx, `document.getElementById("banner").hidden`))
		})
	}
}

// A server that is there but says nothing is lost, too.
func TestSilenceShows(t *testing.T) {
	ctx := browser(t)
	server := newFake("")
	s := serve(t, Handler(server.snapshot, time.Hour))
	open(t, ctx, s.URL)
	says(t, ctx, "state", "lost")
}

func TestChat(t *testing.T) {
	ctx := browser(t)
	room := newChatServer(t)
	server := newFake(room.url())
	s := serve(t, Handler(server.snapshot, every))
	one, two := ctx, anotherPage(t, ctx)
	said := complaints(one)
	for _, page := range []context.Context{one, two} {
		open(t, page, s.URL)
		says(t, page, "chat-state", "joined")
	}
	const markup = `<img src=x onerror=alert(1)><b>bold</b>`
	require.NoError(t, chromedp.Run(one,
		chromedp.SetValue("#name", "Ada <i>", chromedp.ByID),
		chromedp.SendKeys("#text", markup+"\r", chromedp.ByID)))
	for _, page := range []context.Context{one, two} { // the sender hears it from the room, too
		says(t, page, "log", "Ada <i>")
		says(t, page, "log", markup)
		require.Zero(t, evaluate[int](t, page, `document.querySelectorAll("#log img, #log i, #log b b").length`))
	}
	require.NoError(t, chromedp.Run(two, chromedp.SendKeys("#text", "from the other page", chromedp.ByID), chromedp.Click("#send", chromedp.ByID)))
	says(t, one, "log", "from the other page")
	require.Empty(t, evaluate[string](t, two, `document.getElementById("text").value`))

	// Members that are no pages like this one.
	room.say(websocket.TextMessage, "plain words")
	room.say(websocket.BinaryMessage, "in binary")
	room.say(websocket.TextMessage, `{"from":["a"],"text":"an odd name"}`)
	room.say(websocket.TextMessage, `{"text":7}`)
	room.say(websocket.TextMessage, `null`)
	for _, part := range []string{"plain words", "in binary", "an odd name", `{"text":7}`, "null"} {
		says(t, one, "log", part)
	}
	for i := range 1000 { // a busy room
		room.say(websocket.TextMessage, fmt.Sprintf(`{"from":"swarm","text":"number %d"}`, i))
	}
	says(t, one, "log", "number 999")
	require.LessOrEqual(t, evaluate[int](t, one, `document.getElementById("log").children.length`), 200)
	require.Empty(t, said(), "what the console says")

	room.cut()
	says(t, one, "log", "not in the room")
	until(t, one, `document.getElementById("chat-state").textContent === "joined"`)
	require.NoError(t, chromedp.Run(one, chromedp.SendKeys("#text", "back again\r", chromedp.ByID)))
	says(t, two, "log", "back again")
}

func TestChatWithoutAServerSaysSo(t *testing.T) {
	ctx := browser(t)
	closed := serve(t, http.NotFoundHandler()) // answers, but not to the upgrade
	server := newFake("ws" + strings.TrimPrefix(closed.URL, "http"))
	s := serve(t, Handler(server.snapshot, every))
	open(t, ctx, s.URL)
	says(t, ctx, "chat-state", "trying again")
	says(t, ctx, "log", "refused")
	require.True(t, evaluate[bool](t, ctx, `document.getElementById("send").disabled`))

	server.change(func(s *Snapshot) { s.WebSocket = newChatServer(t).url() }) // the figures name another place
	says(t, ctx, "chat-state", "joined")
}

// Nothing is wider than the screen, and every field has a name.
func TestFitsEveryScreen(t *testing.T) {
	ctx := browser(t)
	server := newFake("")
	s := serve(t, Handler(server.snapshot, every))
	open(t, ctx, s.URL)
	says(t, ctx, "losses", "too many")
	for _, width := range []int64{320, 390, 768, 1024, 1280, 1920} {
		require.NoError(t, chromedp.Run(ctx, chromedp.EmulateViewport(width, 800)))
		until(t, ctx, fmt.Sprintf(`innerWidth === %d`, width))
		require.Empty(t, evaluate[[]string](t, ctx, `[...document.querySelectorAll("section, header, .number, table, form")]
			.filter(e => e.scrollWidth > e.clientWidth + 1 || e.getBoundingClientRect().right > innerWidth + 1).map(e => e.id + " " + e.className + " " + e.textContent.slice(0, 40))`),
			"wider than its place at %d pixels", width)
	}
	require.Zero(t, evaluate[int](t, ctx, `[...document.querySelectorAll("input")].filter(e => !e.labels.length).length`))
	require.Zero(t, evaluate[int](t, ctx, `[...document.querySelectorAll("canvas")].filter(e => !e.getAttribute("aria-label") || e.tabIndex !== 0).length`))
}

// TestScreenshots leaves pictures in the folder ASYNCLAB_SCREENSHOTS, for eyes.
func TestScreenshots(t *testing.T) {
	folder := os.Getenv("ASYNCLAB_SCREENSHOTS")
	if folder == "" {
		t.Skip("set ASYNCLAB_SCREENSHOTS to a folder to get pictures of the dashboard")
	}
	ctx := browser(t)
	room := newChatServer(t)
	server := newFake(room.url())
	for range 330 {
		server.snapshot()
	}
	g := &gate{Handler: Handler(server.snapshot, 5*time.Millisecond)}
	s := serve(t, g)
	shoot := func(name string, width, height int64, scheme string) {
		var picture []byte
		require.NoError(t, chromedp.Run(ctx, chromedp.EmulateViewport(width, height),
			emulation.SetEmulatedMedia().WithFeatures([]*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}}),
			chromedp.Evaluate(`new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))`, nil),
			chromedp.FullScreenshot(&picture, 100)))
		require.NoError(t, os.WriteFile(filepath.Join(folder, name+".png"), picture, 0o644))
	}
	open(t, ctx, s.URL)
	says(t, ctx, "chat-state", "joined")
	room.say(websocket.TextMessage, `{"from":"Ada","text":"who else is in here?"}`)
	room.say(websocket.TextMessage, `{"from":"Grace","text":"a hundred thousand others, and me"}`)
	says(t, ctx, "log", "and me")
	until(t, ctx, `span() === 300000 && past.at(-1).t - past[0].t >= 299000`)
	shoot("light", 1280, 800, "light")
	shoot("dark", 1280, 800, "dark")
	shoot("phone", 390, 844, "light")
	shoot("phone-dark", 390, 844, "dark")
	server.change(func(s *Snapshot) { s.Draining = true })
	says(t, ctx, "state", "draining")
	shoot("draining", 1280, 800, "light")
	g.set(func(http.ResponseWriter) { panic(http.ErrAbortHandler) })
	s.CloseClientConnections()
	says(t, ctx, "state", "lost")
	shoot("lost", 1280, 800, "dark")
}
