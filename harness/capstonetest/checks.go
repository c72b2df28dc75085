package capstonetest

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"os/exec"
	"strings"
	"time"

	"github.com/gorilla/websocket"

	"github.com/asynclab/asynclab/harness/load"
	"github.com/asynclab/asynclab/harness/spec"
)

func refusesWrongSettings(r *spec.Run, p Program) error {
	for _, args := range [][]string{{"-slow", "sometimes"}, {"-max-conns", "0"}, {"-zombie", "1s", "-heartbeat", "2s"}, {"-max-conns", "many"}, {"-no-such-flag", "1"}} {
		r.Step("the server is started with %s", strings.Join(args, " "))
		ctx, cancel := context.WithTimeout(r.Context(), 20*time.Second)
		cmd := exec.CommandContext(ctx, p.Command[0], append(append(p.Command[1:], "-listen", "127.0.0.1:0", "-admin", ""), args...)...)
		cmd.Env = append(cmd.Environ(), p.Env...)
		var said bytes.Buffer
		cmd.Stderr = &said
		err := cmd.Run()
		late := ctx.Err() != nil
		cancel()
		switch {
		case err == nil || late:
			return spec.Fail("an exit status other than 0 for "+strings.Join(args, " "), "the server runs")
		case !strings.Contains(said.String(), strings.TrimPrefix(args[0], "-")):
			return spec.Fail("an error that names "+args[0], "it says %q", said.String())
		}
	}
	_, err := startWith(r, p, []string{"ASYNC_MAX_CONNS=1"}, "-max-conns", "5")
	return err
}

func echoesMessages(r *spec.Run, p Program) error {
	s, err := start(r, p)
	if err != nil {
		return err
	}
	c, err := s.dial("/echo")
	if err != nil {
		return err
	}
	for _, n := range []int{0, 1, 125, 126, 4096, 65536} {
		for _, kind := range []int{websocket.TextMessage, websocket.BinaryMessage} {
			r.Step("a message of %d bytes is echoed", n)
			want := bytes.Repeat([]byte("x"), n)
			c.WriteMessage(kind, want)
			k, got, err := c.ReadMessage()
			if err != nil || k != kind || !bytes.Equal(got, want) {
				return spec.Fail(fmt.Sprintf("an echo of %d bytes, of the same kind", n), "kind %d (sent %d), %d bytes, %v", k, kind, len(got), err)
			}
		}
	}
	for _, path := range []string{"/", "/echoes", "/room/", "/room", "/other"} {
		if status, err := s.status(path); err != nil || status != 404 {
			return spec.Fail("status 404 for "+path, "%d %v", status, err)
		}
	}
	return nil
}

// swarm runs a load and wants it without a fault or a gap.
func swarm(s *running, c load.Config) (load.Result, error) {
	c.Addr, c.Wire = s.addr, load.WebSocket
	s.r.Step("%d clients in %d rooms, %d of each publish, %d in flight", c.Conns, c.Rooms, max(1, c.Publishers), c.Depth)
	res, err := load.Run(swarmContext(s.r), c, load.Hooks{})
	if err != nil {
		return res, spec.Fail("the load to get through", "%v", err)
	}
	if err := res.Faults.Err(); err != nil {
		return res, spec.Fail("every member to receive every message once, in the sender's order", "%v", err)
	}
	if res.Gaps > 0 {
		return res, spec.Fail("every member to receive every message", "%d were missing", res.Gaps)
	}
	return res, nil
}

func everybodyHears(r *spec.Run, p Program) error {
	s, err := start(r, p, "-loops", "1", "-max-conns", "1000")
	if err != nil {
		return err
	}
	r.Step("a and b are in one room, c in another; a speaks, then c")
	a, err1 := s.dial("/room/one")
	b, err2 := s.dial("/room/one")
	c, err3 := s.dial("/room/two")
	for _, err := range []error{err1, err2, err3} {
		if err != nil {
			return err
		}
	}
	if err := say(a, "hello"); err != nil {
		return err
	}
	kind, got, err := b.ReadMessage()
	if err != nil || kind != websocket.TextMessage || string(got) != "hello" {
		return spec.Fail(`b to receive the text "hello"`, "kind %d, %q, %v", kind, got, err)
	}
	if err := expect(a, "a itself", "hello"); err != nil {
		return err
	}
	if err := say(c, "elsewhere"); err != nil {
		return err
	}
	if err := expect(c, "c, who hears nothing of the other room,", "elsewhere"); err != nil {
		return err
	}
	if err := s.comeAndGo(a, b, c); err != nil {
		return err
	}
	_, err = swarm(s, load.Config{Conns: 60, Rooms: 3, Publishers: 2, Depth: 4, Warmup: 50 * time.Millisecond, Window: time.Second})
	return err
}

