package capstonetest

import (
	"fmt"
	"io"
	"math/rand/v2"
	"time"

	"github.com/gorilla/websocket"

	"github.com/asynclab/asynclab/harness/spec"
)

// stage is a room with a listener, to which senders with names speak.
type stage struct {
	*running
	ear *websocket.Conn
}

func newStage(r *spec.Run, p Program, args ...string) (*stage, error) {
	s, err := start(r, p, append([]string{"-loops", "2", "-max-conns", "1000"}, args...)...)
	if err != nil {
		return nil, err
	}
	ear, err := s.dial("/room/x")
	return &stage{running: s, ear: ear}, err
}

// speaker is one connection of a sender. What it hears is thrown away.
type speaker struct {
	*websocket.Conn
	pongs chan struct{}
	code  chan int // how it was closed, 0 for without a word
}

func (s *stage) speaker(name string) (*speaker, error) { return s.speakerIn("x", name) }

func (s *stage) speakerIn(room, name string) (*speaker, error) {
	c, err := s.dial("/room/" + room + "?sender=" + name)
	if err != nil {
		return nil, err
	}
	k := &speaker{c, make(chan struct{}, 16), make(chan int, 1)}
	c.SetPongHandler(func(string) error { k.pongs <- struct{}{}; return nil })
	go func() {
		code, _ := closeCode(c)
		k.code <- code
	}()
	return k, nil
}

// say sends a message, and returns when the server has read it, since it has
// answered a ping behind it: what comes on another connection comes later.
func (s *stage) say(k *speaker, text string) error {
	if err := say(k.Conn, text); err != nil {
		return err
	}
	if err := k.WriteMessage(websocket.PingMessage, nil); err != nil {
		return spec.Fail("the server to take a ping", "%v", err)
	}
	_, err := spec.Wait(s.r, "a pong", k.pongs)
	return err
}

func (s *stage) hears(texts ...string) error {
	for _, text := range texts {
		if err := expect(s.ear, "the room", text); err != nil {
			return err
		}
	}
	return nil
}

func numbersKeepOrder(r *spec.Run, p Program) error {
	s, err := newStage(r, p, "-gap-timeout", "1h")
	if err != nil {
		return err
	}
	a, err1 := s.speaker("me")
	b, err2 := s.speaker("me")
	you, err3 := s.speaker("you")
	for _, err := range []error{err1, err2, err3} {
		if err != nil {
			return err
		}
	}
	r.Step("a sender has two connections: 2 comes on one, then 1 on the other")
	if err := firstError(s.say(b, "2 two"), s.say(a, "1 one"), s.hears("1 one", "2 two")); err != nil {
		return err
	}
	r.Step("2 comes again, then 3")
	if err := firstError(s.say(a, "2 two"), s.say(b, "3 three"), s.hears("3 three")); err != nil {
		return err
	}
	r.Step("5 comes before 4; meanwhile another sender speaks")
	if err := firstError(s.say(a, "5 five"), s.say(you, "1 hi"), s.hears("1 hi")); err != nil {
		return err
	}
	r.Step("the connection that has sent 5 ends; on a new one come 4, 5 and 6")
	a.Close()
	c, err := s.speaker("me")
	if err != nil {
		return err
	}
	if err := firstError(s.say(c, "4 four"), s.say(c, "5 five"), s.say(c, "6 six"), s.hears("4 four", "5 five", "6 six")); err != nil {
		return err
	}
	if err := s.until("2 messages to be counted as repeated", func(d stats) bool { return d.Numbered.Repeated == 2 }); err != nil {
		return err
	}
	if err := s.alone(); err != nil {
		return err
	}
	return s.shuffled()
}

// alone has a message wait for a number while its room ends and begins again.
func (s *stage) alone() error {
	s.r.Step("a sender is alone in its room: 2 comes, and its connection ends; then it comes again, and sends 1")
	k, err := s.speakerIn("alone", "me")
	if err != nil {
		return err
	}
	if err := s.say(k, "2 two"); err != nil {
		return err
	}
	k.Close()
	if err := s.until("a room without members to end", func(d stats) bool { return d.Rooms == 1 }); err != nil {
		return err
	}
	again, err := s.dial("/room/alone?sender=me")
	if err != nil {
		return err
	}
	const who = "a sender whose room had ended meanwhile"
	return firstError(say(again, "1 one"), expect(again, who, "1 one"), expect(again, who, "2 two"))
}

