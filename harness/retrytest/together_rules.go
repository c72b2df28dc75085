package retrytest

import (
	"context"
	"fmt"
	"math"
	"net"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/asynclab/asynclab/harness/chaos"
	"github.com/asynclab/asynclab/harness/spec"
)

var togetherRules = []spec.Rule[lab]{
	{
		Name: "NonsenseIsRefused", Group: "together", Points: 1, Section: all11,
		Why: "A negative timeout, a ratio of NaN or a call that is too large is a mistake of the caller. He should hear of it from you, and not from the far end.",
		Hints: [3]string{
			"Which values make no sense?",
			"Negative ones, ratios above 1 or NaN, no endpoint, a nil Dial, no Handle. Of calls: a body that does not fit into MaxMessage, a key above 255 bytes.",
			"!(ratio >= 0 && ratio <= 1) is true for NaN, ratio < 0 || ratio > 1 is not",
		},
		Check: nonsense,
	},
	{
		Name: "ExactlyOnceThroughCuts", Group: "together", Points: 2, Section: all11, Deadline: 2 * time.Minute,
		Why: "Your client, your server, and a network that cuts every connection in the middle of a frame. Each call is done once and answered, each push comes once and in order. That is what all of this is for.",
		Hints: [3]string{
			"Is a call done twice, not at all, or answered wrongly? Each has its own check above.",
			"The ids: never used twice, ascending, the same when sent again in a resumed session.",
			"make check LAB=13 STEP=7, then STEP=10: what is green there and red here is a matter of timing: look at what your reader and your writer share.",
		},
		Check: func(r *spec.Run, l lab) error {
			return together(r, l, chaos.Faults{Cut: 4000}, Options{})
		},
	},
	{
		Name: "ExactlyOnceThroughSilence", Group: "together", Points: 1, Section: all11, Deadline: 2 * time.Minute,
		Why: "The same with connections that fall silent and stay open: the power of the other end is gone.",
		Hints: [3]string{
			"Who notices that a connection is dead?",
			"KeepAlive, and DialTimeout while the welcome is awaited. A writer that is stuck in Write ends when the reader closes the connection.",
			"read: the second timeout in a row: return; once: conn.Close(); close(stop); <-stopped",
		},
		Check: func(r *spec.Run, l lab) error {
			return together(r, l, chaos.Faults{Silence: 8000}, Options{KeepAlive: 50 * time.Millisecond, DialTimeout: 200 * time.Millisecond})
		},
	},
	{
		Name: "DuplicatesAreHarmless", Group: "together", Points: 1, Section: all11, Deadline: 2 * time.Minute,
		Why: "Every frame but the handshake comes twice. Numbers make that a matter of comparing two of them.",
		Hints: [3]string{
			"What does each side do with a frame it has had?",
			"Client: an id that is not in the map, a push that is not above the last. Server: an id that is not above the highest.",
			"See AnswersFindTheirCalls, PushesComeOnce, ResumeAnswersAgain.",
		},
		Check: func(r *spec.Run, l lab) error {
			twice := func(payload []byte) bool { return len(payload) > 0 && payload[0] >= call }
			return together(r, l, chaos.Faults{Cut: 40_000, Duplicate: twice}, Options{})
		},
	},
}

