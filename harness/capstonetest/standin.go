package capstonetest

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/gorilla/websocket"
)

// standinEnv makes a process the stand-in; its value is the fault.
const standinEnv = "ASYNCLAB_STANDIN"

// standin is a right server in another style than the course's: gorilla's
// WebSocket, a goroutine that reads and one that writes for each connection, a
// channel for what waits. It is what the targets compare with, and, with a fault,
// a mutant.
type standin struct {
	fault string

	listen, admin, slow, origins                         string
	maxConns, perAddress, maxMessage, queueBytes, burst  int
	connRate, publishRate                                float64
	heartbeat, zombie, handshake, closeTimeout, patience time.Duration

	mu        sync.Mutex // guards the following
	clients   map[*guest]struct{}
	rooms     map[string]map[*guest]struct{}
	addresses map[string]int
	tokens    float64
	refilled  time.Time
	draining  bool

	flowsMu sync.Mutex       // guards flows and held; taken before mu
	flows   map[string]*flow // of senders with names
	held    []func()         // for a fault
	gap     time.Duration

	history, historyRooms, logLevel string
	books                           map[string]*book // kept rooms; the map is immutable

	repeated, lost, unordered                 atomic.Int64
	accepted, messages, deliveries            atomic.Int64
	bytesIn, bytesOut                         atomic.Int64
	oldest, newest, disconnected, limited     atomic.Int64
	refusedTotal, refusedRate, refusedAddress atomic.Int64
}

// guest is one client of a stand-in.
type guest struct {
	conn   *websocket.Conn
	room   string
	sender string     // "" for one who does not number its messages
	since  int        // what it has seen last of a kept room; -1 for none of it
	mu     sync.Mutex // guards queue and bytes
	queue  []item
	bytes  int
	wake   chan struct{}
	gone   chan struct{}
	once   sync.Once
	heard  atomic.Int64 // Unix ns
}

type item struct {
	kind    int
	payload []byte
}

// becomeStandin runs the stand-in in a process that was started for it.
func becomeStandin() {
	fault, ok := os.LookupEnv(standinEnv)
	if !ok {
		return
	}
	s := &standin{fault: fault, clients: map[*guest]struct{}{}, rooms: map[string]map[*guest]struct{}{}, addresses: map[string]int{}, flows: map[string]*flow{}, books: map[string]*book{}, refilled: time.Now()}
	args := os.Args[1:]
	if i := slices.Index(args, "--"); i >= 0 { // a test binary's own flags come first
		args = args[i+1:]
	}
	if err := s.parse(args); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	}
	os.Exit(s.run())
}

func (s *standin) parse(args []string) error {
	f := flag.NewFlagSet("standin", flag.ContinueOnError)
	f.SetOutput(io.Discard)
	f.StringVar(&s.listen, "listen", "127.0.0.1:0", "")
	f.StringVar(&s.admin, "admin", "127.0.0.1:0", "")
	f.StringVar(&s.slow, "slow", "drop-oldest", "")
	f.StringVar(&s.origins, "origins", "", "")
	f.IntVar(&s.maxConns, "max-conns", 100_000, "")
	f.IntVar(&s.perAddress, "conns-per-address", 0, "")
	f.IntVar(&s.maxMessage, "max-message", 64<<10, "")
	f.IntVar(&s.queueBytes, "queue-bytes", 256<<10, "")
	f.IntVar(&s.burst, "publish-burst", 100, "")
	f.Int("loops", 0, "")
	f.Float64Var(&s.connRate, "conn-rate", 0, "")
	f.Float64Var(&s.publishRate, "publish-rate", 0, "")
	f.DurationVar(&s.gap, "gap-timeout", 2*time.Second, "")
	f.DurationVar(&s.heartbeat, "heartbeat", 30*time.Second, "")
	f.DurationVar(&s.zombie, "zombie", time.Minute, "")
	f.DurationVar(&s.handshake, "handshake-timeout", 10*time.Second, "")
	f.DurationVar(&s.closeTimeout, "close-timeout", 5*time.Second, "")
	f.DurationVar(&s.patience, "drain", 10*time.Second, "")
	f.StringVar(&s.logLevel, "log-level", "info", "")
	f.StringVar(&s.history, "history", "", "")
	f.StringVar(&s.historyRooms, "history-rooms", "", "")
	f.VisitAll(func(k *flag.Flag) {
		if v := os.Getenv("ASYNC_" + strings.ToUpper(strings.ReplaceAll(k.Name, "-", "_"))); v != "" && s.fault != "ignores the environment" {
			f.Set(k.Name, v)
		}
	})
	if err := f.Parse(args); err != nil {
		return err
	}
	if s.fault == "takes any setting" {
		return nil
	}
	switch {
	case s.maxConns < 1:
		return fmt.Errorf("max-conns is %d: give at least 1", s.maxConns)
	case s.slow != "drop-oldest" && s.slow != "drop-newest" && s.slow != "disconnect":
		return fmt.Errorf("slow is %q: give drop-oldest, drop-newest or disconnect", s.slow)
	case s.zombie <= s.heartbeat:
		return fmt.Errorf("zombie is %v: give more than heartbeat", s.zombie)
	}
	return nil
}