// comeAndGo has members leave a room of a, b and c's server, from its beginning
// and from its end, and one join in between: who stays must go on hearing.
func (s *running) comeAndGo(before ...*websocket.Conn) error {
	s.r.Step("a room of three: the first leaves, a fourth joins, the third leaves; then the second speaks")
	for _, c := range before {
		c.Close()
	}
	if err := s.members(0); err != nil {
		return err
	}
	first, err1 := s.dial("/room/three")
	second, err2 := s.dial("/room/three")
	third, err3 := s.dial("/room/three")
	if err := firstError(err1, err2, err3); err != nil {
		return err
	}
	first.Close()
	if err := s.members(2); err != nil {
		return err
	}
	fourth, err := s.dial("/room/three")
	if err != nil {
		return err
	}
	third.Close()
	if err := s.members(2); err != nil {
		return err
	}
	err = firstError(say(second, "still here"),
		expect(second, "the second, after others have left,", "still here"),
		expect(fourth, "the fourth, after others have left,", "still here"))
	if err != nil {
		return err
	}
	second.Close()
	fourth.Close()
	return s.members(0)
}

// members waits until so many clients are left, and no room when it is none.
func (s *running) members(n int64) error {
	return s.until(fmt.Sprintf("%d members to be left, and rooms to end with their last", n), func(d stats) bool {
		return d.Connections == n && (n > 0 || d.Rooms == 0)
	})
}

func orderAcrossLoops(r *spec.Run, p Program) error {
	s, err := start(r, p, "-loops", "4", "-max-conns", "1000")
	if err != nil {
		return err
	}
	_, err = swarm(s, load.Config{Conns: 80, Rooms: 2, Publishers: 5, Depth: 16, Warmup: 50 * time.Millisecond, Window: 2 * time.Second})
	return err
}

// silent joins a room with the smallest receive buffer, and does not read.
func silent(s *running, room string) (*websocket.Conn, error) {
	d := websocket.Dialer{NetDialContext: (&smallDialer{}).dial}
	c, _, err := d.DialContext(s.r.Context(), "ws://"+s.addr+"/room/"+room, nil)
	if err != nil {
		return nil, spec.Fail("a WebSocket to /room/"+room, "%v", err)
	}
	s.r.Cleanup(func() { c.Close() })
	if deadline, ok := s.r.Context().Deadline(); ok {
		c.SetReadDeadline(deadline)
	}
	return c, nil
}

const bulk = 8 << 10 // bytes of a message that fills queues

// message is number n of a flood.
func message(n int) string { return fmt.Sprintf("%08d", n) + strings.Repeat(".", bulk-8) }

// flood has one client of a room publish, and hear itself, until the server says
// that it has dropped enough. 32 MB are several times what a kernel takes for a
// client that does not read: then it must have. It returns how many messages were
// sent.
func flood(s *running, room string, done func(stats) bool) (sent int, err error) {
	const most, pause = 4000, 400
	c, err := s.dial("/room/" + room)
	if err != nil {
		return 0, err
	}
	var last stats
	for sent < most && !done(last) {
		for range pause {
			if err := say(c, message(sent)); err != nil {
				return sent, err
			}
			if err := expect(c, "the others of a room with a slow member", message(sent)); err != nil {
				return sent, err
			}
			sent++
		}
		err := s.until(fmt.Sprintf("%d messages to be counted", sent), func(d stats) bool {
			last = d
			return d.Messages >= int64(sent)
		})
		if err != nil {
			return sent, err
		}
	}
	if !done(last) {
		err = spec.Fail("messages for a client that does not read to be dropped, and counted", "32 MB were sent to it, and /api/stats says %+v", last.Drops)
	}
	return sent, err
}

