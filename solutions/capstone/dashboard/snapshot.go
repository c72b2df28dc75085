package dashboard

// Snapshot is the state of the server at one moment. Counters are totals since
// it began; who wants rates, takes differences by TimeMS.
type Snapshot struct {
	TimeMS      int64   `json:"time_ms"` // Unix time
	Uptime      float64 `json:"uptime_s"`
	WebSocket   string  `json:"websocket"` // where clients connect: "ws://127.0.0.1:9090"
	Draining    bool    `json:"draining"`
	Connections int64   `json:"connections"` // now
	Accepted    int64   `json:"accepted"`
	Rooms       int64   `json:"rooms"`      // now
	Messages    int64   `json:"messages"`   // from clients
	Deliveries  int64   `json:"deliveries"` // to clients
	BytesIn     int64   `json:"bytes_in"`
	BytesOut    int64   `json:"bytes_out"`
	Refused     Refused `json:"refused"`
	Drops       Drops   `json:"drops"`
	Closed      Closed  `json:"closed"`
	Latency     Latency `json:"latency_us"` // of the last second
	Loops       []Loop  `json:"loops"`
	RSS         int64   `json:"rss_bytes"`
	Heap        int64   `json:"heap_bytes"`
	Goroutines  int64   `json:"goroutines"`
	CPU         float64 `json:"cpu_seconds"` // user and system
	Limits      Limits  `json:"limits"`
}

// Refused counts connections that were not let in, by the limit they met.
type Refused struct {
	Rate      int64 `json:"rate"`
	Total     int64 `json:"total"`
	Address   int64 `json:"address"`
	Handshake int64 `json:"handshake"` // no correct request, for whatever reason
}

// Drops counts messages that were not delivered, by the reason.
type Drops struct {
	Oldest       int64 `json:"oldest"`
	Newest       int64 `json:"newest"`
	Disconnected int64 `json:"disconnected"`
	PublishRate  int64 `json:"publish_rate"`
}

// Closed counts connections that have ended, by how.
type Closed struct {
	Normal   int64 `json:"normal"`
	Protocol int64 `json:"protocol"`
	Error    int64 `json:"error"`
	Zombie   int64 `json:"zombie"`
}

// Latency is from a message's arrival until it was handed on to all members of a
// loop, in microseconds.
type Latency struct {
	P50   int64 `json:"p50"`
	P90   int64 `json:"p90"`
	P99   int64 `json:"p99"`
	P999  int64 `json:"p999"`
	Max   int64 `json:"max"`
	Count int64 `json:"count"`
}

// Loop is one event loop.
type Loop struct {
	Connections int64 `json:"connections"`
	Messages    int64 `json:"messages"`
	Deliveries  int64 `json:"deliveries"`
	QueuedBytes int64 `json:"queued_bytes"`
	Lag         int64 `json:"lag_us"`
}

// Limits are what the server was told.
type Limits struct {
	Connections int64 `json:"connections"`
	QueueBytes  int64 `json:"queue_bytes"`
}
