// Package peer is what all peers share: where they listen, how they end, and
// what a path means. They speak the capstone's wire: /echo, and /room/NAME.
package peer

import (
	"flag"
	"fmt"
	"net"
	"os"
	"os/signal"
	"strings"
	"sync"
	"syscall"
)

var addr = flag.String("addr", "127.0.0.1:0", "address to listen on")

// Addr is the address that was asked for.
func Addr() string {
	flag.Parse()
	return *addr
}

// Listen opens it.
func Listen() net.Listener {
	l, err := net.Listen("tcp", Addr())
	Check(err)
	return l
}

// Ready tells the runner where the server listens, and waits for SIGTERM.
func Ready(at string) {
	fmt.Println("listening on", at)
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGTERM, os.Interrupt)
	<-stop
	os.Exit(0)
}

// Check ends the program with an error.
func Check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// Room is the room that a path names, "" for echo.
func Room(path string) string {
	name, _ := strings.CutPrefix(path, "/room/")
	if name == path {
		return ""
	}
	return name
}

// Rooms keeps members by room, for servers whose members are C.
type Rooms[C comparable] struct {
	mu    sync.RWMutex
	rooms map[string]map[C]struct{}
}

// Join makes c a member.
func (r *Rooms[C]) Join(room string, c C) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.rooms == nil {
		r.rooms = map[string]map[C]struct{}{}
	}
	if r.rooms[room] == nil {
		r.rooms[room] = map[C]struct{}{}
	}
	r.rooms[room][c] = struct{}{}
}

// Leave undoes that.
func (r *Rooms[C]) Leave(room string, c C) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.rooms[room], c)
}

// Each calls fn for each member.
func (r *Rooms[C]) Each(room string, fn func(C)) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	for c := range r.rooms[room] {
		fn(c)
	}
}