func slowClientsStallNobody(r *spec.Run, p Program) error {
	s, err := start(r, p, "-queue-bytes", "131072")
	if err != nil {
		return err
	}
	r.Step("5 members never read; another one floods the room, and must hear each of its messages")
	for range 5 {
		if _, err := silent(s, "x"); err != nil {
			return err
		}
	}
	_, err = flood(s, "x", func(d stats) bool { return d.dropped() > 500 && d.Messages >= 4000 }) // all of it
	return err
}

// read reads a slow client's messages to the last one that was sent before
// "end", and returns their numbers.
func readTo(c *websocket.Conn, end string) (numbers []int, err error) {
	for {
		_, p, err := c.ReadMessage()
		if err != nil {
			return numbers, err
		}
		if string(p) == end {
			return numbers, nil
		}
		numbers = append(numbers, number(p))
	}
}

// holes counts what is missing, and wants the rest in order.
func holes(numbers []int, sent int) (missing int, err error) {
	last := -1
	for _, n := range numbers {
		if n <= last {
			return 0, spec.Fail("a slow client to receive the rest in order", "%d came behind %d", n, last)
		}
		missing += n - last - 1
		last = n
	}
	return missing + sent - 1 - last, nil
}

func dropsTheOldest(r *spec.Run, p Program) error {
	s, err := start(r, p, "-queue-bytes", "131072", "-slow", "drop-oldest")
	if err != nil {
		return err
	}
	slow, err := silent(s, "x")
	if err != nil {
		return err
	}
	sent, err := flood(s, "x", func(d stats) bool { return d.Drops.Oldest > 200 })
	if err != nil {
		return err
	}
	before, err := s.stats()
	if err != nil {
		return err
	}
	r.Step("%d messages were sent, %d dropped; now the slow one reads", sent, before.Drops.Oldest)
	talker, err := s.dial("/room/x")
	if err != nil {
		return err
	}
	go say(talker, "end")
	numbers, err := readTo(slow, "end")
	if err != nil {
		return spec.Fail("the slow client to receive what was kept, and then the newest", "after %d messages: %v", len(numbers), err)
	}
	missing, err := holes(numbers, sent)
	if err != nil {
		return err
	}
	if len(numbers) == 0 || numbers[len(numbers)-1] != sent-1 {
		return spec.Fail("the newest message to be kept", "the last of %d that came is not number %d", len(numbers), sent-1)
	}
	return s.until(fmt.Sprintf("every message that was dropped to be counted, and no other: %d", missing), func(d stats) bool { return d.Drops.Oldest == int64(missing) })
}

// dropsTheNewest tries again where there was a hole: on a busy machine the kernel
// may take some more of what waits, late, and then there is room in between. With
// four such moments in a row it is the server.
func dropsTheNewest(r *spec.Run, p Program) error {
	for try := 1; ; try++ {
		hole, err := keepsTheFirst(r, p)
		if err != nil || hole == nil {
			return err
		}
		if try == 4 {
			return hole
		}
		r.Step("%v: once more", hole)
	}
}

// keepsTheFirst floods a slow client; hole says what it received first that was not
// next.
func keepsTheFirst(r *spec.Run, p Program) (hole, err error) {
	s, err := start(r, p, "-queue-bytes", "131072", "-slow", "drop-newest")
	if err != nil {
		return nil, err
	}
	slow, err := silent(s, "x")
	if err != nil {
		return nil, err
	}
	sent, err := flood(s, "x", func(d stats) bool { return d.Drops.Newest > 200 })
	if err != nil {
		return nil, err
	}
	var dropped int64
	err = s.until(fmt.Sprintf("%d messages to be counted", sent), func(d stats) bool {
		dropped = d.Drops.Newest
		return d.Messages == int64(sent)
	})
	if err != nil {
		return nil, err
	}
	kept := sent - int(dropped)
	r.Step("%d messages were sent, %d dropped; now the slow one reads %d", sent, dropped, kept)
	last := -1
	for i := range kept {
		_, got, err := slow.ReadMessage()
		if err != nil {
			return nil, spec.Fail(fmt.Sprintf("the slow client to receive the %d messages that were not dropped", kept), "after %d: %v", i, err)
		}
		n := number(got)
		if n <= last {
			return nil, spec.Fail("a slow client to receive the rest in order", "%d came behind %d", n, last)
		}
		if n != i && hole == nil {
			hole = spec.Fail("what was kept to be without a hole", "number %d came in place of %d", n, i)
		}
		last = n
	}
	return hole, nil
}

