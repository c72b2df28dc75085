package capstonetest

import (
	"flag"
	"os"
	"testing"

	"github.com/asynclab/asynclab/harness/load"
	"github.com/asynclab/asynclab/harness/spec"
)

func TestMain(m *testing.M) {
	load.BecomeSwarm()
	becomeStandin()
	flag.Parse()
	flag.Set("test.parallel", "8")
	os.Exit(m.Run())
}

// standinWith is the stand-in as a program.
func standinWith(fault string) Program {
	return Program{Command: []string{os.Args[0]}, Env: []string{standinEnv + "=" + fault}}
}

func TestSuiteIsComplete(t *testing.T) { suite.Complete(t) }

func TestAcceptsAnotherStyle(t *testing.T) { suite.Accepts(t, standinWith("")) }

func TestMutants(t *testing.T) {
	var all []spec.Mutant[Program]
	for _, m := range mutants {
		m.New = standinWith(m.Name)
		all = append(all, m)
	}
	suite.Refuses(t, all)
}

// mutants are stand-ins with the fault that is their name.
var mutants = []spec.Mutant[Program]{
	{Name: "takes any setting", Rule: "RefusesWrongSettings", Says: `the server runs`},
	{Name: "any path echoes", Rule: "EchoesMessages", Says: `404`},
	{Name: "text becomes binary", Rule: "EverybodyInTheRoomHears", Says: `the text "hello"`},
	{Name: "one room for all", Rule: "EverybodyInTheRoomHears", Says: `nothing of the other room`},
	{Name: "the sender does not hear itself", Rule: "EverybodyInTheRoomHears", Says: `a itself`},
	{Name: "who leaves takes another along", Rule: "EverybodyInTheRoomHears", Says: `after others have left`},
	{Name: "some get it twice", Rule: "OrderAcrossLoops", Says: `doubled|once`},
	{Name: "a goroutine for each message", Rule: "OrderAcrossLoops", Article: true, Says: `order`,
		Why: "Several goroutines take messages from one channel, and each walks over all clients: two messages of one sender overtake each other on the way. One owner for each connection, and one way from each sender to it, keeps the order."},
	{Name: "a slow client stalls the room", Rule: "SlowClientsStallNobody", Article: true, Says: `the others of a room|take a message`,
		Why: "The writer holds a lock that the whole room needs while it waits for one client's socket. Nothing that waits for a client may hold what others need."},
	{Name: "no bound on queues", Rule: "SlowClientsStallNobody", Says: `dropped, and counted`},
	{Name: "drops are not counted", Rule: "DropsTheOldest", Says: `dropped, and counted`},
	{Name: "always drops the newest", Rule: "DropsTheOldest", Says: `dropped, and counted|newest`},
	{Name: "counts one for a queue", Rule: "DisconnectsTheSlow", Says: `dropped, and counted`},
	{Name: "never disconnects", Rule: "DisconnectsTheSlow", Says: `dropped, and counted`},
	{Name: "no handshake timeout", Rule: "HandshakesEnd", Says: `still there`},
	{Name: "no heartbeat", Rule: "PingsAndRemovesZombies", Says: `ping`},
	{Name: "zombies stay", Rule: "PingsAndRemovesZombies", Article: true, Says: `removed`,
		Why: "The goroutine that removes the silent sends them to a channel that only it empties: with more of them than the channel holds it waits for itself, for ever, and so does everybody who comes or goes. Who finds a silent client ends it there and then, on the loop that owns it."},
	{Name: "everybody is a zombie", Rule: "PingsAndRemovesZombies", Article: true, Says: `ping|served on|take a message|removed`,
		Why: "The time of a client's last ping is zero until its first pong, so who has just come counts as silent for decades and is removed at the next tick. Silence counts from the opening, and any bytes end it."},
	{Name: "ignores the environment", Rule: "LimitsConnections", Says: `second client`},
	{Name: "no limit of connections", Rule: "LimitsConnections", Says: `503`},
	{Name: "no limit by address", Rule: "LimitsConnections", Says: `429 for the third`},
	{Name: "who was refused gives back a place", Rule: "LimitsConnections", Says: `503 for the fourth`},
	{Name: "no rate of connections", Rule: "LimitsConnections", Says: `1,000 s`},
	{Name: "counts nobody out", Rule: "RubbishHurtsNobody", Says: `to be left`},
	{Name: "any origin", Rule: "ChecksOrigins", Says: `403`},
	{Name: "no publish rate", Rule: "LimitsPublishing", Says: `dropped and counted`},
	{Name: "messages of any length", Rule: "RefusesLongMessages", Article: true, Says: `1009`,
		Why: "Nothing bounds what one message may hold, so one that never ends is kept as it grows. The length is compared with a limit when it is announced, and the answer is 1009."},
	{Name: "numbers change nothing", Rule: "NumbersKeepOrder", Says: `1 one`},
	{Name: "numbers count for each connection", Rule: "NumbersKeepOrder", Says: `1 one|2 two`},
	{Name: "repeated numbers are heard again", Rule: "NumbersKeepOrder", Says: `3 three`},
	{Name: "one gap holds up all senders", Rule: "NumbersKeepOrder", Says: `1 hi`},
	{Name: "speaks behind its last word", Rule: "GapsEnd", Says: `nothing behind`},
	{Name: "only the first gap ends", Rule: "GapsEnd", Says: `5 five`},
	{Name: "a gap ends with its room", Rule: "NumbersKeepOrder", Says: `2 two`},
	{Name: "a gap waits for ever", Rule: "GapsEnd", Article: true, Says: `2 two`,
		Why: "Its channel for ordered messages waits for a number that was lost, and keeps all that follow. A gap has an end, and a window has a bound."},
	{Name: "lost numbers are not counted", Rule: "GapsEnd", Says: `counted as lost`},
	{Name: "a number of any size waits", Rule: "GapsEnd", Says: `3 three|dropped and counted`},
	{Name: "numbers are not asked for", Rule: "GapsEnd", Says: `1008 for a sender with a name whose message has no number`},
	{Name: "any name of a sender", Rule: "GapsEnd", Says: `400`},
	{Name: "what waits is lost at the end", Rule: "DrainSaysGoingAway", Says: `2 two`},
	{Name: "dies at SIGTERM", Rule: "DrainSaysGoingAway", Article: true, Says: `1001`,
		Why: "Nothing ends the server but the end of its process, and every client sees a connection that broke. A drain says 1001, sends what is queued, and has a deadline."},
	{Name: "goes away with 1000", Rule: "DrainSaysGoingAway", Says: `1001`},
	{Name: "drops what is queued at the end", Rule: "DrainSaysGoingAway", Says: `before the end|1001 behind`},
	{Name: "drains for ever", Rule: "DrainForces", Says: `end although`},
	{Name: "counts no bytes of an echo", Rule: "CountsWhatHappens", Says: `bytes in, and out`},
	{Name: "counts no messages", Rule: "CountsWhatHappens", Says: `10 messages`},
	{Name: "no metrics", Rule: "CountsWhatHappens", Says: `/metrics`},
	{Name: "the last word finds no room", Rule: "DrainSaysGoingAway", Says: `1001 for a slow client`},
	{Name: "always drops the oldest", Rule: "DropsTheNewest", Says: `hole|dropped, and counted`},
	{Name: "waits for the log's reader", Rule: "LogReaderStallsNobody", Says: `nobody reads the log|a WebSocket to /echo`},
	{Name: "since means nothing", Rule: "KeepsHistory", Says: `in place of`},
	{Name: "any since will do", Rule: "KeepsHistory", Says: `400`},
	{Name: "history begins one late", Rule: "KeepsHistory", Says: `in place of`},
	{Name: "no numbers in a kept room", Rule: "KeepsHistory", Says: `who publishes to receive "1 one"`},
	{Name: "all history is text", Rule: "KeepsHistory", Says: `text from binary`},
	{Name: "numbered senders are not kept", Rule: "KeepsHistory", Says: `5 1 hello`},
	{Name: "a member before its history", Rule: "HistoryHasNoGap", Says: `each number once, in order|once, between history`},
	{Name: "a gap at the seam", Rule: "HistoryHasNoGap", Says: `each number once, in order`},
	{Name: "heard before it is written", Rule: "HistorySurvives", Says: `number \d+`},
	{Name: "history is forgotten", Rule: "HistorySurvives", Says: `number \d+|between history`},
	{Name: "numbers begin again", Rule: "HistorySurvives", Says: `each number once, in order`},
	{Name: "history through the queue", Rule: "HistoryWaitsForItsReader", Says: `each number once, in order`},
	{Name: "the room waits for a reader of history", Rule: "HistoryWaitsForItsReader", Says: `who publishes to receive|take a message`},
}
