package capstone

import (
	"errors"
	"net/http"
	"slices"
	"strings"
	"time"

	reactor "github.com/asynclab/asynclab/solutions/04-reactor"
	ratelimit "github.com/asynclab/asynclab/solutions/06-ratelimit"
	websocket "github.com/asynclab/asynclab/solutions/15-websocket"
)

// Why a connection was ended by this server, for the log and the counters.
var (
	errZombie    = errors.New("nothing was heard for as long as zombie allows")
	errHandshake = errors.New("no whole request within handshake-timeout")
	errFarewell  = errors.New("no end within close-timeout")
)

// client is one connection. It belongs to its loop's goroutine.
//
// It is what the WebSocket writes to (websocket.Transport), so that everything
// that leaves, leaves through its outbox.
type client struct {
	shard *shard           // immutable
	conn  *reactor.Conn    // immutable
	ws    *websocket.Conn  // immutable
	room  *room            // nil for echo and before the request is whole
	out   *outbox          // nil while everything fits into the connection
	rate  ratelimit.Bucket // what it may publish, if that is limited

	heard   uint32 // the shard's tick when something arrived last
	place   int32  // among the shard's clients
	seat    int32  // among the room's members of this loop; noSeat while it catches up
	verdict verdict
	phase   phase
	joined  bool // the handshake is done
	named   bool // it numbers its messages: shard.names has its stream
}

type phase uint8

const (
	arriving phase = iota // the request is not whole yet
	present               // messages go both ways
	leaving               // our last word is said
)

// The reactor's callbacks.

func (s *Server) onConn(rc *reactor.Conn) {
	sh := s.shards[rc.Loop()]
	c := &client{shard: sh, conn: rc, heard: sh.ticks}
	c.ws = websocket.New(&s.ws, c)
	c.ws.SetValue(c)
	rc.SetValue(c)
	sh.add(c)
	sh.counts.accepted.Add(1)
	c.verdict = s.gate.enter(rc.RemoteAddr())
	rc.SetTimeout(s.config.HandshakeTimeout)
}

func onData(rc *reactor.Conn, data []byte) (consumed int) {
	c := rc.Value().(*client)
	c.heard = c.shard.ticks
	consumed = c.ws.Data(data)
	c.shard.counts.bytesIn.Add(int64(consumed)) // the rest is shown again
	return consumed
}

func (s *Server) onGone(rc *reactor.Conn, err error) {
	c := rc.Value().(*client)
	sh := c.shard
	sh.remove(c)
	if c.room != nil {
		s.rooms.leave(c)
	}
	delete(sh.names, c)
	delete(sh.behind, c)
	c.out.clear(sh)
	s.gate.leave(rc.RemoteAddr(), c.verdict)
	sh.countEnd(c, err)
	if s.verbose {
		s.log.Debug("connection ended", "address", rc.RemoteAddr(), "loop", sh.index, "joined", c.joined, "error", err)
	}
	c.ws.End(err)
	sh.checkEmpty()
}

func onDrain(rc *reactor.Conn) { rc.Value().(*client).drain() }

// onTimeout acts on whichever clock runs: the handshake's, the heart's, or the
// farewell's.
func onTimeout(rc *reactor.Conn) {
	switch c := rc.Value().(*client); c.phase {
	case arriving:
		c.conn.Abort(errHandshake)
	case leaving:
		c.conn.Abort(errFarewell)
	case present:
		c.beat()
	}
}

// beat pings a silent client, and removes one that has been silent for too long.
func (c *client) beat() {
	config := &c.shard.server.config
	silence := time.Duration(c.shard.ticks-c.heard) * tickEvery
	switch {
	case silence >= config.Zombie:
		c.conn.Abort(errZombie)
		return
	case silence >= config.Heartbeat-tickEvery:
		c.ws.Ping(nil)
	}
	c.conn.SetTimeout(min(config.Heartbeat, max(config.Zombie-silence, tickEvery)))
}

// The WebSocket's callbacks.

// onRequest decides by the path what the connection is for.
func onRequest(ws *websocket.Conn, target string, header http.Header) (status int) {
	c := ws.Value().(*client)
	s := c.shard.server
	path, query, _ := strings.Cut(target, "?")
	switch {
	case s.draining.Load():
		return http.StatusServiceUnavailable
	case c.verdict != welcome:
		return c.verdict.status()
	case len(s.config.Origins) > 0 && !slices.Contains(s.config.Origins, header.Get("Origin")):
		return http.StatusForbidden
	case path == "/echo":
		return 0
	}
	name, found := strings.CutPrefix(path, "/room/")
	if !found || !roomName(name) {
		return http.StatusNotFound
	}
	sender, ok1 := senderName(query)
	since, ok2 := sinceOf(query)
	kept := s.history.books[name]
	if !ok1 || !ok2 || since >= 0 && kept == nil {
		return http.StatusBadRequest
	}
	if sender != "" {
		c.named = true
		c.shard.names[c] = name + "/" + sender // neither has a slash
	}
	if kept != nil {
		c.joinKept(kept, since)
		return 0
	}
	// Before the 101: a member receives whatever is published after it has
	// seen that.
	s.rooms.join(c, name)
	return 0
}

func onOpen(ws *websocket.Conn) {
	c := ws.Value().(*client)
	config := &c.shard.server.config
	c.phase, c.joined = present, true
	c.conn.SetTimeout(config.Heartbeat)
	if c.shard.behind[c] != nil {
		c.catchUp()
	}
}

func onMessage(ws *websocket.Conn, text bool, payload []byte) {
	c := ws.Value().(*client)
	c.shard.counts.messages.Add(1)
	switch {
	case !c.mayPublish():
		c.shard.counts.dropRate.Add(1)
	case c.named:
		c.publishNumbered(text, payload)
	case c.room != nil:
		c.room.publish(c, text, payload)
	default:
		if ws.Send(text, payload) == nil {
			c.shard.counts.deliveries.Add(1)
		}
	}
}

// mayPublish takes a token from the client's bucket, if there is a limit: eight
// bytes a client, and no lock.
func (c *client) mayPublish() bool {
	s := c.shard.server
	return s.publishing == nil || c.rate.Take(s.publishing, time.Since(s.began), 1)
}

func onClose(ws *websocket.Conn, code int, _ string) {
	c := ws.Value().(*client)
	c.shard.counts.closed[endOf(code)].Add(1)
}

// close says a last word. The peer has close-timeout to answer.
func (c *client) close(code int, reason string) {
	c.leave()
	c.ws.Close(code, reason)
}

// leave starts the farewell's clock, once.
func (c *client) leave() {
	if c.phase != leaving {
		c.phase = leaving
		c.conn.SetTimeout(c.shard.server.config.CloseTimeout)
	}
}

// The methods of websocket.Transport: what the WebSocket writes goes through the
// outbox like everything else.

func (c *client) Write(p []byte) (int, error) { return len(p), c.queue(p) }

func (c *client) Close() error {
	c.leave()
	if c.out == nil {
		return c.conn.Close()
	}
	c.out.bye = true // drain will do it
	return nil
}

func (c *client) Abort(err error) {
	c.leave()
	c.conn.Abort(err)
}