// lastWordFits ends the server while a client's queue is full of what is kept.
func lastWordFits(r *spec.Run, p Program) error {
	s, err := start(r, p, "-queue-bytes", "131072", "-slow", "drop-newest", "-loops", "1", "-max-conns", "1000", "-drain", "40s", "-close-timeout", "40s")
	if err != nil {
		return err
	}
	slow, err := silent(s, "x")
	if err != nil {
		return err
	}
	if _, err := flood(s, "x", func(d stats) bool { return d.Drops.Newest > 200 }); err != nil {
		return err
	}
	// What is left of its queue is less than the next smaller size needs, and in the
	// end less than a close frame does.
	filler, err := s.dial("/room/x")
	if err != nil {
		return err
	}
	for size := bulk; size > 0; size /= 2 {
		text := strings.Repeat(".", size)
		if err := firstError(say(filler, text), expect(filler, "the others of a room with a slow member", text)); err != nil {
			return err
		}
	}
	r.Step("SIGTERM while the slow one's queue is full; then it reads")
	if err := s.terminate(); err != nil {
		return err
	}
	if code, err := closeCode(filler); err != nil || code != 1001 { // so all of its loop have been told
		return spec.Fail("1001 for a client at SIGTERM", "%d %v", code, err)
	}
	if code, err := closeCode(slow); err != nil || code != 1001 {
		return spec.Fail("1001 for a slow client: the last word gets past a full queue", "%d %v", code, err)
	}
	return nil
}

// number is the number of a flood's message.
func number(p []byte) (n int) {
	fmt.Sscanf(string(p[:min(8, len(p))]), "%d", &n)
	return n
}

func disconnectsTheSlow(r *spec.Run, p Program) error {
	queue := func(d stats) bool { return d.Drops.Disconnected > 8 } // 16 messages fit
	r.Step("a slow client that is disconnected, and reads in the end")
	s, err := start(r, p, "-queue-bytes", "131072", "-slow", "disconnect", "-close-timeout", "10m")
	if err != nil {
		return err
	}
	slow, err := silent(s, "x")
	if err != nil {
		return err
	}
	if _, err := flood(s, "x", queue); err != nil {
		return err
	}
	code, err := closeCode(slow)
	if err != nil {
		return err
	}
	if code != 1008 {
		return spec.Fail("a slow client to be closed with 1008", "it was closed with %d", code)
	}
	r.Step("one that never does")
	if s, err = start(r, p, "-queue-bytes", "131072", "-slow", "disconnect", "-close-timeout", "1s"); err != nil {
		return err
	}
	if _, err := silent(s, "x"); err != nil {
		return err
	}
	if _, err := flood(s, "x", queue); err != nil {
		return err
	}
	return s.until("a client that does not read its close frame to be gone: 1 connection or none", func(d stats) bool { return d.Connections <= 1 })
}

func pingsAndRemovesZombies(r *spec.Run, p Program) error {
	s, err := start(r, p, "-heartbeat", "300ms", "-zombie", "1500ms")
	if err != nil {
		return err
	}
	r.Step("one client answers pings and says nothing else; one answers nothing")
	alive, err := s.dial("/room/x")
	if err != nil {
		return err
	}
	pinged := make(chan struct{}, 100)
	answer := alive.PingHandler()
	alive.SetPingHandler(func(p string) error {
		pinged <- struct{}{}
		return answer(p)
	})
	heard := make(chan string, 10)
	go func() {
		for {
			_, p, err := alive.ReadMessage()
			if err != nil {
				heard <- err.Error()
				return
			}
			heard <- string(p)
		}
	}()
	if _, err := silent(s, "x"); err != nil {
		return err
	}
	for range 12 { // at 300 ms each: well beyond -zombie
		if _, err := spec.Wait(r, "a ping for a silent client, again and again", pinged); err != nil {
			return err
		}
	}
	if err := s.until("the client that answers nothing to be removed, and the other one not", func(d stats) bool { return d.Connections == 1 }); err != nil {
		return err
	}
	if err := say(alive, "still here"); err != nil {
		return err
	}
	got, err := spec.Wait(r, "a client that answers pings to be served on", heard)
	if err == nil && got != "still here" {
		err = spec.Fail("a client that answers pings to be served on", "%s", got)
	}
	return err
}

