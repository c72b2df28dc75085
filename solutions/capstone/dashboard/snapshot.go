package dashboard

// Snapshot is the state of the server at about one moment: its figures are read
// one after another, without a lock over all. Counters are totals since the
// process began and never go down; who wants rates takes differences by TimeMS. A
// smaller Uptime than before means another process. A Snapshot is immutable once
// it has been handed out, Loops included.
type Snapshot struct {
	TimeMS      int64    `json:"time_ms"`     // when it was taken: Unix time in milliseconds
	Uptime      float64  `json:"uptime_s"`    // seconds since the server began
	WebSocket   string   `json:"websocket"`   // where clients connect: "ws://127.0.0.1:9090"; "" before it listens
	Draining    bool     `json:"draining"`    // it lets nobody in and waits for the others to go
	Connections int64    `json:"connections"` // open now, those in their handshake included
	Accepted    int64    `json:"accepted"`    // handshakes that have succeeded
	Rooms       int64    `json:"rooms"`       // with at least one member now
	Messages    int64    `json:"messages"`    // from clients
	Deliveries  int64    `json:"deliveries"`  // to clients: a message to a room of 100 is 100
	BytesIn     int64    `json:"bytes_in"`    // from clients
	BytesOut    int64    `json:"bytes_out"`   // to clients
	Refused     Refused  `json:"refused"`     // connections that were not let in
	Drops       Drops    `json:"drops"`       // messages that were not delivered
	Numbered    Numbered `json:"numbered"`    // what became of numbered messages that the room did not hear
	Closed      Closed   `json:"closed"`      // connections that have ended
	Latency     Latency  `json:"latency_us"`  // of the last second
	Loops       []Loop   `json:"loops"`       // in the order of their numbers
	RSS         int64    `json:"rss_bytes"`   // memory of the process that is resident (proc(5): statm)
	Heap        int64    `json:"heap_bytes"`  // of which Go objects, dead ones not yet swept included (MemStats.HeapAlloc)
	Goroutines  int64    `json:"goroutines"`  // now
	CPU         float64  `json:"cpu_seconds"` // used by the process, in user and system mode (getrusage(2))
	Limits      Limits   `json:"limits"`      // what the server was told
}

// Refused counts connections that were not let in, by the limit they met.
type Refused struct {
	Rate      int64 `json:"rate"`      // too many new ones in a second
	Total     int64 `json:"total"`     // the server is full
	Address   int64 `json:"address"`   // too many from one address
	Handshake int64 `json:"handshake"` // no correct request, for whatever reason, or none in time
}

// Drops counts messages that were not delivered to a client, by the reason.
type Drops struct {
	Oldest       int64 `json:"oldest"`       // its queue was full: the oldest made room
	Newest       int64 `json:"newest"`       // its queue was full: the newest was not queued
	Disconnected int64 `json:"disconnected"` // they were queued when it was closed for being slow
	PublishRate  int64 `json:"publish_rate"` // the sender was above its rate, so nobody got it
	Unordered    int64 `json:"unordered"`    // its number was too far ahead, or too much waited for numbers that are missing
	History      int64 `json:"history"`      // its room is kept, and the disk is behind or does not take it, so nobody got it
}

// Numbered counts for senders that number their messages.
type Numbered struct {
	Repeated int64 `json:"repeated"` // messages that had come before: nothing is missing
	Lost     int64 `json:"lost"`     // numbers that did not come in time
}

// Closed counts connections that have ended, by how.
type Closed struct {
	Normal   int64 `json:"normal"`   // with a close frame, without complaint
	Protocol int64 `json:"protocol"` // it broke a rule of RFC 6455
	Error    int64 `json:"error"`    // without a close frame, or because it was too slow
	Zombie   int64 `json:"zombie"`   // it did not answer a ping
}

// Latency is from a message's arrival until it was handed on to all members of a
// loop, in microseconds. All are 0 where Count is.
type Latency struct {
	P50   int64 `json:"p50"`
	P90   int64 `json:"p90"`
	P99   int64 `json:"p99"`
	P999  int64 `json:"p999"`  // 99.9 of a hundred are not above it
	Max   int64 `json:"max"`   // exact to three digits, as the others are
	Count int64 `json:"count"` // how many were measured
}

// Loop is one event loop.
type Loop struct {
	Connections int64 `json:"connections"`  // that live on it now
	Messages    int64 `json:"messages"`     // from its clients
	Deliveries  int64 `json:"deliveries"`   // to its clients
	QueuedBytes int64 `json:"queued_bytes"` // waiting now for clients that read slowly
	Lag         int64 `json:"lag_us"`       // how long its newest tick had to wait for its turn, in microseconds
}

// Limits are what the server was told.
type Limits struct {
	Connections int64 `json:"connections"` // at a time
	QueueBytes  int64 `json:"queue_bytes"` // waiting for one client
}
