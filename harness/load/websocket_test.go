package load

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"github.com/stretchr/testify/require"
)

// hub is a small server of package gorilla: /echo, and /room/ with delivery to
// everybody. change may spoil what it delivers: it returns what member number i
// gets for message number n.
type hub struct {
	mu      sync.Mutex
	members []*websocket.Conn
	n       int
	change  func(i, n int, p []byte) [][]byte
	ping    bool
}

func (h *hub) serve(t *testing.T) (addr string) {
	up := websocket.Upgrader{CheckOrigin: func(*http.Request) bool { return true }}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c, err := h.join(&up, w, r)
		if err != nil {
			return
		}
		defer c.Close()
		if r.URL.Path == "/echo" {
			h.echo(c)
			return
		}
		for {
			_, p, err := c.ReadMessage()
			if err != nil {
				return
			}
			h.deliver(p)
		}
	}))
	t.Cleanup(s.Close)
	return strings.TrimPrefix(s.URL, "http://")
}

// join makes a member before the client has read its answer: what anybody
// publishes after that is for it, too.
func (h *hub) join(up *websocket.Upgrader, w http.ResponseWriter, r *http.Request) (*websocket.Conn, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	c, err := up.Upgrade(w, r, nil)
	if err == nil && r.URL.Path != "/echo" {
		h.members = append(h.members, c)
	}
	return c, err
}

func (h *hub) echo(c *websocket.Conn) {
	for n := 0; ; n++ {
		kind, p, err := c.ReadMessage()
		if err != nil {
			return
		}
		if h.ping {
			c.WriteControl(websocket.PingMessage, []byte("still there?"), time.Now().Add(time.Minute))
		}
		out := [][]byte{p}
		if h.change != nil {
			out = h.change(0, n, p)
		}
		for _, p := range out {
			if c.WriteMessage(kind, p) != nil {
				return
			}
		}
	}
}

func (h *hub) deliver(p []byte) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for i, m := range h.members {
		out := [][]byte{p}
		if h.change != nil {
			out = h.change(i, h.n, p)
		}
		for _, p := range out {
			if p == nil {
				m.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(1008, "too slow"), time.Now().Add(time.Minute))
				continue
			}
			m.WriteMessage(websocket.BinaryMessage, p)
		}
	}
	h.n++
}

func TestWebSocketEcho(t *testing.T) {
	for _, payload := range []int{1, 64, 125, 126, 70_000} {
		h := &hub{ping: true}
		r := run(t, Config{Addr: h.serve(t), Wire: WebSocket, Conns: 20, Depth: 3, Payload: payload, Warmup: 20 * time.Millisecond, Window: 200 * time.Millisecond})
		require.NoError(t, r.Faults.Err())
		require.Equal(t, 20, r.Connected)
		require.Positive(t, r.Messages, "payload %d", payload)
	}
}

func TestWebSocketWrongByteIsSeen(t *testing.T) {
	h := &hub{change: func(_, n int, p []byte) [][]byte {
		if n == 5 {
			p[len(p)-1] ^= 1
		}
		return [][]byte{p}
	}}
	r, _ := Run(context.Background(), Config{Addr: h.serve(t), Wire: WebSocket, Window: 200 * time.Millisecond}, Hooks{})
	require.Equal(t, 1, r.Faults.Mismatches, r.Faults)
}

func TestRefusedHandshakeIsSeen(t *testing.T) {
	s := httptest.NewServer(http.NotFoundHandler())
	defer s.Close()
	_, err := Run(context.Background(), Config{Addr: strings.TrimPrefix(s.URL, "http://"), Wire: WebSocket}, Hooks{})
	require.ErrorContains(t, err, "404")
}

func TestWrongAcceptValueIsSeen(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Sec-WebSocket-Accept", "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=")
		w.WriteHeader(http.StatusSwitchingProtocols)
	}))
	defer s.Close()
	_, err := Run(context.Background(), Config{Addr: strings.TrimPrefix(s.URL, "http://"), Wire: WebSocket}, Hooks{})
	require.ErrorContains(t, err, "Sec-WebSocket-Accept")
}

func TestRooms(t *testing.T) {
	for _, c := range []Config{
		{Conns: 30, Rooms: 1, Publishers: 2, Depth: 4},
		{Conns: 31, Rooms: 1, Publishers: 3, Depth: 4, Groups: 3},
		{Conns: 10, Rooms: 1, Rate: 500},
	} {
		h := &hub{}
		c.Addr, c.Wire = h.serve(t), WebSocket
		c.Warmup, c.Window = 50*time.Millisecond, 200*time.Millisecond
		r, err := Run(context.Background(), c, Hooks{})
		require.NoError(t, err)
		require.NoError(t, r.Faults.Err())
		require.Zero(t, r.Gaps)
		require.Equal(t, c.Conns, r.Connected)
		require.Greater(t, r.Deliveries, int64(c.Conns))
	}
}

func TestRoomFaultsAreSeen(t *testing.T) {
	var held []byte
	for name, change := range map[string]func(i, n int, p []byte) [][]byte{
		"gap": func(i, n int, p []byte) [][]byte {
			if i == 3 && n == 5 {
				return nil
			}
			return [][]byte{p}
		},
		"doubled": func(i, n int, p []byte) [][]byte {
			if i == 3 && n == 5 {
				return [][]byte{p, p}
			}
			return [][]byte{p}
		},
		"disordered": func(i, n int, p []byte) [][]byte {
			switch {
			case i == 3 && n == 5:
				held = p
				return nil
			case i == 3 && n == 7:
				return [][]byte{p, held}
			}
			return [][]byte{p}
		},
		"spoiled": func(i, n int, p []byte) [][]byte {
			if i == 3 && n == 5 {
				p = append([]byte{}, p...)
				p[40] ^= 1
			}
			return [][]byte{p}
		},
		"closed": func(i, n int, p []byte) [][]byte {
			if i == 3 && n == 5 {
				return [][]byte{nil}
			}
			return [][]byte{p}
		},
	} {
		h := &hub{change: change}
		c := Config{Addr: h.serve(t), Wire: WebSocket, Conns: 6, Rooms: 1, Depth: 4, Warmup: 50 * time.Millisecond, Window: 200 * time.Millisecond}
		r, err := Run(context.Background(), c, Hooks{})
		require.NoError(t, err, name)
		switch name {
		case "gap":
			require.NoError(t, r.Faults.Err())
			require.EqualValues(t, 1, r.Gaps)
		case "doubled":
			require.EqualValues(t, 1, r.Faults.Doubled, r.Faults)
		case "disordered":
			require.EqualValues(t, 1, r.Faults.Disordered, r.Faults)
			require.EqualValues(t, 1, r.Gaps)
		case "spoiled":
			require.EqualValues(t, 1, r.Faults.Mismatches, r.Faults)
		case "closed":
			require.EqualValues(t, 1, r.Faults.Ended, r.Faults)
			require.Contains(t, r.Faults.First, "1008")
		}
	}
}

func TestSilentMembersDoNotCount(t *testing.T) {
	h := &hub{}
	r, err := Run(context.Background(), Config{Addr: h.serve(t), Wire: WebSocket, Conns: 10, Silent: 2, Rooms: 1, Depth: 2, Payload: 32, Warmup: time.Millisecond, Window: 50 * time.Millisecond}, Hooks{})
	require.NoError(t, err)
	require.NoError(t, r.Faults.Err())
	require.Positive(t, r.Deliveries)
}