func handshakesEnd(r *spec.Run, p Program) error {
	s, err := start(r, p, "-handshake-timeout", "500ms")
	if err != nil {
		return err
	}
	for name, request := range map[string]string{"nothing": "", "half a request": "GET /echo HTTP/1.1\r\nHost: x\r\n"} {
		r.Step("a client sends %s", name)
		c, err := s.tcp()
		if err != nil {
			return err
		}
		c.Write([]byte(request))
		var buf [512]byte
		for {
			if _, err := c.Read(buf[:]); err != nil {
				if ne, ok := err.(interface{ Timeout() bool }); ok && ne.Timeout() {
					return spec.Fail("a client that sends "+name+" to be ended after -handshake-timeout", "it is still there")
				}
				break
			}
		}
	}
	return nil
}

// flagsWin sets a limit by a variable, then by both.
func flagsWin(r *spec.Run, p Program) error {
	for _, c := range []struct {
		args []string
		want int
	}{{nil, 503}, {[]string{"-max-conns", "5"}, 101}} {
		s, err := startWith(r, p, []string{"ASYNC_MAX_CONNS=1"}, c.args...)
		if err != nil {
			return err
		}
		if _, err := s.dial("/echo"); err != nil {
			return err
		}
		if status, err := s.status("/echo"); err != nil || status != c.want {
			return spec.Fail(fmt.Sprintf("status %d for a second client with ASYNC_MAX_CONNS=1 and %v: the flag wins", c.want, c.args), "%d %v", status, err)
		}
	}
	return nil
}

func limitsConnections(r *spec.Run, p Program) error {
	if err := flagsWin(r, p); err != nil {
		return err
	}
	s, err := start(r, p, "-max-conns", "3")
	if err != nil {
		return err
	}
	r.Step("-max-conns is 3; a fourth client comes, then one leaves")
	first, err := s.dial("/echo")
	if err != nil {
		return err
	}
	for range 2 {
		if _, err := s.dial("/echo"); err != nil {
			return err
		}
	}
	if err := s.refuses("status 503 for the fourth of 3", 503, 3); err != nil {
		return err
	}
	first.Close()
	if err := s.freePlace(); err != nil {
		return err
	}
	s, err = start(r, p, "-conns-per-address", "2")
	if err != nil {
		return err
	}
	r.Step("-conns-per-address is 2; a third client comes from it, then one leaves")
	first, err = s.dial("/echo")
	if err != nil {
		return err
	}
	if _, err := s.dial("/echo"); err != nil {
		return err
	}
	if err := s.refuses("status 429 for the third of 2 from one address", 429, 2); err != nil {
		return err
	}
	first.Close()
	if err := s.freePlace(); err != nil {
		return err
	}
	s, err = start(r, p, "-conn-rate", "0.001")
	if err != nil {
		return err
	}
	r.Step("-conn-rate is one in 1,000 seconds; two come")
	if _, err := s.dial("/echo"); err != nil {
		return err
	}
	if status, err := s.status("/echo"); err != nil || status != 429 {
		return spec.Fail("status 429 for the second client, at a rate of one in 1,000 s", "%d %v", status, err)
	}
	return s.until("the refusal to be counted", func(d stats) bool { return d.Refused.Rate == 1 })
}

// refuses has some clients come one after the other, each when the one before has
// gone: who was refused took no place, and must not give one back.
func (s *running) refuses(want string, status int, inside int64) error {
	for range 3 {
		if got, err := s.status("/echo"); err != nil || got != status {
			return spec.Fail(want, "%d %v", got, err)
		}
		if err := s.until("who was refused to be gone", func(d stats) bool { return d.Connections == inside }); err != nil {
			return err
		}
	}
	return nil
}

// freePlace waits until a client is let in again.
func (s *running) freePlace() error {
	var last int
	var failed error
	err := s.r.Until("a place that was left to be free again", func() bool {
		last, failed = s.status("/echo")
		return failed != nil || last == 101
	})
	if failed != nil {
		return failed
	}
	return err
}

