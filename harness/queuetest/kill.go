package queuetest

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/asynclab/asynclab/harness/spec"
)

// A process under load is killed by SIGKILL, again and again; what the next one
// finds is compared with what the ones before had acknowledged. The victim is a
// lab's own test binary: see victim.go.

// Victim is how a victim is started.
type Victim struct {
	Path string   // of the test binary
	Args []string // which have it run the lab's Test, or what stands for it
	Env  []string // beside this process's
}

// VictimArgs have a lab's test binary be a victim, when Kill starts it.
var VictimArgs = []string{"-test.run=^Test$"}

// Killing is what Kill does.
type Killing struct {
	Victim Victim
	Cycles int
	Seed   uint64       // of the load, and of when to kill
	Dir    string       // where the log lies; "" means a directory that is removed afterwards
	Each   func(Killed) // told after every cycle; nil is allowed
}

// Killed is what came of it.
type Killed struct {
	Cycles       int     `json:"cycles"`
	Seed         uint64  `json:"seed"`
	Acknowledged int     `json:"acknowledged"` // records, by all victims
	Found        int     `json:"found"`        // records in the log at the end
	Unanswered   int     `json:"unanswered"`   // of them, whose producers never heard: the kill was between
	InRecovery   int     `json:"in_recovery"`  // cycles that were killed while they opened the log
	Delivered    int     `json:"delivered"`    // records, to consumers
	Again        int     `json:"again"`        // of them, more than once: at least once is what was promised
	Acked        int     `json:"acked"`        // records that consumers were told are done
	Seconds      float64 `json:"seconds"`
}

// producer is one goroutine of one victim. Its records are numbered from 0 on.
type producer struct{ cycle, number int }

// ledger is what must be in the log.
type ledger struct {
	found    Killed
	acked    map[producer]map[int]int64 // sequence number to offset
	done     map[int64]bool             // offsets that consumers were told are done
	handed   map[int64]bool             // offsets that were delivered
	next     map[producer]int           // the number that must come next, while reading
	from     int64                      // what is below was looked at
	verified int                        // what was acknowledged in cycles before was found in the log
}

// Kill runs Cycles victims one after the other, all but the last one to their
// violent end. It returns what it has found; the error says what is wrong.
func Kill(ctx context.Context, k Killing) (Killed, error) {
	began := time.Now()
	if k.Dir == "" {
		dir, err := os.MkdirTemp("", "asynclab-crash-")
		if err != nil {
			return Killed{}, err
		}
		defer os.RemoveAll(dir)
		k.Dir = dir
	}
	b := &ledger{found: Killed{Seed: k.Seed}, acked: map[producer]map[int]int64{}, done: map[int64]bool{}, handed: map[int64]bool{}, next: map[producer]int{}}
	for cycle := range k.Cycles {
		if err := k.once(ctx, b, cycle); err != nil {
			return b.found, fmt.Errorf("cycle %d of %d, seed %d: %w", cycle+1, k.Cycles, k.Seed, err)
		}
		b.found.Cycles++
		b.found.Seconds = time.Since(began).Seconds()
		if k.Each != nil {
			k.Each(b.found)
		}
	}
	err := k.last(ctx, b)
	b.found.Seconds = time.Since(began).Seconds()
	return b.found, err
}

