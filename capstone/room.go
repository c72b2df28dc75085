package capstone

import (
	"sync"
	"sync/atomic"
	"time"

	pooling "github.com/asynclab/asynclab/solutions/10-pooling"
)

//lint:file-ignore U1000 what nobody uses yet is for you to use

// room is the clients that hear each other. Its members are kept by loop, and
// each loop looks after its own: a message crosses from loop to loop once, not
// once for each member.
type room struct {
	name    string         // immutable
	members [][]*client    // by loop; each slice belongs to its loop's goroutine
	here    []atomic.Int32 // by loop: how many members; so that nobody posts to a loop without any
	book    *book          // immutable; nil for a room that is not kept
	total   int            // guarded by rooms.mu
}

// rooms finds rooms by their names. A room exists while it has members.
type rooms struct {
	loops  int // immutable
	mu     sync.Mutex
	byName map[string]*room // guarded by mu
}

func (rs *rooms) init(loops int) { rs.loops, rs.byName = loops, map[string]*room{} }

// join makes c a member. It runs on c's loop, as leave does.
func (rs *rooms) join(c *client, name string) {
	// step 3
}

// seat has c hear what is delivered from now on.
func (r *room) seat(c *client) {
	// step 3
}

func (rs *rooms) enter(name string) *room {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	r := rs.byName[name]
	if r == nil {
		r = &room{name: name, members: make([][]*client, rs.loops), here: make([]atomic.Int32, rs.loops)}
		rs.byName[name] = r
	}
	r.total++
	return r
}

// unseat fills c's seat with the last member: no search, no order to keep.
func (r *room) unseat(c *client) {
	// step 3
}

// leave ends c's membership. A kept room stays.
func (rs *rooms) leave(c *client) {
	// step 3
}

// current is the room that has r's name now, or r where none has: a room ends with
// its last member, and the next one who comes begins another. Any goroutine.
func (rs *rooms) current(r *room) *room {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	if now := rs.byName[r.name]; now != nil {
		return now
	}
	return r
}

func (rs *rooms) len() int {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	return len(rs.byName)
}

// delivery is a message for the members of a room on one loop. Whoever has it
// owns its frame once: the one who posts it to several loops takes an ownership
// more for each, and the loop that has delivered it lets go.
type delivery struct {
	room    *room
	frame   *pooling.Buffer // encoded once, shared by all members, never changed
	arrived time.Time       // from its sender
}

// delivery makes a message into what all members of a room get: one encoding, in
// memory of lab 10's pool. The caller owns its frame.
func (s *Server) delivery(r *room, text bool, payload []byte) delivery {
	return delivery{} // step 3
}

// publish gives a message to every member, the sender among them, at the end of
// this turn.
//
// A sender's messages keep their order for each receiver: they are read by one
// loop, posted to each loop in that order, and written there in it. In a kept
// room they go through the log, which keeps their order, too.
func (r *room) publish(from *client, text bool, payload []byte) {
	// step 3
}

// maxBurst bounds the bytes that are written to one member at a time.
const maxBurst = 64 << 10

// deliver writes messages to the members on sh's loop, and lets go of their
// frames. It runs on that loop.
//
// The frames are put behind each other once, and all members get the same bytes
// with one write each, straight from there: what a broadcast to a hundred
// thousand costs is a hundred thousand write(2), and little else.
func (r *room) deliver(sh *shard, batch []delivery) {
	// step 3
}

// roomName reports whether a name is 1 to 64 letters, digits, dots, dashes and
// underscores.
func roomName(s string) bool {
	if s == "" || len(s) > 64 {
		return false
	}
	for i := range len(s) {
		b := s[i]
		if !(b|0x20 >= 'a' && b|0x20 <= 'z' || b >= '0' && b <= '9' || b == '.' || b == '_' || b == '-') {
			return false
		}
	}
	return true
}