func checksOrigins(r *spec.Run, p Program) error {
	s, err := start(r, p, "-origins", "https://good.example")
	if err != nil {
		return err
	}
	if _, err := s.dial("/echo", "Origin", "https://good.example"); err != nil {
		return err
	}
	if status, err := s.status("/echo", "Origin", "https://evil.example"); err != nil || status != 403 {
		return spec.Fail("status 403 for a page of another origin", "%d %v", status, err)
	}
	return nil
}

func limitsPublishing(r *spec.Run, p Program) error {
	const burst, sent = 10, 200
	s, err := start(r, p, "-publish-rate", "0.001", "-publish-burst", fmt.Sprint(burst))
	if err != nil {
		return err
	}
	c, err := s.dial("/room/x")
	if err != nil {
		return err
	}
	r.Step("a client sends %d messages at once; %d may pass", sent, burst)
	for i := range sent {
		if err := say(c, fmt.Sprint(i)); err != nil {
			return err
		}
	}
	for i := range burst {
		if err := expect(c, "the sender", fmt.Sprint(i)); err != nil {
			return err
		}
	}
	return s.until(fmt.Sprintf("%d messages to be dropped and counted", sent-burst), func(d stats) bool { return d.Drops.PublishRate == sent-burst })
}

func refusesLongMessages(r *spec.Run, p Program) error {
	s, err := start(r, p, "-max-message", "1000")
	if err != nil {
		return err
	}
	c, err := s.dial("/echo")
	if err != nil {
		return err
	}
	if err := say(c, strings.Repeat("x", 1000)); err != nil {
		return err
	}
	if err := expect(c, "the sender of 1,000 bytes", strings.Repeat("x", 1000)); err != nil {
		return err
	}
	c.WriteMessage(websocket.TextMessage, bytes.Repeat([]byte("x"), 1001))
	if code, err := closeCode(c); err != nil || code != 1009 {
		return spec.Fail("1009 for a message of 1,001 bytes, with -max-message 1000", "%d %v", code, err)
	}
	return nil
}

func rubbishHurtsNobody(r *spec.Run, p Program) error {
	s, err := start(r, p)
	if err != nil {
		return err
	}
	a, err := s.dial("/room/x")
	if err != nil {
		return err
	}
	r.Step("300 clients: garbage, resets, half requests, half frames, vanished members; one member talks all the while")
	rng := rand.New(rand.NewPCG(1, 2))
	for i := range 300 {
		if err := misbehave(s, i, rng); err != nil {
			return err
		}
		if err := say(a, fmt.Sprint(i)); err != nil {
			return err
		}
		if err := expect(a, "the member that behaves", fmt.Sprint(i)); err != nil {
			return err
		}
	}
	return s.until("only the member that behaves to be left", func(d stats) bool { return d.Connections == 1 && d.Rooms == 1 })
}

// misbehave is one client of many kinds.
func misbehave(s *running, i int, rng *rand.Rand) error {
	if i%3 == 0 {
		c, err := s.dial("/room/x")
		if err != nil {
			return err
		}
		raw := c.NetConn()
		switch i % 4 {
		case 0:
			raw.Write([]byte{0x81, 0xff, 0, 0, 0}) // half a head
		case 1:
			junk := make([]byte, 300)
			for k := range junk {
				junk[k] = byte(rng.Uint32())
			}
			raw.Write(append([]byte{0xff}, junk...))
		}
		if i%2 == 0 {
			raw.(interface{ SetLinger(int) error }).SetLinger(0) // a reset
		}
		return raw.Close()
	}
	c, err := s.tcp()
	if err != nil {
		return err
	}
	switch i % 5 {
	case 0:
		c.Write([]byte("GET / HTT"))
	case 1:
		junk := make([]byte, 20_000)
		for k := range junk {
			junk[k] = byte(rng.Uint32())
		}
		c.Write(junk)
	case 2:
		c.Write([]byte("\x16\x03\x01\x00\xa5\x01\x00\x00\xa1\x03\x03"))
	}
	if i%2 == 0 {
		c.SetLinger(0)
	}
	return c.Close()
}