func nonsense(r *spec.Run, l lab) error {
	budget := func(ratio float64, reserve int) error { _, err := l.Budget(ratio, reserve); return err }
	breaker := func(o BreakerOptions) error { _, err := l.Breaker(o); return err }
	dial := []Dial{func(ctx context.Context) (net.Conn, error) { <-ctx.Done(); return nil, ctx.Err() }}
	client := func(o Options) error {
		c, err := l.New(o)
		if err == nil {
			c.Close()
		}
		return err
	}
	server := func(o ServerOptions) error { _, err := l.NewServer(o); return err }
	_, window := l.Latencies(0)
	for what, err := range map[string]error{
		"a budget with ratio -1": budget(-1, 1), "a budget with ratio 2": budget(2, 1), "a budget with ratio NaN": budget(math.NaN(), 1), "a budget with reserve -1": budget(0.1, -1),
		"a breaker with Window -1": breaker(BreakerOptions{Window: -1}), "a breaker with Ratio NaN": breaker(BreakerOptions{Ratio: math.NaN()}), "a breaker with Ratio 2": breaker(BreakerOptions{Ratio: 2}),
		"a breaker with Open -1": breaker(BreakerOptions{Open: -1}), "a breaker with Probes -1": breaker(BreakerOptions{Probes: -1}), "a window of no latencies": window,
		"a client without an endpoint": client(Options{}), "a client with a nil Dial": client(Options{Dial: []Dial{nil}}), "a client with Timeout -1": client(Options{Dial: dial, Timeout: -1}),
		"a client with Attempts -1": client(Options{Dial: dial, Attempts: -1}), "a client with RetryRatio 2": client(Options{Dial: dial, RetryRatio: 2}), "a client with HedgeQuantile 2": client(Options{Dial: dial, HedgeQuantile: 2}),
		"a client with HedgeQuantile NaN": client(Options{Dial: dial, HedgeQuantile: math.NaN()}), "a client with BreakerWindow -1": client(Options{Dial: dial, BreakerWindow: -1}), "a client with KeepAlive -1": client(Options{Dial: dial, KeepAlive: -1}),
		"a server without Handle": server(ServerOptions{}), "a server with MaxRunning -1": server(ServerOptions{Handle: echo, MaxRunning: -1}), "a server with MaxWaiting -2": server(ServerOptions{Handle: echo, MaxWaiting: -2}),
		"a server with KeyAge -1": server(ServerOptions{Handle: echo, KeyAge: -1}), "a server with Sessions -1": server(ServerOptions{Handle: echo, Sessions: -1}),
	} {
		if err == nil {
			return spec.Fail(what+" to be refused", "there was no error")
		}
	}
	return play(r, l, 1, Options{MaxMessage: 1000}, nil, func(s *stage) error {
		k, err := s.at[0].link()
		if err != nil {
			return err
		}
		r.Step("MaxMessage 1000; calls of 978 and 979 bytes, and 22 for the rest; a key of 255 bytes, and one of 256")
		long := func(n int) []byte { return []byte(strings.Repeat("x", n)) }
		fits, large := s.call(Request{Body: long(978)}), s.call(Request{Body: long(979)})
		key, longKey := s.call(Request{Key: string(long(255))}), s.call(Request{Key: string(long(256))})
		if err := first(s.is(fits, "", ""), s.is(large, "", "ErrTooLarge"), s.is(key, "", ""), s.is(longKey, "", "ErrTooLarge")); err != nil {
			return err
		}
		if n := len(k.take()); n != 2 {
			return spec.Fail("two calls to be sent", "%d were", n)
		}
		r.Step("the server sends a frame above MaxMessage")
		k.conn.Write([]byte{0, 0, 4, 0, reply})
		if over, _ := k.over(); !over {
			return spec.Fail("the connection to be closed", "it is open")
		}
		return nil
	})
}

// register is what the server of together has done.
type register struct {
	mu     sync.Mutex
	done   map[string]int
	pushed []string
}

