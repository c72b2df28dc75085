package backpressuretest

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing/synctest"

	"github.com/asynclab/asynclab/harness/spec"
)

// scene is a channel whose callbacks write down what they get. Like a
// bufio.Scanner it keeps its first failure, in err, and does nothing more.
type scene struct {
	judged // nil when it could not be made
	r      *spec.Run
	l      lab
	err    error

	mu      sync.Mutex // guards the following: any goroutine may call back
	signals []string   // since the last told
	dropped []int      // since the last drops
}

// open makes a channel with o, whose callbacks are the scene's own unless o has
// some. With MaxBytes the size of a message is its Bytes.
func open(r *spec.Run, l lab, o options) *scene {
	s := &scene{r: r, l: l}
	if o.OnSignal == nil {
		o.OnSignal = s.signal
	}
	if o.OnDrop == nil {
		o.OnDrop = s.drop
	}
	if o.MaxBytes > 0 && o.Size == nil {
		o.Size = func(m Message) int { return m.Bytes }
	}
	s.judged, s.err = l.New(o)
	if s.err != nil {
		s.err = spec.Fail("New to make a channel", "it returned: %v", s.err)
	}
	return s
}

// another goes on with another channel, unless it has failed already.
func (s *scene) another(o options) *scene {
	if s.err != nil {
		return s
	}
	return open(s.r, s.l, o)
}

func (s *scene) fail(expected, happened string, args ...any) {
	if s.err == nil {
		s.err = spec.Fail(expected, happened, args...)
	}
}

func (s *scene) signal(what int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.signals = append(s.signals, signalName(what))
}

func signalName(what int) string {
	switch what {
	case SlowDown:
		return "SLOW_DOWN"
	case Resume:
		return "RESUME"
	}
	return fmt.Sprint("signal ", what)
}

func (s *scene) drop(m Message) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.dropped = append(s.dropped, m.ID)
}

func priorityName(p int) string { return [...]string{"Low", "Normal", "High"}[p-Low] }

// describe names a message in a step.
func describe(p int, m Message) string {
	if m.Bytes > 0 {
		return fmt.Sprintf("%s message %d of %d bytes", priorityName(p), m.ID, m.Bytes)
	}
	return fmt.Sprintf("%s message %d", priorityName(p), m.ID)
}

// try sends one message with TrySend and expects want.
func (s *scene) try(want error, p int, m Message) {
	if s.err != nil {
		return
	}
	s.r.Step("TrySend %s", describe(p, m))
	if got := s.TrySend(p, m); got != want {
		s.fail(fmt.Sprintf("TrySend of %s to return %s", describe(p, m), s.l.name(want)), "it returned %s; %s", s.l.name(got), s.holds())
	}
}

// put sends messages of one priority, without a size, which must be accepted.
func (s *scene) put(p int, ids ...int) {
	for _, id := range ids {
		s.try(nil, p, Message{ID: id})
	}
}

// fill puts the Normal messages first to last.
func (s *scene) fill(first, last int) {
	if s.err == nil {
		s.r.Step("TrySend the Normal messages %d to %d", first, last)
	}
	for id := first; id <= last && s.err == nil; id++ {
		if got := s.TrySend(Normal, Message{ID: id}); got != nil {
			s.fail(fmt.Sprintf("TrySend of message %d to return nil", id), "it returned %s; %s", s.l.name(got), s.holds())
		}
	}
}

// holds tells the queue in words.
func (s *scene) holds() string {
	st := s.Stats()
	return fmt.Sprintf("%d messages of %d bytes are queued", st.Queued, st.Bytes)
}

// gets expects TryReceive to give these messages, one after the other.
func (s *scene) gets(ids ...int) {
	for _, id := range ids {
		if s.err != nil {
			return
		}
		s.r.Step("TryReceive")
		m, ok := s.TryReceive()
		switch {
		case !ok:
			s.fail(fmt.Sprintf("TryReceive to give message %d", id), "it gave none; %s", s.holds())
		case m.ID != id:
			s.fail(fmt.Sprintf("TryReceive to give message %d", id), "it gave message %d", m.ID)
		}
	}
}