func drainSaysGoingAway(r *spec.Run, p Program) error {
	s, err := start(r, p, "-drain", "40s", "-close-timeout", "40s", "-queue-bytes", "67108864")
	if err != nil {
		return err
	}
	const members, messages = 8, 1200 // 10 MB for each: more than the kernel takes
	var all []*websocket.Conn
	for range members {
		c, err := s.dial("/room/x")
		if err != nil {
			return err
		}
		all = append(all, c)
	}
	r.Step("a member publishes %d messages; when it has heard the last, SIGTERM; the others have not read yet", messages)
	for i := range messages {
		if err := say(all[0], message(i)); err != nil {
			return err
		}
		if err := expect(all[0], "the sender", message(i)); err != nil {
			return err
		}
	}
	idle, err := s.dial("/echo")
	if err != nil {
		return err
	}
	if err := s.terminate(); err != nil {
		return err
	}
	if code, err := closeCode(idle); err != nil || code != 1001 {
		return spec.Fail("1001 for an idle client at SIGTERM", "%d %v", code, err)
	}
	ends := make(chan error, members)
	for k, c := range all[1:] {
		go func() {
			for i := range messages {
				if err := expect(c, fmt.Sprintf("member %d, before the end,", k+1), message(i)); err != nil {
					ends <- err
					return
				}
			}
			code, err := closeCode(c)
			if err != nil || code != 1001 {
				err = spec.Fail("1001 behind the last message", "%d %v", code, err)
			}
			ends <- err
		}()
	}
	go closeCode(all[0])
	for range all[1:] {
		if err := <-ends; err != nil {
			return err
		}
	}
	if err := s.exits(); err != nil {
		return err
	}
	if err := lastWordFits(r, p); err != nil {
		return err
	}
	return gapsEndWithTheServer(r, p)
}

func drainForces(r *spec.Run, p Program) error {
	s, err := start(r, p, "-drain", "500ms", "-close-timeout", "50s")
	if err != nil {
		return err
	}
	if _, err := silent(s, "x"); err != nil { // it will never answer the close frame
		return err
	}
	if err := s.terminate(); err != nil {
		return err
	}
	if _, err := spec.Wait(r, "the server to end although a client does not answer", s.ended); err != nil {
		return err
	}
	if !s.cmd.ProcessState.Exited() {
		return spec.Fail("the server to end by itself", "%s", s.cmd.ProcessState)
	}
	return nil
}

func countsWhatHappens(r *spec.Run, p Program) error {
	s, err := start(r, p)
	if err != nil {
		return err
	}
	a, err := s.dial("/room/x")
	if err != nil {
		return err
	}
	b, err := s.dial("/room/x")
	if err != nil {
		return err
	}
	for i := range 10 {
		if err := say(a, fmt.Sprint(i)); err != nil {
			return err
		}
		if err := expect(b, "the other member", fmt.Sprint(i)); err != nil {
			return err
		}
	}
	err = s.until("2 connections, 1 room, 10 messages and 20 deliveries", func(d stats) bool {
		return d.Connections == 2 && d.Rooms == 1 && d.Messages == 10 && d.Deliveries == 20
	})
	if err != nil {
		return err
	}
	for path, want := range map[string]string{"/metrics": "asynclab_messages_total 10", "/healthz": "", "/": "<!doctype html"} {
		text, status, err := s.page(path)
		if err != nil {
			return err
		}
		if status != 200 || !strings.Contains(strings.ToLower(string(text)), want) {
			return spec.Fail(fmt.Sprintf("status 200 at %s, and %q in it", path, want), "status %d, %.60q", status, text)
		}
	}
	b.Close()
	if err := s.until("1 connection when one has left", func(d stats) bool { return d.Connections == 1 }); err != nil {
		return err
	}
	return countsBytes(s)
}

// countsBytes looks at an echo, whose way out is not a room's.
func countsBytes(s *running) error {
	const size = 10_000
	c, err := s.dial("/echo")
	if err != nil {
		return err
	}
	before, err := s.stats()
	if err != nil {
		return err
	}
	if err := say(c, strings.Repeat("x", size)); err != nil {
		return err
	}
	if err := expect(c, "the sender", strings.Repeat("x", size)); err != nil {
		return err
	}
	return s.until(fmt.Sprintf("an echo of %d bytes to be counted as so many bytes in, and out", size), func(d stats) bool {
		return d.BytesIn >= before.BytesIn+size && d.BytesOut >= before.BytesOut+size
	})
}
