package reactortest

import (
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strings"

	"github.com/asynclab/asynclab/harness/spec"
)

const reuseportSection = "Step 3: a listener for each loop"

var reuseportRules = []spec.Rule[Subject]{
	{
		Name: "ReusePortUsesEveryLoop", Group: "reuseport", Points: 3, Section: reuseportSection,
		Why: "With SO_REUSEPORT each loop has a listening socket of its own on the same address, and the kernel spreads the connections: no acceptor, no hand-off, no inbox. Without it a second server on the same address must be an error, not a silent thief of half of the connections.",
		Hints: [3]string{
			"Listen is called once, with port 0. How do the other loops learn the port?",
			"The first loop's Listen tells the address it got; the others listen on that. Each sets SO_REUSEPORT before bind.",
			"for _, l := range loops { bound, err = l.events.Listen(addr); addr = bound.String() }, with ReusePort: true in the options of the loops below, and only with this strategy.",
		},
		Check: reusePortUsesEveryLoop,
	},
}

func reusePortUsesEveryLoop(r *spec.Run, s Subject) error {
	const loops, n = 4, 300
	d := newDiary(r)
	sv, err := serve(r, s, d.options(loops, "reuseport"))
	if err != nil {
		return err
	}
	r.Step("look at the listening sockets of %s", sv.addr)
	if got, ok := listeners(sv.addr); ok && got != loops {
		return spec.Fail(fmt.Sprintf("%d listening sockets, one for each loop", loops), "there are %d", got)
	}
	clients, err := d.crowd(sv, n)
	if err != nil {
		return err
	}
	if got := d.byLoop(loops); slices.Min(got) < 10 {
		return spec.Fail(fmt.Sprintf("each of %d loops to get its share of %d connections", loops, n), "the loops have %v", got)
	}
	r.Step("each of them has an echo")
	for i, c := range clients {
		if err := c.send(pattern(i, 30)); err != nil {
			return err
		}
		if err := c.expect(pattern(i, 30)); err != nil {
			return err
		}
	}
	return d.orderly()
}

// listeners counts the listening sockets on an IPv4 address, by proc_net_tcp.
func listeners(addr string) (n int, ok bool) {
	text, err := os.ReadFile("/proc/net/tcp")
	at, bad := netip.ParseAddrPort(addr)
	if err != nil || bad != nil {
		return 0, false
	}
	const listening = "0A"
	port := fmt.Sprintf(":%04X", at.Port())
	for line := range strings.Lines(string(text)) {
		f := strings.Fields(line)
		if len(f) > 3 && f[3] == listening && strings.HasSuffix(f[1], port) {
			n++
		}
	}
	return n, true
}