func (s *standin) run() int {
	s.tokens = max(1, s.connRate)
	if err := s.openBooks(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGTERM, os.Interrupt) // before anybody knows where we are
	l, err := net.Listen("tcp", s.listen)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	server := &http.Server{Handler: http.HandlerFunc(s.serve), ReadHeaderTimeout: s.handshake}
	if s.fault == "no handshake timeout" {
		server.ReadHeaderTimeout = 0
	}
	go server.Serve(l)
	if s.admin != "" {
		a, err := net.Listen("tcp", s.admin)
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		go http.Serve(a, s.adminHandler())
		defer fmt.Fprint(io.Discard, a)
		fmt.Println("listening on", l.Addr())
		fmt.Println("admin on", a.Addr())
	} else {
		fmt.Println("listening on", l.Addr())
	}
	<-stop
	if s.fault == "dies at SIGTERM" {
		return 0
	}
	s.drain()
	return 0
}

func (s *standin) drain() {
	ctx, cancel := context.WithTimeout(context.Background(), s.patience)
	defer cancel()
	if s.fault == "drains for ever" {
		ctx = context.Background()
	}
	s.mu.Lock()
	s.draining = true
	var all []*guest
	for g := range s.clients {
		all = append(all, g)
	}
	s.mu.Unlock()
	s.endFlows()
	code := 1001
	if s.fault == "goes away with 1000" {
		code = 1000
	}
	for _, g := range all {
		if s.fault == "drops what is queued at the end" {
			g.mu.Lock()
			g.queue = nil
			g.mu.Unlock()
		}
		g.put(s, item{websocket.CloseMessage, websocket.FormatCloseMessage(code, "")}, true)
	}
	for _, g := range all {
		select {
		case <-g.gone:
		case <-ctx.Done():
			return
		}
	}
}

// admit returns the status that refuses a connection, or 0.
func (s *standin) admit(host string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	s.tokens = min(max(1, s.connRate), s.tokens+s.connRate*now.Sub(s.refilled).Seconds())
	s.refilled = now
	switch {
	case s.draining:
		return http.StatusServiceUnavailable
	case s.connRate > 0 && s.tokens < 1 && s.fault != "no rate of connections":
		s.refusedRate.Add(1)
		return http.StatusTooManyRequests
	case s.perAddress > 0 && s.addresses[host] >= s.perAddress && s.fault != "no limit by address":
		s.refusedAddress.Add(1)
		return http.StatusTooManyRequests
	case len(s.clients) >= s.maxConns && s.fault != "no limit of connections":
		s.refusedTotal.Add(1)
		if s.fault == "who was refused gives back a place" {
			s.maxConns++
		}
		return http.StatusServiceUnavailable
	}
	s.tokens--
	return 0
}

func (s *standin) serve(w http.ResponseWriter, r *http.Request) {
	host, _, _ := net.SplitHostPort(r.RemoteAddr)
	if status := s.admit(host); status != 0 {
		http.Error(w, "refused", status)
		return
	}
	room, isRoom := strings.CutPrefix(r.URL.Path, "/room/")
	if !isRoom && r.URL.Path != "/echo" && s.fault != "any path echoes" || isRoom && room == "" {
		http.NotFound(w, r)
		return
	}
	sender := r.URL.Query().Get("sender")
	if strings.Contains(sender, "/") && s.fault != "any name of a sender" {
		http.Error(w, "sender", http.StatusBadRequest)
		return
	}
	since, ok := s.since(r, room)
	if !ok {
		http.Error(w, "since", http.StatusBadRequest)
		return
	}
	if s.origins != "" && r.Header.Get("Origin") != s.origins && s.fault != "any origin" {
		http.Error(w, "origin", http.StatusForbidden)
		return
	}
	if !isRoom {
		room = ""
	}
	up := websocket.Upgrader{ReadBufferSize: 1024, WriteBufferSize: 1024, CheckOrigin: func(*http.Request) bool { return true }}
	g := &guest{room: room, sender: sender, since: since, wake: make(chan struct{}, 1), gone: make(chan struct{})}
	if s.fault == "one room for all" && isRoom {
		g.room = "all"
	}
	s.enter(g, host) // before the 101: a member from then on
	defer s.leave(g, host)
	conn, err := up.Upgrade(w, r, nil)
	if err != nil {
		return
	}
	g.conn = conn
	defer g.end()
	s.accepted.Add(1)
	if s.fault != "messages of any length" {
		conn.SetReadLimit(int64(s.maxMessage))
	}
	g.hear()
	go g.write(s)
	g.read(s)
}

