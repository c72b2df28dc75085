// Package capstone is the broadcast server that the labs were for: clients join
// rooms over WebSocket, and what one publishes, all of its room receive, in the
// sender's order.
//
// Read the files in this order: server.go (what there is), config.go, shard.go
// (one loop's share), client.go (one connection), room.go (a message on its way
// to a hundred thousand), outbox.go (the slow ones), sender.go (those who
// number their messages), history.go and catchup.go (rooms that are kept),
// admit.go (who may come in), drain.go (the end), stats.go and admin.go (what can be seen of it), journal.go
// (the log).
//
// The wire: a WebSocket to /room/NAME is a member of that room; every message it
// sends goes to every member, itself included, as it is. With ?sender=NAME its
// messages begin with a number and a space, and the room hears them in that
// order, each once. In a kept room each message begins with its number, and who
// comes with ?since=N gets all that came after N, then "=M", M being the last,
// and then what is new. A WebSocket to /echo gets back what it sends.
package capstone

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"runtime"
	"sync/atomic"
	"time"

	reactor "github.com/asynclab/asynclab/solutions/04-reactor"
	ratelimit "github.com/asynclab/asynclab/solutions/06-ratelimit"
	pooling "github.com/asynclab/asynclab/solutions/10-pooling"
	websocket "github.com/asynclab/asynclab/solutions/15-websocket"
)

//lint:file-ignore U1000 what nobody uses yet is for you to use

// frameHead is the longest head of a frame, in bytes.
const frameHead = 14

// Server is the broadcast server. New, Listen, Run; Shutdown from anywhere.
type Server struct {
	config  Config            // immutable
	log     *slog.Logger      // immutable; must not wait for its reader: see Journal
	verbose bool              // immutable: a line for each connection that ends
	ws      websocket.Options // immutable after New, shared by all connections
	reactor *reactor.Reactor  // immutable after New
	shards  []*shard          // immutable after New: one a loop
	rooms   rooms
	gate    *gate         // who may come in
	senders *senders      // immutable after New
	history *history      // immutable after New
	frames  *pooling.Pool // immutable: the memory of frames that many get

	publishing *ratelimit.Limit // immutable: each client's; nil is no limit

	began    time.Time
	addr     net.Addr    // of the listener; immutable after Listen
	running  atomic.Bool // Run was called
	draining atomic.Bool // no new clients; the others have been told 1001
}

// New returns a server without clients. An error names the setting that makes
// no sense, and what would.
func New(c Config, log *slog.Logger) (*Server, error) {
	if err := c.check(); err != nil {
		return nil, err
	}
	loops, tables, err := c.plan(runtime.GOMAXPROCS(0))
	if err != nil {
		return nil, err
	}
	s := &Server{config: c, log: log, verbose: log.Enabled(context.Background(), slog.LevelDebug), began: time.Now()}
	if err := s.limit(); err != nil {
		return nil, err
	}
	if s.frames, err = pooling.New(pooling.Options{}); err != nil {
		return nil, err
	}
	s.rooms.init(loops)
	s.ws = websocket.Options{
		OnRequest: onRequest, OnOpen: onOpen, OnMessage: onMessage, OnClose: onClose,
		MaxMessage: c.MaxMessage,
	}
	for i := range loops {
		s.shards = append(s.shards, newShard(s, i, loops))
	}
	s.reactor, err = reactor.New(s.options(loops, tables))
	if err != nil {
		return nil, err
	}
	if err := s.openHistory(); err != nil {
		return nil, err
	}
	if s.senders, err = newSenders(s); err != nil {
		return nil, err
	}
	for _, sh := range s.shards {
		sh.askForTick()
	}
	log.Info("server made", "loops", loops, "tables", tables, "max_conns", c.MaxConns)
	return s, nil
}

// limit makes what bounds the rates of connections and of messages.
func (s *Server) limit() (err error) {
	c := &s.config
	if s.gate, err = newGate(c); err != nil || c.PublishRate == 0 {
		return err
	}
	l, err := ratelimit.NewLimit(c.PublishRate, c.PublishBurst)
	if err != nil {
		return fmt.Errorf("publish-rate and publish-burst: %w", err)
	}
	s.publishing = &l
	return nil
}

func (s *Server) options(loops int, tables bool) reactor.Options {
	o := reactor.Options{
		Loops: loops, OwnTables: tables,
		OnOpen: s.onConn, OnData: onData, OnDrain: onDrain, OnTimeout: onTimeout, OnClose: s.onGone,
		MaxMessage: 16 << 10, // what the WebSocket leaves unconsumed: a request's head at most
		MaxQueued:  s.writeAhead(),
	}
	if tables {
		o.Accept = reactor.ReusePort
	}
	return o
}

// writeAhead bounds what a client's connection holds as bytes; what else waits
// for it, waits in its outbox, where it can still be dropped.
func (s *Server) writeAhead() int { return max(64<<10, s.config.MaxMessage+frameHead) }

// Listen opens the listener and returns the address it got.
func (s *Server) Listen() (net.Addr, error) {
	return nil, errors.New("not implemented: start at README.md, step 1")
}

// Run serves until Shutdown, and then returns nil.
func (s *Server) Run() error {
	return errors.New("not implemented: step 1")
}

// end ends what works beside the loops, when these have ended.
func (s *Server) end() {
	s.senders.end()
	s.history.end()
}