// isEmpty expects that nothing is left.
func (s *scene) isEmpty() {
	if s.err != nil {
		return
	}
	if m, ok := s.TryReceive(); ok {
		s.fail("nothing to be left in the channel", "TryReceive gave message %d", m.ID)
	}
}

// told expects the signals since the last told.
func (s *scene) told(want string) {
	s.mu.Lock()
	got := strings.Join(s.signals, " ")
	s.signals = nil
	s.mu.Unlock()
	if got != want {
		s.fail("OnSignal to get: "+orNothing(want), "it got: %s", orNothing(got))
	}
}

// drops expects what OnDrop got since the last drops.
func (s *scene) drops(want ...int) {
	s.mu.Lock()
	got := s.dropped
	s.dropped = nil
	s.mu.Unlock()
	if fmt.Sprint(got) != fmt.Sprint(want) {
		s.fail(fmt.Sprintf("OnDrop to get the messages %v", want), "it got %v", got)
	}
}

func orNothing(s string) string {
	if s == "" {
		return "nothing"
	}
	return s
}

// call is a Send or Receive on a goroutine of its own.
type call struct {
	what   string
	cancel context.CancelFunc

	mu    sync.Mutex // guards the following
	ended bool
	err   error
	got   []int
}

func (c *call) result() (ended bool, got []int, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.ended, c.got, c.err
}

// start runs f with a context of its own, and waits until it has ended or
// blocks. Only in a bubble.
func (s *scene) start(what string, f func(ctx context.Context) ([]int, error)) *call {
	if s.err != nil {
		return &call{what: what, cancel: func() {}}
	}
	s.r.Step("start: %s", what)
	return begin(s.r, what, f)
}

// begin is start without a word.
func begin(r *spec.Run, what string, f func(ctx context.Context) ([]int, error)) *call {
	ctx, cancel := context.WithCancel(r.Context())
	c := &call{what: what, cancel: cancel}
	r.Cleanup(cancel)
	r.Go(func() error {
		got, err := f(ctx)
		c.mu.Lock()
		defer c.mu.Unlock()
		c.ended, c.err, c.got = true, err, got
		return nil
	})
	synctest.Wait()
	return c
}

func (s *scene) startSend(p int, m Message) *call {
	return s.start("Send "+describe(p, m), func(ctx context.Context) ([]int, error) { return nil, s.Send(ctx, p, m) })
}

func (s *scene) startReceive(name string) *call {
	return s.start(name, func(ctx context.Context) ([]int, error) {
		m, err := s.Receive(ctx)
		if err != nil {
			return nil, err
		}
		return []int{m.ID}, nil
	})
}

// waits expects the calls to be waiting still.
func (s *scene) waits(calls ...*call) {
	synctest.Wait()
	for _, c := range calls {
		if ended, got, err := c.result(); ended {
			s.fail(c.what+" to wait", "it returned %v, %s", got, s.l.name(err))
		}
	}
}

// ends expects the calls to have returned want.
func (s *scene) ends(want error, calls ...*call) {
	synctest.Wait()
	for _, c := range calls {
		switch ended, _, err := c.result(); {
		case s.err != nil:
		case !ended:
			s.fail(fmt.Sprintf("%s to have returned %s", c.what, s.l.name(want)), "it still waits; %s", s.holds())
		case err != want:
			s.fail(fmt.Sprintf("%s to return %s", c.what, s.l.name(want)), "it returned %s", s.l.name(err))
		}
	}
}

// handed expects a receive to have got these messages.
func (s *scene) handed(c *call, ids ...int) {
	s.ends(nil, c)
	if _, got, _ := c.result(); s.err == nil && fmt.Sprint(got) != fmt.Sprint(ids) {
		s.fail(fmt.Sprintf("%s to give %v", c.what, ids), "it gave %v", got)
	}
}
