package capstone

import (
	"errors"
	"net/http"

	reactor "github.com/asynclab/asynclab/solutions/04-reactor"
	ratelimit "github.com/asynclab/asynclab/solutions/06-ratelimit"
	websocket "github.com/asynclab/asynclab/solutions/15-websocket"
)

//lint:file-ignore U1000 what nobody uses yet is for you to use

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
	// step 2
}

func onData(rc *reactor.Conn, data []byte) (consumed int) {
	return len(data) // step 2
}

func (s *Server) onGone(rc *reactor.Conn, err error) {
	// step 2
}

func onDrain(rc *reactor.Conn) { rc.Value().(*client).drain() }

// onTimeout acts on whichever clock runs: the handshake's, the heart's, or the
// farewell's.
func onTimeout(rc *reactor.Conn) {
	// step 2
}

// beat pings a silent client, and removes one that has been silent for too long.
func (c *client) beat() {
	// step 6
}

// The WebSocket's callbacks.

// onRequest decides by the path what the connection is for.
func onRequest(ws *websocket.Conn, target string, header http.Header) (status int) {
	return http.StatusNotImplemented // step 2
}

func onOpen(ws *websocket.Conn) {
	// step 2
}

func onMessage(ws *websocket.Conn, text bool, payload []byte) {
	// step 2
}

// mayPublish takes a token from the client's bucket, if there is a limit: eight
// bytes a client, and no lock.
func (c *client) mayPublish() bool {
	return true // step 7
}

func onClose(ws *websocket.Conn, code int, _ string) {
	// step 2
}

// close says a last word. The peer has close-timeout to answer.
func (c *client) close(code int, reason string) {
	// step 2
}

// leave starts the farewell's clock, once.
func (c *client) leave() {
	// step 2
}

// The methods of websocket.Transport: what the WebSocket writes goes through the
// outbox like everything else.

func (c *client) Write(p []byte) (int, error) { return len(p), c.queue(p) }

func (c *client) Close() error {
	return errors.New("not implemented: step 2")
}

func (c *client) Abort(err error) {
	// step 2
}