func (s *standin) enter(g *guest, host string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.clients[g] = struct{}{}
	s.addresses[host]++
	if s.fault == "waits for the log's reader" && s.logLevel == "debug" {
		fmt.Fprintln(os.Stderr, "a client from", host)
	}
	if g.room != "" && s.books[g.room] == nil { // of a kept room it is a member when it has caught up
		s.seat(g)
	}
}

func (s *standin) leave(g *guest, host string) {
	if s.fault == "a gap ends with its room" {
		s.dropFlows(g.room)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fault != "counts nobody out" {
		delete(s.clients, g)
		s.addresses[host]--
	}
	if delete(s.rooms[g.room], g); len(s.rooms[g.room]) == 0 {
		delete(s.rooms, g.room)
	}
	if s.fault == "who leaves takes another along" {
		for other := range s.rooms[g.room] {
			delete(s.rooms[g.room], other)
			break
		}
	}
}

// speakOn writes the next message behind a close frame, which the library would
// refuse.
func (g *guest) speakOn() {
	for {
		select {
		case <-g.gone:
			return
		case <-g.wake:
		}
		if it, ok := g.take(); ok && len(it.payload) < 126 {
			g.conn.NetConn().Write(append([]byte{0x81, byte(len(it.payload))}, it.payload...))
			return
		}
	}
}

func (g *guest) end() {
	g.once.Do(func() {
		close(g.gone)
		g.conn.Close()
	})
}

func (g *guest) hear() { g.heard.Store(time.Now().UnixNano()) }

func (g *guest) read(s *standin) {
	tokens, refilled := float64(s.burst), time.Now()
	pong := g.conn.PongHandler()
	g.conn.SetPongHandler(func(p string) error { g.hear(); return pong(p) })
	for {
		kind, p, err := g.conn.ReadMessage()
		if err != nil {
			return
		}
		g.hear()
		s.messages.Add(1)
		s.bytesIn.Add(int64(len(p)))
		if s.publishRate > 0 {
			now := time.Now()
			tokens = min(float64(s.burst), tokens+s.publishRate*now.Sub(refilled).Seconds())
			refilled = now
			if tokens < 1 && s.fault != "no publish rate" {
				s.limited.Add(1)
				continue
			}
			tokens--
		}
		if g.room == "" {
			g.put(s, item{kind, p}, false)
			continue
		}
		if s.fault == "text becomes binary" {
			kind = websocket.BinaryMessage
		}
		if g.sender != "" {
			if !s.number(g, item{kind, p}) {
				g.put(s, item{websocket.CloseMessage, websocket.FormatCloseMessage(1008, "number your messages")}, true)
				time.AfterFunc(s.closeTimeout, g.end)
			}
			continue
		}
		if s.fault == "a goroutine for each message" {
			go s.publish(g, item{kind, p})
			continue
		}
		s.publish(g, item{kind, p})
	}
}

func (s *standin) publish(from *guest, it item) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if b := s.books[from.room]; b != nil && !(s.fault == "numbered senders are not kept" && from.conn == nil) {
		it = s.keep(b, it)
	}
	for g := range s.rooms[from.room] {
		if g == from && s.fault == "the sender does not hear itself" {
			continue
		}
		g.put(s, it, false)
		if s.fault == "some get it twice" && len(it.payload)%2 == 0 {
			g.put(s, it, false)
		}
	}
}

// put queues one message by the policy; last says that it is the last one.
func (g *guest) put(s *standin, it item, last bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.bytes+len(it.payload)+14 > s.queueBytes && (!last || s.fault == "the last word finds no room") && s.fault != "no bound on queues" {
		count := s.fault != "drops are not counted"
		switch {
		case s.fault == "always drops the oldest" && len(g.queue) > 0:
			g.queue = g.queue[1:]
			g.bytes -= len(it.payload) + 14
			s.newest.Add(1)
		case s.slow == "drop-newest" || s.fault == "always drops the newest":
			if count {
				s.newest.Add(1)
			}
			return
		case s.slow == "disconnect" && s.fault != "never disconnects":
			if count {
				n := len(g.queue) + 1
				if s.fault == "counts one for a queue" {
					n = min(1, n/3) // and nothing when only the last word waits
				}
				s.disconnected.Add(int64(n))
			}
			g.queue, g.bytes = []item{{websocket.CloseMessage, websocket.FormatCloseMessage(1008, "too slow")}}, 0
			time.AfterFunc(s.closeTimeout, g.end)
			g.bytes = s.queueBytes
			return
		}
		for g.bytes+len(it.payload)+14 > s.queueBytes && len(g.queue) > 0 && s.slow == "drop-oldest" {
			g.bytes -= len(g.queue[0].payload) + 14
			g.queue = g.queue[1:]
			if count {
				s.oldest.Add(1)
			}
		}
	}
	g.queue = append(g.queue, it)
	g.bytes += len(it.payload) + 14
	select {
	case g.wake <- struct{}{}:
	default:
	}
}

