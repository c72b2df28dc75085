package dashboard

import (
	"bufio"
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
	"github.com/gorilla/websocket"
	"github.com/stretchr/testify/require"
)

// source makes snapshots of a server that is busier each time.
func source(ws string) func() Snapshot {
	var n atomic.Int64
	return func() Snapshot {
		i := n.Add(1)
		return Snapshot{TimeMS: i * 1000, Uptime: float64(i), WebSocket: ws, Connections: 100_000, Accepted: 100_500, Rooms: 12,
			Messages: i * 4000, Deliveries: i * 1_250_000, BytesIn: i * 300_000, BytesOut: i * 80_000_000, CPU: float64(i) * 0.9,
			RSS: 96_000_000, Heap: 50_000_000, Goroutines: 20, Latency: Latency{P50: 900, P90: 2500, P99: 6100 + i*10, P999: 9800, Max: 12_000, Count: 4000},
			Loops:  []Loop{{50_100, i * 2000, i * 620_000, 0, 420}, {49_900, i * 2000, i * 630_000, 4096, 380}},
			Limits: Limits{Connections: 101_000, QueueBytes: 262_144}}
	}
}

func TestSnapshotIsJSON(t *testing.T) {
	s := httptest.NewServer(Handler(source(""), time.Second))
	defer s.Close()
	answer, err := http.Get(s.URL + "/api/stats")
	require.NoError(t, err)
	defer answer.Body.Close()
	require.Equal(t, "application/json", answer.Header.Get("Content-Type"))
	var d map[string]any
	require.NoError(t, json.NewDecoder(answer.Body).Decode(&d))
	require.EqualValues(t, 100_000, d["connections"])
	require.Contains(t, d, "latency_us")
}

func TestStreamEndsWithTheRequest(t *testing.T) {
	over := make(chan struct{})
	h := Handler(source(""), time.Millisecond)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h.ServeHTTP(w, r)
		close(over)
	}))
	defer s.Close()
	ctx, cancel := context.WithCancel(t.Context())
	request, _ := http.NewRequestWithContext(ctx, http.MethodGet, s.URL+"/api/stream", nil)
	answer, err := http.DefaultClient.Do(request)
	require.NoError(t, err)
	require.Equal(t, "text/event-stream", answer.Header.Get("Content-Type"))
	events := 0
	for scan := bufio.NewScanner(answer.Body); events < 3 && scan.Scan(); {
		if strings.HasPrefix(scan.Text(), "data: {") {
			events++
		}
	}
	require.Equal(t, 3, events)
	cancel()
	<-over
}

func TestOtherPathsAreNotFound(t *testing.T) {
	w := httptest.NewRecorder()
	Handler(source(""), time.Second).ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/other", nil))
	require.Equal(t, http.StatusNotFound, w.Code)
}

// room is /room/chat: everybody hears everything.
func room(t *testing.T) (url string) {
	var mu sync.Mutex
	members := map[*websocket.Conn]bool{}
	up := websocket.Upgrader{CheckOrigin: func(*http.Request) bool { return true }}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c, err := up.Upgrade(w, r, nil)
		if err != nil {
			return
		}
		mu.Lock()
		members[c] = true
		mu.Unlock()
		for {
			kind, p, err := c.ReadMessage()
			if err != nil {
				break
			}
			mu.Lock()
			for m := range members {
				m.WriteMessage(kind, p)
			}
			mu.Unlock()
		}
		mu.Lock()
		delete(members, c)
		mu.Unlock()
	}))
	t.Cleanup(s.Close)
	return "ws" + strings.TrimPrefix(s.URL, "http")
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
		chromedp.Flag("disable-background-networking", true), chromedp.WindowSize(1280, 900))
	ctx, cancel := chromedp.NewExecAllocator(t.Context(), options...)
	t.Cleanup(cancel)
	ctx, cancel = context.WithTimeout(ctx, 90*time.Second)
	t.Cleanup(cancel)
	ctx, cancel = chromedp.NewContext(ctx)
	t.Cleanup(cancel)
	return ctx
}

// text waits until the text of an element is as ok wants.
func text(id string, ok string) chromedp.Action {
	return chromedp.Poll(`(() => { const s = document.getElementById("`+id+`").textContent; return `+ok+`; })()`, nil, chromedp.WithPollingInterval(50*time.Millisecond))
}

func TestInABrowser(t *testing.T) {
	ctx := browser(t)
	s := httptest.NewServer(Handler(source(room(t)), 100*time.Millisecond))
	defer s.Close()
	var mu sync.Mutex
	var complaints []string
	chromedp.ListenTarget(ctx, func(ev any) {
		mu.Lock()
		defer mu.Unlock()
		switch ev := ev.(type) {
		case *runtime.EventExceptionThrown:
			complaints = append(complaints, ev.ExceptionDetails.Error())
		case *runtime.EventConsoleAPICalled:
			if ev.Type == runtime.APITypeError {
				complaints = append(complaints, "console.error")
			}
		}
	})
	require.NoError(t, chromedp.Run(ctx, chromedp.Navigate(s.URL),
		text("connections", `s === "100,000"`),
		text("deliveries", `s === "1.25 M"`),
		text("p99", `s.endsWith("ms")`),
		text("state", `s === "live"`),
		text("loops", `s.includes("50,100")`),
		text("log", `s.includes("you are in the room")`),
		chromedp.SendKeys("#name", "!", chromedp.ByID),
		chromedp.SendKeys("#text", "hello <b>you</b>\r", chromedp.ByID),
		text("log", `s.includes("hello <b>you</b>")`)))

	second, cancel := chromedp.NewContext(ctx)
	defer cancel()
	require.NoError(t, chromedp.Run(second, chromedp.Navigate(s.URL),
		text("log", `s.includes("you are in the room")`),
		chromedp.SendKeys("#text", "from the second page\r", chromedp.ByID)))
	require.NoError(t, chromedp.Run(ctx, text("log", `s.includes("from the second page")`)))
	mu.Lock()
	require.Empty(t, complaints)
	mu.Unlock()

	if out := os.Getenv("ASYNCLAB_SCREENSHOTS"); out != "" {
		var shot []byte
		require.NoError(t, chromedp.Run(ctx, chromedp.Sleep(8*time.Second), chromedp.FullScreenshot(&shot, 100)))
		require.NoError(t, os.WriteFile(out+"/dashboard.png", shot, 0o644))
		require.NoError(t, chromedp.Run(ctx, chromedp.EmulateViewport(390, 844), chromedp.Sleep(time.Second), chromedp.FullScreenshot(&shot, 100)))
		require.NoError(t, os.WriteFile(out+"/phone.png", shot, 0o644))
	}
	s.CloseClientConnections()
	s.Listener.Close()
	require.NoError(t, chromedp.Run(ctx, text("state", `s.includes("not answer") || s.includes("no news")`)))
}
