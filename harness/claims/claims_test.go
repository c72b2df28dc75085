package claims

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/asynclab/asynclab/harness/course"
	"github.com/asynclab/asynclab/harness/load"
	"github.com/asynclab/asynclab/harness/meter"
	"github.com/asynclab/asynclab/harness/spec"
	"github.com/stretchr/testify/require"
)

func TestMain(m *testing.M) {
	load.BecomeSwarm()
	BecomeCrowd()
	os.Exit(m.Run())
}

func TestTheTableIsInOrder(t *testing.T) {
	seen := map[string]bool{}
	for _, c := range Table {
		require.False(t, seen[c.ID], "%s is there twice", c.ID)
		seen[c.ID] = true
		require.NotEmpty(t, c.Says, c.ID)
		require.NotEmpty(t, c.Against, c.ID)
		require.Equal(t, "make claims ONLY="+c.ID, c.Command)
		lab, err := course.Find(c.Lab)
		require.NoError(t, err, c.ID)
		require.True(t, lab.Built, c.ID)
		for _, key := range c.From {
			require.True(t, known(t, key), "%s needs %q, which nothing measures", c.ID, key)
		}
	}
}

// known reports whether something gives the samples of key.
func known(t *testing.T, key string) bool {
	for _, o := range Owns {
		for _, k := range o.Keys {
			if k == key {
				return true
			}
		}
	}
	for _, k := range []string{RefEcho, RefRate, RefRoom, NaiveEcho, NaiveRate, NaiveRoom, FullEcho, FullRate, FullRoom} {
		if k == key {
			return true
		}
	}
	id, target, _ := strings.Cut(key, " ")
	lab, err := course.Find(id)
	require.NoError(t, err, key)
	files, err := filepath.Glob("../../" + lab.Judge() + "/targets*.go")
	require.NoError(t, err)
	for _, file := range files {
		text, err := os.ReadFile(file)
		require.NoError(t, err)
		if regexp.MustCompile(`Name:\s+"` + regexp.QuoteMeta(target) + `"`).Match(text) {
			return true
		}
	}
	return false
}

// sample makes one with further figures.
func sample(v float64, also ...any) []spec.Sample {
	s := spec.Sample{Value: v, Also: map[string]float64{}}
	for i := 0; i < len(also); i += 2 {
		s.Also[also[i].(string)] = also[i+1].(float64)
	}
	return []spec.Sample{s}
}

func server(cpu, conns, rate, p99, idle, perConn, cores float64) []spec.Sample {
	return sample(cpu, Connections, conns, PerSecond, rate, P99, p99, IdleRSS, idle, PerConn, perConn, Cores, cores)
}