func (g *guest) take() (it item, ok bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(g.queue) == 0 {
		return item{}, false
	}
	it, g.queue = g.queue[0], g.queue[1:]
	g.bytes -= len(it.payload) + 14
	return it, true
}

func (g *guest) write(s *standin) {
	defer g.end()
	beat := time.NewTicker(min(s.heartbeat, s.zombie) / 4)
	defer beat.Stop()
	pinged := time.Now()
	if s.books[g.room] != nil && !g.catchUp(s) {
		return
	}
	for {
		for {
			it, ok := g.take()
			if !ok {
				break
			}
			if s.fault == "a slow client stalls the room" {
				s.mu.Lock()
			}
			err := g.conn.WriteMessage(it.kind, it.payload)
			if s.fault == "a slow client stalls the room" {
				s.mu.Unlock()
			}
			if err != nil {
				return
			}
			if it.kind == websocket.CloseMessage {
				if s.fault == "speaks behind its last word" {
					g.speakOn()
				}
				select {
				case <-g.gone:
				case <-time.After(s.closeTimeout):
				}
				return
			}
			s.deliveries.Add(1)
			if s.fault != "counts no bytes of an echo" || g.room != "" {
				s.bytesOut.Add(int64(len(it.payload)))
			}
		}
		select {
		case <-g.wake:
		case <-g.gone:
			return
		case <-beat.C:
			silence := time.Since(time.Unix(0, g.heard.Load()))
			if silence > s.zombie && s.fault != "zombies stay" {
				return
			}
			if silence >= s.heartbeat && time.Since(pinged) >= s.heartbeat && s.fault != "no heartbeat" {
				pinged = time.Now()
				g.conn.WriteControl(websocket.PingMessage, nil, time.Now().Add(time.Second))
			}
			if s.fault == "everybody is a zombie" && silence >= s.heartbeat {
				return
			}
		}
	}
}

func (s *standin) adminHandler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("/healthz", func(w http.ResponseWriter, _ *http.Request) {
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.draining {
			http.Error(w, "draining", http.StatusServiceUnavailable)
		}
	})
	mux.HandleFunc("/api/stats", func(w http.ResponseWriter, _ *http.Request) {
		s.mu.Lock()
		conns, rooms := len(s.clients), len(s.rooms)
		s.mu.Unlock()
		messages := s.messages.Load()
		if s.fault == "counts no messages" {
			messages = 0
		}
		json.NewEncoder(w).Encode(map[string]any{
			"connections": conns, "rooms": rooms, "accepted": s.accepted.Load(), "messages": messages, "deliveries": s.deliveries.Load(),
			"bytes_in": s.bytesIn.Load(), "bytes_out": s.bytesOut.Load(),
			"refused":  map[string]any{"total": s.refusedTotal.Load(), "rate": s.refusedRate.Load(), "address": s.refusedAddress.Load()},
			"drops":    map[string]any{"oldest": s.oldest.Load(), "newest": s.newest.Load(), "disconnected": s.disconnected.Load(), "publish_rate": s.limited.Load(), "unordered": s.unordered.Load()},
			"numbered": map[string]any{"repeated": s.repeated.Load(), "lost": s.lost.Load()},
		})
	})
	mux.HandleFunc("/metrics", func(w http.ResponseWriter, _ *http.Request) {
		s.mu.Lock()
		conns := len(s.clients)
		s.mu.Unlock()
		if s.fault == "no metrics" {
			http.NotFound(w, nil)
			return
		}
		fmt.Fprintf(w, "asynclab_connections{loop=\"0\"} %d\nasynclab_messages_total %d\nasynclab_deliveries_total %d\n", conns, s.messages.Load(), s.deliveries.Load())
	})
	mux.HandleFunc("/debug/pprof/", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "heap") })
	mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintln(w, "<!doctype html><title>dashboard</title>")
	})
	return mux
}
