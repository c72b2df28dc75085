// Package course is the one table of the course: its labs, in order. The
// command line, the documents and the tests read it; nothing else lists labs.
//
// It holds metadata only and imports no lab, so that a lab that does not
// compile breaks that lab alone.
package course

import (
	"fmt"
	"strings"
)

// Module is the import path of this repository.
const Module = "github.com/asynclab/asynclab"

// A Lab is one row of the table.
type Lab struct {
	ID     string   // "03"; "capstone" for the last piece
	Name   string   // the package's name: "eventloop"
	Title  string   // what the lab is called in running text
	Builds string   // what the student has at its end
	From   string   // the working titles of the article it repairs
	Needs  []string // IDs of the labs to do first
	Points int      // of all rules and targets; held against the suite by its own test
	Hours  string   // an honest estimate, reading included
	Built  bool     // false: listed, but not there yet
}

// Labs is the course, in the order to take it. Do not modify.
var Labs = []Lab{
	{ID: "01", Name: "blocking", Title: "A goroutine per connection", Hours: "2 to 3", Points: 100, Built: true,
		Builds: "an echo server with deadlines, admission and graceful shutdown", From: "the traditional model"},
	{ID: "02", Name: "epoll", Title: "One epoll loop", Hours: "4 to 6", Points: 100, Built: true, Needs: []string{"01"},
		Builds: "a level-triggered loop over raw sockets, no goroutine per connection", From: "EventLoop"},
	{ID: "03", Name: "eventloop", Title: "The reusable loop", Hours: "8 to 12", Points: 100, Built: true, Needs: []string{"02"},
		Builds: "the edge-triggered loop every later lab stands on", From: "EventLoop, parseMessages, Send, handleWrite, handleClose"},
	{ID: "04", Name: "reactor", Title: "Many loops", Hours: "8 to 10", Points: 100, Built: true, Needs: []string{"03"},
		Builds: "main and sub reactors, ownership, a timing wheel, EMFILE, drain", From: "Reactor"},
	{ID: "05", Name: "backpressure", Title: "A channel that pushes back", Hours: "6 to 8", Points: 100, Built: true, Needs: []string{"01"},
		Builds: "a bounded priority channel with watermarks and credit", From: "Channel"},
	{ID: "06", Name: "ratelimit", Title: "Rates and limits", Hours: "8 to 10", Points: 100, Built: true, Needs: []string{"01"},
		Builds: "a token bucket, an adaptive limiter, 429 middleware", From: "RateLimiter, AutoAdjust"},
	{ID: "07", Name: "ordering", Title: "Putting messages in order", Hours: "5 to 7", Points: 100, Built: true, Needs: []string{"01"},
		Builds: "a reorder buffer with gaps, duplicates and retransmission", From: "OrderedChannel"},
	{ID: "08", Name: "partition", Title: "Order by key", Hours: "5 to 7", Points: 100, Built: true, Needs: []string{"07"},
		Builds: "per-key order over a fixed number of shards", From: "PartitionedChannel"},
	{ID: "09", Name: "zerocopy", Title: "Copying less", Hours: "10 to 14", Points: 100, Built: true, Needs: []string{"03"},
		Builds: "an HTTP file server and a TCP proxy, sent in five ways", From: "sendFile, mmap"},
	{ID: "10", Name: "pooling", Title: "Buffers that come back", Hours: "5 to 7", Points: 100, Built: true, Needs: []string{"03"},
		Builds: "size-classed and reference-counted buffers", From: "bufferPool, preallocation"},
	{ID: "11", Name: "batching", Title: "Fewer, larger writes", Hours: "5 to 7", Points: 100, Built: true, Needs: []string{"03"},
		Builds: "a batch writer by size, delay and idleness", From: "BatchWriter"},
	{ID: "12", Name: "workerpool", Title: "Work beside the loop", Hours: "5 to 7", Points: 100, Built: true, Needs: []string{"03"},
		Builds: "a bounded pool with futures, callbacks and order by key", From: "WorkerPool"},
	{ID: "13", Name: "retry", Title: "Trying again, safely", Hours: "16 to 22", Points: 100, Built: true, Needs: []string{"03"},
		Builds: "deadlines, backoff, budgets, hedging, a breaker, resume", From: "timeouts, reconnects, callbacks, retry"},
	{ID: "14", Name: "queue", Title: "A durable log", Hours: "14 to 20", Points: 100, Built: true, Needs: []string{"05", "09"},
		Builds: "segments, CRC, group commit, recovery, redelivery", From: "message queue"},
	{ID: "15", Name: "websocket", Title: "RFC 6455 by hand", Hours: "10 to 14", Points: 100, Built: true, Needs: []string{"03"},
		Builds: "handshake, incremental parser, fragmentation, close", From: "WebSocketServer"},
	{ID: "capstone", Name: "capstone", Title: "100,000 connections", Hours: "12 to 20", Points: 100, Built: true, Needs: []string{"04", "05", "06", "08", "10", "11", "12", "14", "15"},
		Builds: "the broadcast server out of all of the above", From: "WebSocketServer"},
	{ID: "16", Name: "proactor", Title: "Completions (extra)", Needs: []string{"03"},
		Builds: "the loop again, on io_uring", From: "Proactor"},
}

// Dir is the lab's folder below labs and solutions: "03-eventloop".
func (l Lab) Dir() string {
	if l.ID == l.Name {
		return l.Name
	}
	return l.ID + "-" + l.Name
}

// Path is the lab's folder below the repository's root. side is "labs" or
// "solutions"; the student's capstone stands at the top level.
func (l Lab) Path(side string) string {
	if l.ID == l.Name && side == "labs" {
		return l.Name
	}
	return side + "/" + l.Dir()
}

// Judge is the folder of the package that judges the lab: "harness/eventlooptest".
func (l Lab) Judge() string { return "harness/" + l.Name + "test" }

// Find returns the lab that word names: "03", "3", "eventloop" or
// "03-eventloop". Its error lists what there is.
func Find(word string) (Lab, error) {
	w := strings.TrimSuffix(strings.ToLower(strings.TrimSpace(word)), "/")
	w = w[strings.LastIndex(w, "/")+1:] // "labs/03-eventloop" works too
	for _, l := range Labs {
		if w == l.ID || "0"+w == l.ID || w == l.Name || w == l.Dir() {
			return l, nil
		}
	}
	return Lab{}, fmt.Errorf("no lab %q: the labs are %s", word, names())
}

// Refusal says why a lab that is not built yet cannot be worked on, and what to
// do instead. It is empty for a lab that is built.
func (l Lab) Refusal() string {
	if l.Built {
		return ""
	}
	var ready []string
	for _, o := range Labs {
		if o.Built {
			ready = append(ready, o.Dir())
		}
	}
	return fmt.Sprintf("lab %s (%s) is planned but not built yet: ready are %s", l.Dir(), l.Title, strings.Join(ready, ", "))
}

func names() string {
	var all []string
	for _, l := range Labs {
		all = append(all, l.Dir())
	}
	return strings.Join(all, ", ")
}
