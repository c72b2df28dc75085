package retry

import "time"

// A hedge is a second copy of a slow call, to another endpoint if there is one:
// whichever answers first counts, and the other is told to stop. Sent after the
// 95th percentile it costs 5% more load and takes most of the tail away (Dean and
// Barroso, "The Tail at Scale", CACM 2013), as long as being slow is the server's
// bad luck and not its load. That is why hedges come out of the retries' budget.
// Guarded by the client's mu, as all of this file.

// hedgeLater sets the alarm for f's second copy, if it may have one.
func (c *Client) hedgeLater(f *Future) {
	if c.latencies == nil || !f.req.Safe {
		return
	}
	if after, ok := c.latencies.Quantile(c.o.HedgeQuantile); ok {
		c.ring(&f.next, alarm{kind: hedgeDue, f: f}, f.began.Add(after))
	}
}

// hedge sends the second copy, unless the first one has failed meanwhile.
func (c *Client) hedge(f *Future) {
	if f.live[0] == nil || time.Now().After(f.until) {
		return
	}
	if !c.budget.Spend() {
		c.stats.Denied++
		return
	}
	if c.launch(f) {
		c.stats.Hedges++
	}
}