// shuffled sends many messages of one sender over several connections at once.
func (s *stage) shuffled() error {
	const messages, lines = 240, 4 // fewer than the smallest window that is allowed
	s.r.Step("a sender sends 1 to %d over %d connections, at once and in any order", messages, lines)
	order := rand.Perm(messages)
	ends := make(chan error, lines)
	for k := range lines {
		c, err := s.speaker("many")
		if err != nil {
			return err
		}
		go func() {
			for i := k; i < messages; i += lines {
				if err := say(c.Conn, fmt.Sprintf("%d m", order[i]+1)); err != nil {
					ends <- err
					return
				}
			}
			ends <- nil
		}()
	}
	for range lines {
		if err := <-ends; err != nil {
			return err
		}
	}
	for i := range messages {
		if err := s.hears(fmt.Sprintf("%d m", i+1)); err != nil {
			return err
		}
	}
	return nil
}

func gapsEnd(r *spec.Run, p Program) error {
	s, err := newStage(r, p, "-gap-timeout", "50ms", "-close-timeout", "40s")
	if err != nil {
		return err
	}
	a, err := s.speaker("me")
	if err != nil {
		return err
	}
	r.Step("2 comes, and 1 never does, with -gap-timeout 50ms")
	if err := firstError(s.say(a, "2 two"), s.hears("2 two")); err != nil {
		return err
	}
	if err := s.until("1 number to be counted as lost", func(d stats) bool { return d.Numbered.Lost == 1 }); err != nil {
		return err
	}
	r.Step("then a number that is 100,000 ahead, then 3")
	if err := firstError(s.say(a, "100002 far"), s.say(a, "3 three"), s.hears("3 three")); err != nil {
		return err
	}
	if err := s.until("a message too far ahead to be dropped and counted", func(d stats) bool { return d.Drops.Unordered == 1 }); err != nil {
		return err
	}
	r.Step("then 5, and 4 never comes either")
	if err := firstError(s.say(a, "5 five"), s.hears("5 five")); err != nil {
		return err
	}
	r.Step("then a message without a number")
	if err := say(a.Conn, "hello"); err != nil {
		return err
	}
	if code, err := spec.Wait(r, "the end of that connection", a.code); err != nil || code != 1008 {
		return spec.Fail("1008 for a sender with a name whose message has no number", "%d %v", code, err)
	}
	if status, err := s.status("/room/x?sender=a/b"); err != nil || status != 400 {
		return spec.Fail("400 for a sender whose name has a slash", "%d %v", status, err)
	}
	return lastWordIsLast(r, p)
}

// lastWordIsLast has the room go on while a client has been told 1008 and has not
// answered yet. Ear and client are on one loop, so that what the ear has heard
// would have been sent to the client, too.
func lastWordIsLast(r *spec.Run, p Program) error {
	s, err := newStage(r, p, "-loops", "1", "-close-timeout", "40s")
	if err != nil {
		return err
	}
	c, err := s.dial("/room/x?sender=me")
	if err != nil {
		return err
	}
	r.Step("a client that was told 1008 does not answer at once, and the room goes on")
	c.SetCloseHandler(func(int, string) error { return nil })
	if err := say(c, "hello"); err != nil {
		return err
	}
	if code, err := closeCode(c); err != nil || code != 1008 {
		return spec.Fail("1008 for a sender with a name whose message has no number", "%d %v", code, err)
	}
	for range 3 {
		if err := firstError(say(s.ear, "more"), s.hears("more")); err != nil {
			return err
		}
	}
	// Its answer: now the server ends the connection, and the bytes with it.
	err = c.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(1008, ""), time.Now().Add(time.Minute))
	if err != nil {
		return spec.Fail("the server to take a close frame", "%v", err)
	}
	if rest, err := io.ReadAll(c.NetConn()); len(rest) > 0 {
		return spec.Fail("nothing behind a close frame (RFC 6455, 5.5.1)", "%q came, then %v", rest[:min(40, len(rest))], err)
	}
	return nil
}

// gapsEndWithTheServer looks at what waits for a missing number at SIGTERM.
func gapsEndWithTheServer(r *spec.Run, p Program) error {
	s, err := newStage(r, p, "-gap-timeout", "1h", "-close-timeout", "40s", "-drain", "40s")
	if err != nil {
		return err
	}
	a, err := s.speaker("me")
	if err != nil {
		return err
	}
	r.Step("with -gap-timeout 1h 2 and 3 come and wait for 1; then SIGTERM")
	if err := firstError(s.say(a, "2 two"), s.say(a, "3 three"), s.terminate(), s.hears("2 two", "3 three")); err != nil {
		return err
	}
	if code, err := closeCode(s.ear); err != nil || code != 1001 {
		return spec.Fail("1001 behind what waited for a missing number", "%d %v", code, err)
	}
	return s.exits()
}

// firstError takes what calls in a row returned. All of them are made, in their
// order, so each must be harmless after a failed one: they end at the deadline.
func firstError(all ...error) error {
	for _, err := range all {
		if err != nil {
			return err
		}
	}
	return nil
}