// together runs calls of all kinds through a bad network, and checks that each was
// done once and answered, and each push received once and in order.
func together(r *spec.Run, l lab, faults chaos.Faults, o Options) error {
	const callers, each = 8, 40
	reg := &register{done: map[string]int{}}
	m, _, err := open(r, l, ServerOptions{Handle: func(ctx context.Context, body []byte, reply func([]byte, error)) {
		what := string(body)
		reg.mu.Lock()
		reg.done[what]++
		push := len(reg.done)%4 == 0
		if push {
			reg.pushed = append(reg.pushed, what)
			l.Push(ctx, body)
		}
		slow := len(reg.done)%3 == 0
		reg.mu.Unlock()
		if slow {
			go reply([]byte("did "+what), nil)
			return
		}
		reply([]byte("did "+what), nil)
	}})
	if err != nil {
		return err
	}
	proxy, err := chaos.New(m.addr, 1, faults)
	if err != nil {
		return err
	}
	r.Cleanup(func() { proxy.Close() })
	var mu sync.Mutex
	var got []string
	o.Dial = []Dial{func(ctx context.Context) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "tcp", proxy.Addr())
	}}
	o.Timeout, o.BackoffBase, o.BackoffCap = time.Hour, time.Millisecond, 10*time.Millisecond
	o.OnPush = func(_ int, body []byte) {
		mu.Lock()
		defer mu.Unlock()
		got = append(got, string(body))
	}
	var resets int
	o.OnReset = func(int) { mu.Lock(); resets++; mu.Unlock() }
	c, err := l.New(o)
	if err != nil {
		return err
	}
	r.Cleanup(func() { c.Close() })
	r.Step("%d callers with %d calls each, half of them with a key, none of them safe, through a proxy that does %s", callers, each, name(faults))
	var ends []<-chan error
	for caller := range callers {
		ends = append(ends, r.Go(func() error { return make40(r, l, c, caller, each) }))
	}
	for _, end := range ends {
		err, late := spec.Wait(r, "every call to be answered", end)
		if err := first(late, err); err != nil {
			return err
		}
	}
	proxy.Heal()
	reg.mu.Lock()
	want := slices.Clone(reg.pushed)
	for what, n := range reg.done {
		if n != 1 {
			reg.mu.Unlock()
			return spec.Fail("each call to be done once", "%s was done %d times", what, n)
		}
	}
	reg.mu.Unlock()
	if err := r.Until(fmt.Sprintf("%d pushes", len(want)), func() bool { mu.Lock(); defer mu.Unlock(); return len(got) >= len(want) }); err != nil {
		return err
	}
	mu.Lock()
	defer mu.Unlock()
	if !slices.Equal(got, want) {
		at := 0
		for at < min(len(got), len(want)) && got[at] == want[at] {
			at++
		}
		return spec.Fail("each push once, in order", "of %d pushes there came %d; number %d is not the right one", len(want), len(got), at+1)
	}
	cuts, silences, duplicates := proxy.Counts()
	if cuts+silences+duplicates == 0 || faults.Cut > 0 && cuts == 0 || faults.Silence > 0 && silences == 0 {
		return fmt.Errorf("the proxy has done nothing wrong (%d cuts, %d silences, %d duplicates): the check has shown nothing", cuts, silences, duplicates)
	}
	n := c.Stats()
	return first(must("the number of sessions that were forgotten", 0, resets), must("Stats().Pending", 0, n.Pending), must("Stats().Unanswered", 0, n.Unanswered))
}

// make40 is one caller: four calls at a time, so that some are always on their way.
func make40(r *spec.Run, l lab, c client, caller, each int) error {
	for i := 0; i < each; i += 4 {
		var all []Future
		for k := range 4 {
			q := req(fmt.Sprintf("%d/%d", caller, i+k))
			if k%2 == 0 {
				q.Key = string(q.Body)
			}
			all = append(all, c.Go(q))
		}
		for k, f := range all {
			body, err := f.Wait(r.Context())
			if want := fmt.Sprintf("did %d/%d", caller, i+k); err != nil || string(body) != want {
				return spec.Fail(fmt.Sprintf("the answer %q", want), "it is %q, %s", body, l.name(err))
			}
		}
	}
	return nil
}

func name(f chaos.Faults) string {
	what := "cut connections"
	if f.Silence > 0 {
		what = "let connections fall silent"
	}
	if f.Duplicate != nil {
		what += ", and deliver each frame twice"
	}
	return what
}