// once is one victim: it opens the log, says what it has found, works, and is
// killed: a while after one of its acknowledgements, or while it opens the log.
func (k Killing) once(ctx context.Context, b *ledger, cycle int) error {
	rng := rand.New(rand.NewPCG(k.Seed, uint64(cycle)))
	early := cycle > 0 && rng.IntN(8) == 0
	acks, delay := 1+rng.IntN(400), time.Duration(rng.IntN(3000))*time.Microsecond
	v, err := k.start(ctx, order{Dir: filepath.Join(k.Dir, "log"), From: b.from, Cycle: cycle, Seed: rng.Uint64()})
	if err != nil {
		return err
	}
	defer v.stop()
	if early {
		time.AfterFunc(2*delay, v.kill)
	}
	from, next := b.from, maps.Clone(b.next)
	working := false
	for line := range v.lines {
		if err := b.note(line, cycle); err != nil {
			return err
		}
		switch line.What {
		case "go":
			working = true
			if err := b.opened(); err != nil {
				return err
			}
			b.verified = cycle
		case "acked":
			if acks--; acks == 0 {
				time.AfterFunc(delay, v.kill)
			}
		}
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	if !working { // it has not said all; the next one says it again
		b.found.InRecovery++
		b.from, b.next = from, next
	}
	return v.unexpected()
}

// last opens the log once more, and reads it from its beginning.
func (k Killing) last(ctx context.Context, b *ledger) error {
	b.from, b.verified = 0, 0
	clear(b.next)
	v, err := k.start(ctx, order{Dir: filepath.Join(k.Dir, "log"), Last: true})
	if err != nil {
		return err
	}
	defer v.stop()
	for line := range v.lines {
		if err := b.note(line, -1); err != nil {
			return err
		}
		if line.What == "go" {
			if err := b.opened(); err != nil {
				return err
			}
		}
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	b.found.Found = int(b.from)
	b.found.Unanswered = b.found.Found - b.found.Acknowledged
	return v.unexpected()
}

// note enters what a victim has said.
func (b *ledger) note(l line, cycle int) error {
	switch l.What {
	case "found":
		return b.read(l)
	case "acked":
		p := producer{cycle, l.Producer}
		if b.acked[p] == nil {
			b.acked[p] = map[int]int64{}
		}
		b.acked[p][l.Number] = l.Offset
		b.found.Acknowledged++
	case "delivered":
		b.found.Delivered++
		if b.done[l.Offset] {
			return spec.Fail("a record whose Ack has returned nil not to be delivered again", "offset %d was, as attempt %d", l.Offset, l.Number)
		}
		if b.handed[l.Offset] {
			b.found.Again++
		}
		b.handed[l.Offset] = true
	case "done":
		b.done[l.Offset] = true
		b.found.Acked++
	case "error":
		return spec.Fail("a victim to open the log and to work", "it said: %s", l.Text)
	}
	return nil
}

// read enters a record that was found when the log was opened.
func (b *ledger) read(l line) error {
	if l.Offset != b.from {
		return spec.Fail(fmt.Sprintf("offset %d to be found next", b.from), "there is offset %d", l.Offset)
	}
	b.from++
	p := producer{l.Cycle, l.Producer}
	if l.Number < 0 {
		return spec.Fail(fmt.Sprintf("offset %d to hold a record as it was appended", l.Offset), "it is another one")
	}
	if l.Number != b.next[p] {
		return spec.Fail(fmt.Sprintf("record %d of producer %d in cycle %d next, each once and in order", b.next[p], p.number, p.cycle+1), "offset %d has its record %d", l.Offset, l.Number)
	}
	b.next[p]++
	if at, acked := b.acked[p][l.Number]; acked && at != l.Offset {
		return spec.Fail(fmt.Sprintf("record %d of producer %d in cycle %d at offset %d, as it was acknowledged", l.Number, p.number, p.cycle+1, at), "it is at %d", l.Offset)
	}
	return nil
}

// opened holds, when a victim has said all that it has found, that nothing
// acknowledged is missing.
func (b *ledger) opened() error {
	for p, numbers := range b.acked {
		if p.cycle < b.verified {
			continue
		}
		for n, offset := range numbers {
			if n >= b.next[p] {
				return spec.Fail("every record that was acknowledged", "record %d of producer %d in cycle %d, acknowledged with offset %d, is gone: the log ends with %d", n, p.number, p.cycle+1, offset, b.from)
			}
		}
	}
	return nil
}

// victim is a running one.
type victim struct {
	cmd    *exec.Cmd
	lines  chan line
	mu     sync.Mutex
	killed bool // guarded by mu: by us
	ended  chan struct{}
	output strings.Builder
}

// start starts a victim. lines ends when it has ended.
func (k Killing) start(ctx context.Context, o order) (*victim, error) {
	text, err := json.Marshal(o)
	if err != nil {
		return nil, err
	}
	read, write, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	v := &victim{cmd: exec.CommandContext(ctx, k.Victim.Path, k.Victim.Args...), lines: make(chan line, 1024), ended: make(chan struct{})}
	v.cmd.Env = slices.Concat(os.Environ(), k.Victim.Env, []string{orderEnv + "=" + string(text), spec.EventsFD + "="})
	v.cmd.ExtraFiles = []*os.File{write}
	v.cmd.Stdout, v.cmd.Stderr = &v.output, &v.output
	err = v.cmd.Start()
	write.Close()
	if err != nil {
		read.Close()
		return nil, fmt.Errorf("start a victim: %w", err)
	}
	go func() {
		defer close(v.lines)
		defer close(v.ended)
		defer v.cmd.Wait()
		defer read.Close()
		in := bufio.NewReaderSize(read, 64<<10)
		for {
			text, err := in.ReadString('\n')
			var l line
			if err != nil { // what is behind the last newline was cut by the kill
				return
			}
			if _, err := fmt.Sscan(text, &l.What, &l.Cycle, &l.Producer, &l.Number, &l.Offset); err != nil {
				l = line{What: "error", Text: strings.TrimSpace(text)}
			}
			v.lines <- l
		}
	}()
	return v, nil
}

// kill kills the victim, if it is still there. Any goroutine.
func (v *victim) kill() {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.killed = true
	v.cmd.Process.Kill()
}

// stop kills the victim, and hears no more of what it says.
func (v *victim) stop() {
	v.kill()
	for range v.lines {
	}
}

// unexpected says that the victim has ended by itself, other than it should.
func (v *victim) unexpected() error {
	<-v.ended
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.killed || v.cmd.ProcessState.Success() {
		return nil
	}
	return errors.Join(spec.Fail("a victim to work until it is killed", "it ended by itself: %v", v.cmd.ProcessState), errors.New(tail(v.output.String())))
}

func tail(s string) string { return s[max(0, len(s)-2000):] }
