package main

import (
	"flag"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"time"

	capstone "github.com/asynclab/asynclab/solutions/capstone"
)

// A setting is a flag and an environment variable for the same thing. The flag
// wins.
type setting struct {
	name, does string
	field      func(*settings) any // a pointer to what it sets
}

// settings is what the command can be told.
type settings struct {
	capstone.Config
	origins  string
	rooms    string
	slow     string
	drain    time.Duration
	logLevel string
	logJSON  bool
}

// table is every setting: the help, the flags, the variables and the page in
// docs are made of it.
var table = []setting{
	{"listen", "address of the WebSocket listener; port 0 takes a free one", func(s *settings) any { return &s.Listen }},
	{"admin", "address of the dashboard, /metrics, /healthz and /debug/pprof; empty for none. Keep it off the network", func(s *settings) any { return &s.Admin }},
	{"max-conns", "connections at a time; more are answered 503", func(s *settings) any { return &s.MaxConns }},
	{"conn-rate", "new connections a second; more are answered 429; 0 is no limit", func(s *settings) any { return &s.ConnRate }},
	{"conns-per-address", "connections at a time from one IP address; more are answered 429; 0 is no limit", func(s *settings) any { return &s.ConnsPerAddress }},
	{"max-message", "bytes of payload in a message; a longer one closes with 1009", func(s *settings) any { return &s.MaxMessage }},
	{"queue-bytes", "bytes that may wait for one client", func(s *settings) any { return &s.QueueBytes }},
	{"slow", "what happens to a client above that: drop-oldest, drop-newest or disconnect (1008)", func(s *settings) any { return &s.slow }},
	{"publish-rate", "messages a second from one client; more are dropped and counted; 0 is no limit", func(s *settings) any { return &s.PublishRate }},
	{"publish-burst", "messages at once above that rate", func(s *settings) any { return &s.PublishBurst }},
	{"gap-timeout", "how long a number may be missing among the messages of a sender with a name; then it is lost", func(s *settings) any { return &s.GapTimeout }},
	{"history", "folder where the messages of the kept rooms lie; empty for none", func(s *settings) any { return &s.History }},
	{"history-rooms", "rooms that are kept, separated by commas: their messages have numbers, and ?since=N gets all after N", func(s *settings) any { return &s.rooms }},
	{"history-bytes", "bytes of each kept room on the disk, about: the oldest go; 0 is no limit", func(s *settings) any { return &s.HistoryBytes }},
	{"heartbeat", "a ping after so much silence", func(s *settings) any { return &s.Heartbeat }},
	{"zombie", "a client is removed after so much silence", func(s *settings) any { return &s.Zombie }},
	{"handshake-timeout", "time until a request must be whole", func(s *settings) any { return &s.HandshakeTimeout }},
	{"close-timeout", "time from the server's last word to the end of a connection", func(s *settings) any { return &s.CloseTimeout }},
	{"origins", "allowed values of Origin, separated by commas; empty allows any", func(s *settings) any { return &s.origins }},
	{"loops", "event loops; 0 is one a core, or as many as the descriptor tables need", func(s *settings) any { return &s.Loops }},
	{"tables", "a descriptor table for each loop, to hold more connections than the limit of open files: auto, on or off", func(s *settings) any { return &s.Tables }},
	{"drain", "how long a shutdown may take before it uses force", func(s *settings) any { return &s.drain }},
	{"log-level", "debug, info, warn or error", func(s *settings) any { return &s.logLevel }},
	{"log-json", "log in JSON", func(s *settings) any { return &s.logJSON }},
}

// variable is the environment variable of a setting: ASYNC_MAX_CONNS.
func (k setting) variable() string {
	return "ASYNC_" + strings.ToUpper(strings.ReplaceAll(k.name, "-", "_"))
}

// parse reads the environment and then the arguments. flag.ErrHelp means that
// the help was asked for, and shown.
func parse(args []string, getenv func(string) string, out io.Writer) (settings, error) {
	s := settings{Config: capstone.DefaultConfig(), drain: 10 * time.Second, logLevel: "info"}
	s.slow = string(s.Slow)
	flags := flag.NewFlagSet("asyncserver", flag.ContinueOnError)
	flags.SetOutput(out)
	flags.Usage = func() { usage(out) }
	for _, k := range table {
		k.register(flags, &s)
		if v := getenv(k.variable()); v != "" {
			if err := flags.Set(k.name, v); err != nil {
				return s, fmt.Errorf("environment variable %s=%q: %w", k.variable(), v, err)
			}
		}
	}
	if err := flags.Parse(args); err != nil {
		return s, err
	}
	if flags.NArg() > 0 {
		return s, fmt.Errorf("unexpected argument %q: settings are flags (asyncserver -help)", flags.Arg(0))
	}
	s.Slow = capstone.SlowPolicy(s.slow)
	s.Origins, s.HistoryRooms = list(s.origins), list(s.rooms)
	return s, nil
}

// list takes apart what commas separate.
func list(text string) (all []string) {
	for one := range strings.SplitSeq(text, ",") {
		if one = strings.TrimSpace(one); one != "" {
			all = append(all, one)
		}
	}
	return all
}

func (k setting) register(f *flag.FlagSet, s *settings) {
	switch p := k.field(s).(type) {
	case *string:
		f.StringVar(p, k.name, *p, k.does)
	case *int:
		f.IntVar(p, k.name, *p, k.does)
	case *float64:
		f.Float64Var(p, k.name, *p, k.does)
	case *bool:
		f.BoolVar(p, k.name, *p, k.does)
	case *time.Duration:
		f.DurationVar(p, k.name, *p, k.does)
	}
}

// usage prints the table with the defaults.
func usage(out io.Writer) {
	fmt.Fprintln(out, "asyncserver is a WebSocket broadcast server: /room/NAME joins a room, /echo echoes.")
	fmt.Fprintln(out, "Each flag has an environment variable; the flag wins.")
	fmt.Fprintln(out)
	s, _ := parse(nil, func(string) string { return "" }, io.Discard)
	for _, k := range table {
		fmt.Fprintf(out, "  -%-18s %-26s %v\n        %s\n", k.name, k.variable(), k.value(&s), k.does)
	}
}

// value is what a setting is now, as it would be written.
func (k setting) value(s *settings) any {
	switch p := k.field(s).(type) {
	case *string:
		return fmt.Sprintf("%q", *p)
	case *int:
		return *p
	case *float64:
		return *p
	case *bool:
		return *p
	case *time.Duration:
		return *p
	}
	return nil
}

// logger is the log that the settings ask for, written to w.
func (s *settings) logger(w io.Writer) (*slog.Logger, error) {
	var level slog.Level
	if err := level.UnmarshalText([]byte(s.logLevel)); err != nil {
		return nil, fmt.Errorf("log-level is %q: give debug, info, warn or error", s.logLevel)
	}
	options := &slog.HandlerOptions{Level: level}
	if s.logJSON {
		return slog.New(slog.NewJSONHandler(w, options)), nil
	}
	return slog.New(slog.NewTextHandler(w, options)), nil
}
