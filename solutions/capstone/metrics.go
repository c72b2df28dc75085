package capstone

import (
	"strconv"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
)

// metrics shows the newest sample to Prometheus: nothing is counted twice, and
// a scrape costs the loops nothing.
type metrics struct{ sampler *sampler }

// A description of each metric, by what it is called.
var (
	gaugeConns    = describe("connections", "WebSocket connections now.", "loop")
	gaugeRooms    = describe("rooms", "Rooms with at least one member.")
	gaugeQueued   = describe("queued_bytes", "Bytes that wait in the queues of slow clients.", "loop")
	gaugeLag      = describe("loop_lag_seconds", "How long the last tick waited for its loop.", "loop")
	countAccepted = describe("accepted_total", "Connections accepted.")
	countRefused  = describe("refused_total", "Connections refused, by the limit they met.", "reason")
	countClosed   = describe("closed_total", "Connections ended, by how.", "how")
	countMessages = describe("messages_total", "Messages from clients.")
	countDeliver  = describe("deliveries_total", "Messages to clients.")
	countDrops    = describe("drops_total", "Messages not delivered, by the reason.", "reason")
	countRepeated = describe("repeated_total", "Numbered messages that had come before.")
	countLost     = describe("lost_total", "Numbers that never came.")
	countIn       = describe("received_bytes_total", "Bytes from clients.")
	countOut      = describe("sent_bytes_total", "Bytes of room messages to clients.")
	latency       = describe("delivery_seconds", "From a message's arrival until it was handed on to all members of a loop.")
)

func describe(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("asynclab_"+name, help, labels, nil)
}

// newRegistry is what /metrics shows.
func newRegistry(sm *sampler) *prometheus.Registry {
	r := prometheus.NewRegistry()
	r.MustRegister(metrics{sm}, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return r
}

// Describe and Collect make metrics a prometheus.Collector.

func (m metrics) Describe(ch chan<- *prometheus.Desc) { prometheus.DescribeByCollect(m, ch) }

func (m metrics) Collect(ch chan<- prometheus.Metric) {
	s := m.sampler.snapshot()
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	count := func(d *prometheus.Desc, v int64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(v), labels...)
	}
	for i, l := range s.Loops {
		loop := strconv.Itoa(i)
		gauge(gaugeConns, float64(l.Connections), loop)
		gauge(gaugeQueued, float64(l.QueuedBytes), loop)
		gauge(gaugeLag, float64(l.Lag)/1e6, loop)
	}
	gauge(gaugeRooms, float64(s.Rooms))
	count(countAccepted, s.Accepted)
	count(countMessages, s.Messages)
	count(countDeliver, s.Deliveries)
	count(countIn, s.BytesIn)
	count(countOut, s.BytesOut)
	count(countRefused, s.Refused.Rate, "rate")
	count(countRefused, s.Refused.Total, "total")
	count(countRefused, s.Refused.Address, "address")
	count(countRefused, s.Refused.Handshake, "handshake")
	count(countDrops, s.Drops.Oldest, "oldest")
	count(countDrops, s.Drops.Newest, "newest")
	count(countDrops, s.Drops.Disconnected, "disconnected")
	count(countDrops, s.Drops.PublishRate, "publish_rate")
	count(countDrops, s.Drops.Unordered, "unordered")
	count(countDrops, s.Drops.History, "history")
	count(countRepeated, s.Numbered.Repeated)
	count(countLost, s.Numbered.Lost)
	count(countClosed, s.Closed.Normal, "normal")
	count(countClosed, s.Closed.Protocol, "protocol")
	count(countClosed, s.Closed.Error, "error")
	count(countClosed, s.Closed.Zombie, "zombie")
	m.collectLatency(ch)
}

func (m metrics) collectLatency(ch chan<- prometheus.Metric) {
	h := m.sampler.latency()
	quantiles := map[float64]float64{}
	for _, q := range []float64{0.5, 0.9, 0.99, 0.999} {
		quantiles[q] = float64(h.ValueAtQuantile(100*q)) / 1e6
	}
	sum := h.Mean() * float64(h.TotalCount()) / 1e6
	ch <- prometheus.MustNewConstSummary(latency, uint64(h.TotalCount()), sum, quantiles)
}
