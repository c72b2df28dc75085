package queuetest

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"sync"
	"time"
)

// orderEnv names the environment variable that makes a process a victim.
const orderEnv = "ASYNCLAB_QUEUE_VICTIM"

// order is what a victim is to do.
type order struct {
	Dir   string
	From  int64 // say what is in the log from here on
	Cycle int
	Seed  uint64
	Last  bool // only that
}

// line is what a victim says, on descriptor 3: in one write, so that a kill
// cuts it between two of them, or in the last one.
type line struct {
	What     string // "found", "go", "acked", "delivered", "done", "error"
	Cycle    int
	Producer int
	Number   int // of the producer's record; of "delivered", the attempt
	Offset   int64
	Text     string // of "error"
}

const (
	producers = 8
	consumers = 2
)

// beVictim turns this process into a victim, if it was started as one. Then it
// does not return.
func beVictim(l lab) {
	text := os.Getenv(orderEnv)
	if text == "" {
		return
	}
	var o order
	if err := json.Unmarshal([]byte(text), &o); err != nil {
		fmt.Fprintln(os.Stderr, "victim:", err)
		os.Exit(2)
	}
	s := &speaker{out: os.NewFile(3, "judge")}
	if err := work(l, o, s); err != nil {
		s.out.WriteString("error " + strings.ReplaceAll(err.Error(), "\n", " ") + "\n")
		os.Exit(1)
	}
	os.Exit(0)
}

// speaker tells the judge. When that is gone, so is the victim.
type speaker struct {
	mu  sync.Mutex
	out *os.File
}

func (s *speaker) say(what string, cycle, producer, number int, offset int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, err := fmt.Fprintln(s.out, what, cycle, producer, number, offset); err != nil {
		os.Exit(2)
	}
}

// work opens the log, says what is in it, and works on it until it is killed.
func work(l lab, o order, s *speaker) error {
	q, err := l.Open(o.Dir, Options{SegmentBytes: 64 << 10, IndexBytes: 1 << 10, MaxBatch: 8 << 10})
	if err != nil {
		return err
	}
	for from := o.From; ; {
		some, err := q.Read(from, 64<<10)
		if err != nil {
			return err
		}
		if len(some) == 0 {
			break
		}
		for _, r := range some {
			cycle, p, n := unpack(r)
			s.say("found", cycle, p, n, r.Offset)
		}
		from = some[len(some)-1].Offset + 1
	}
	s.say("go", 0, 0, 0, 0)
	if o.Last {
		return q.Close(context.Background())
	}
	g, err := q.Group("consumers", GroupOptions{Visibility: time.Hour})
	if err != nil {
		return err
	}
	failed := make(chan error, producers+consumers)
	for range consumers {
		go func() { failed <- consume(g, s) }()
	}
	for p := range producers {
		rng := rand.New(rand.NewPCG(o.Seed, uint64(p)))
		go func() { failed <- produce(q, s, o.Cycle, p, rng) }()
	}
	return <-failed
}

// produce appends records. Every second producer waits for each of them, the
// others have up to 16 on their way.
func produce(q judged, s *speaker, cycle, p int, rng *rand.Rand) error {
	ctx := context.Background()
	for n := 0; ; {
		several := 1
		if p%2 == 1 {
			several = 1 + rng.IntN(16)
		}
		told := make(chan error, several)
		for range several {
			number := n
			n++
			k, v := pack(cycle, p, number)
			err := q.AppendAsync(ctx, k, v, func(offset int64, err error) {
				if err == nil {
					s.say("acked", cycle, p, number, offset)
				}
				told <- err
			})
			if err != nil {
				return fmt.Errorf("append: %w", err)
			}
		}
		for range several {
			if err := <-told; err != nil {
				return fmt.Errorf("append: %w", err)
			}
		}
	}
}

// consume receives records and acknowledges up to 16 of them together.
func consume(g group, s *speaker) error {
	ctx := context.Background()
	for {
		var some []Delivery
		for range 16 {
			d, err := g.Receive(ctx)
			if err != nil {
				return fmt.Errorf("receive: %w", err)
			}
			s.say("delivered", 0, 0, d.Attempt, d.Offset)
			some = append(some, d)
		}
		if err := g.Ack(some...); err != nil {
			return fmt.Errorf("ack: %w", err)
		}
		for _, d := range some {
			s.say("done", 0, 0, 0, d.Offset)
		}
	}
}

// pack is record number n of a producer: from 10 bytes to 400, and now and then
// more than a batch.
func pack(cycle, p, n int) (key, value []byte) {
	size := (n * 37) % 400
	if n%101 == 100 {
		size = 10_000
	}
	return fmt.Appendf(nil, "%d/%d", cycle, p), fmt.Appendf(nil, "%d %s", n, strings.Repeat("x", size))
}

// unpack is the other way round. n is -1 for what pack cannot have made.
func unpack(r Record) (cycle, p, n int) {
	fmt.Sscanf(string(r.Key), "%d/%d", &cycle, &p)
	if _, err := fmt.Sscanf(string(r.Value), "%d ", &n); err != nil {
		return cycle, p, -1
	}
	if _, v := pack(cycle, p, n); string(v) != string(r.Value) {
		return cycle, p, -1
	}
	return cycle, p, n
}