// Each claim can come out in more than one way, and which one is decided by its
// figures.
func TestVerdictsFollowTheFigures(t *testing.T) {
	small := server(1, 5000, 10_000, 1, 1e7, 500, 2)
	for name, c := range map[string]struct {
		claim   string
		samples Samples
		want    Verdict
	}{
		"threads are small":        {"thread", Samples{ownThreads: sample(30e3), "01 idle-memory": sample(7e3), "02 idle-memory": sample(100)}, Fails},
		"threads are large":        {"thread", Samples{ownThreads: sample(1e6), "01 idle-memory": sample(7e3), "02 idle-memory": sample(100)}, Holds},
		"threads are middling":     {"thread", Samples{ownThreads: sample(2e5), "01 idle-memory": sample(7e3), "02 idle-memory": sample(100)}, Partly},
		"a loop saves calls alone": {"loop", Samples{"01 echo-depth-1": sample(100), "03 echo-depth-1": sample(115), "03 against-goroutines": sample(9)}, Partly},
		"a loop saves always":      {"loop", Samples{"01 echo-depth-1": sample(100), "03 echo-depth-1": sample(300), "03 against-goroutines": sample(9)}, Holds},
		"a loop saves nothing":     {"loop", Samples{"01 echo-depth-1": sample(100), "03 echo-depth-1": sample(90), "03 against-goroutines": sample(0.9)}, Fails},
		"an acceptor sleeps":       {"accept", Samples{ownSleeping: sample(10, "p50 ms", 5.0, "p99 ms", 10.0), ownPolling: sample(1, "p99 ms", 0.4)}, Fails},
		"an acceptor is quick":     {"accept", Samples{ownSleeping: sample(1, "p50 ms", 0.2, "p99 ms", 0.4), ownPolling: sample(1, "p99 ms", 0.4)}, Holds},
		"an acceptor is mostly so": {"accept", Samples{ownSleeping: sample(1, "p50 ms", 0.2, "p99 ms", 4.0), ownPolling: sample(1, "p99 ms", 0.4)}, Partly},
		"sendfile: small copies":   {"sendfile", Samples{"09 sendfile-4k": sample(4), "09 sendfile-64k": sample(0.9)}, Partly},
		"sendfile: all copies":     {"sendfile", Samples{"09 sendfile-4k": sample(8), "09 sendfile-64k": sample(4)}, Holds},
		"sendfile: none":           {"sendfile", Samples{"09 sendfile-4k": sample(1), "09 sendfile-64k": sample(1)}, Fails},
		"mmap saves one":           {"mmap", Samples{"09 mmap-64k": sample(1.2), "09 sendfile-64k": sample(1)}, Partly},
		"mmap saves none":          {"mmap", Samples{"09 mmap-64k": sample(0.8), "09 sendfile-64k": sample(1)}, Fails},
		"few calls":                {"batch-calls", Samples{"11 calls": sample(10)}, Holds},
		"many calls":               {"batch-calls", Samples{"11 calls": sample(2000)}, Fails},
		"batching pays":            {"batch", Samples{"11 messages": sample(6), "11 delay": sample(0)}, Holds},
		"batching pays a little":   {"batch", Samples{"11 messages": sample(2), "11 delay": sample(0)}, Partly},
		"batching does not":        {"batch", Samples{"11 messages": sample(1), "11 delay": sample(0)}, Fails},
		"a pool is quick":          {"pool-ns", Samples{"10 against-make": sample(5, "make ns/lending", 800.0), "10 against-sync-pool": sample(1, "sync.Pool ns/lending", 20.0)}, Holds},
		"a pool is not":            {"pool-ns", Samples{"10 against-make": sample(5, "make ns/lending", 30.0), "10 against-sync-pool": sample(1, "sync.Pool ns/lending", 20.0)}, Fails},
		"a pool doubles":           {"pool", Samples{ownMake: sample(50), ownPool: sample(100), "10 collections": sample(9)}, Holds},
		"a pool helps":             {"pool", Samples{ownMake: sample(50), ownPool: sample(60), "10 collections": sample(9)}, Partly},
		"a pool changes nothing":   {"pool", Samples{ownMake: sample(50), ownPool: sample(50), "10 collections": sample(9)}, Fails},
		"room pays five times":     {"preallocation", Samples{ownPrealloc: sample(5)}, Holds},
		"room pays":                {"preallocation", Samples{ownPrealloc: sample(3)}, Partly},
		"room does not pay":        {"preallocation", Samples{ownPrealloc: sample(1)}, Fails},
		"waiting spins":            {"limiter", Samples{ownSpinning: sample(100), "06 waiting": sample(0.3)}, Partly},
		"waiting sleeps":           {"limiter", Samples{ownSpinning: sample(0.1), "06 waiting": sample(0.3)}, Holds},
		"order is dear":            {"order", Samples{"07 in-order": sample(8, "ns/message", 10.0, "article ns/message", 140.0), "07 shuffled-64": sample(4)}, Partly},
		"order is cheap":           {"order", Samples{"07 in-order": sample(8, "ns/message", 100.0, "article ns/message", 140.0), "07 shuffled-64": sample(4)}, Holds},
		"keys are dear":            {"partition", Samples{"08 idle-key": sample(1, "bytes/key", 100.0, "article bytes/key", 20e3), "08 messages": sample(2)}, Partly},
		"keys are cheap":           {"partition", Samples{"08 idle-key": sample(1, "bytes/key", 100.0, "article bytes/key", 150.0), "08 messages": sample(2)}, Holds},
		"100,000 in 60 MB":         {"connections", Samples{FullEcho: server(9, 100_000, 1, 1, 6e7, 550, 2), RefEcho: small, NaiveEcho: small}, Holds},
		"10,000 in 6 MB":           {"connections", Samples{FullEcho: server(9, 10_000, 1, 1, 6e6, 550, 2), RefEcho: small, NaiveEcho: small}, Hardware},
		"100,000 in 3 GB":          {"connections", Samples{FullEcho: server(9, 100_000, 1, 1, 3e9, 30e3, 2), RefEcho: small, NaiveEcho: small}, Fails},
		"a million, two cores":     {"million", Samples{FullRoom: server(1, 100_000, 4e5, 1, 6e7, 550, 2), RefRoom: small, NaiveRoom: small}, Hardware},
		"a million, eight cores":   {"million", Samples{FullRoom: server(1, 100_000, 2e6, 1, 6e7, 550, 8), RefRoom: small, NaiveRoom: small}, Holds},
		"a million is too dear":    {"million", Samples{FullRoom: server(7, 100_000, 2e6, 1, 6e7, 550, 8), RefRoom: small, NaiveRoom: small}, Fails},
		"P99 holds":                {"latency", Samples{FullRate: server(1, 100_000, 4e4, 5, 6e7, 550, 2), RefRate: small, NaiveRate: small}, Holds},
		"P99 holds with fewer":     {"latency", Samples{FullRate: server(1, 50_000, 4e4, 5, 6e7, 550, 2), RefRate: small, NaiveRate: small}, Hardware},
		"P99 holds with few":       {"latency", Samples{FullRate: server(1, 100_000, 4e4, 50, 6e7, 550, 2), RefRate: small, NaiveRate: small}, Partly},
		"P99 does not":             {"latency", Samples{FullRate: server(1, 100_000, 4e4, 50, 6e7, 550, 2), RefRate: server(1, 5000, 1, 20, 1, 1, 2), NaiveRate: small}, Fails},
	} {
		results := Judge(Table, c.samples, 0)
		require.Len(t, results, 1, name)
		require.Equal(t, c.claim, results[0].ID, name)
		require.Equal(t, c.want, results[0].Verdict, name)
		if c.want == Hardware {
			require.NotEmpty(t, results[0].Normal, "%s: what needs hardware has a normalised form", name)
		}
	}
}

func TestALatencyOnABusyMachineIsNoVerdict(t *testing.T) {
	long, short := server(1, 100_000, 4e4, 50, 6e7, 550, 2), server(1, 100_000, 4e4, 5, 6e7, 550, 2)
	require.Equal(t, TooNoisy, Judge(Table, Samples{FullRate: long, RefRate: long, NaiveRate: long}, 0.5)[0].Verdict)
	require.Equal(t, Fails, Judge(Table, Samples{FullRate: long, RefRate: long, NaiveRate: long}, 0.05)[0].Verdict)
	require.Equal(t, Holds, Judge(Table, Samples{FullRate: short, RefRate: short, NaiveRate: long}, 0.5)[0].Verdict, "short all the same")
	require.Equal(t, Holds, Judge(Table, Samples{"11 calls": sample(10)}, 0.5)[0].Verdict, "a count")
}

func TestAClaimWithoutItsSamplesIsNotJudged(t *testing.T) {
	require.Empty(t, Judge(Table, Samples{"11 messages": sample(6)}, 0))
}

func document() Document {
	h := meter.NewHistogram()
	for i := range int64(1000) {
		h.RecordValue(100 + i)
	}
	text, _ := meter.EncodeHistogram(h)
	slow, woken := sample(10, "p50 ms", 5.0, "p99 ms", 10.0), sample(1, "p99 ms", 0.4)
	slow[0].Latency, woken[0].Latency = text, text
	s := Samples{ownSleeping: slow, ownPolling: woken, "11 calls": sample(10), ownPrealloc: {{Value: 3}, {Value: 4}, {Value: 5}}}
	return Document{Format: 1, Time: time.Unix(1_700_000_000, 0), Machine: "2 cores", Rounds: 3, Seconds: 240, Results: Judge(Table, s, 0)}
}

func TestThePageStandsByItself(t *testing.T) {
	page, err := document().Page()
	require.NoError(t, err)
	var b bytes.Buffer
	require.NoError(t, page.Write(&b))
	html := b.String()
	for _, want := range []string{"does not hold", "<svg", `class="bars"`, "make claims ONLY=accept", "±12.5%", "4 minutes"} {
		require.Contains(t, html, want)
	}
	for _, outside := range []string{"src=", "href=\"http", "@import", "url(", "ZgotmplZ"} {
		require.NotContains(t, html, outside)
	}
}

func TestABusyMachineIsTold(t *testing.T) {
	d := document()
	require.NotContains(t, d.Markdown(), "Other programs")
	d.Others = 0.4
	require.True(t, d.Noisy())
	require.Contains(t, d.Markdown(), "Other programs had 40% of the cores")
}

func TestTheMarkdownHasTheSame(t *testing.T) {
	text := document().Markdown()
	for _, want := range []string{"| [preallocation](#preallocation) |", "**holds partly**", "\n## Preallocation\n", "`make claims ONLY=batch-calls`", "(../labs/04-reactor/README.md)"} {
		require.Contains(t, text, want)
	}
}

// The workbook's page is of one run on one machine, but of these claims.
func TestTheWorkbooksPageHasEveryClaim(t *testing.T) {
	text, err := os.ReadFile("../../" + Path)
	require.NoError(t, err)
	for _, c := range Table {
		require.Contains(t, string(text), "| `"+c.Command+"` |", "%s writes it anew", Renew)
		require.Contains(t, string(text), c.Says, "%s writes it anew", Renew)
	}
	require.Equal(t, len(Table), strings.Count(string(text), "\n## "), "%s writes it anew", Renew)
	require.NotContains(t, string(text), "--quick")
}

func TestOwnMeasurementsGiveTheirSamples(t *testing.T) {
	for _, o := range Owns {
		t.Run(o.Name, func(t *testing.T) {
			taken, err := o.Take(t.Context(), true)
			require.NoError(t, err)
			for _, key := range o.Keys {
				require.Greater(t, taken[key].Value, 0.0, key)
			}
			require.Len(t, taken, len(o.Keys))
		})
	}
}

func TestOwnMeasurementsEndWithTheirContext(t *testing.T) {
	for _, o := range Owns {
		t.Run(o.Name, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			cancel()
			_, err := o.Take(ctx, false)
			require.ErrorIs(t, err, context.Canceled)
		})
	}
}
