package capstonetest

import (
	"time"

	"github.com/asynclab/asynclab/harness/spec"
)

var rules = []spec.Rule[Program]{
	{
		Name: "RefusesWrongSettings", Group: "start", Points: 2, Section: "Step 1: a server that starts",
		Why:   "A server that starts with a setting it does not understand runs for months with another one than its owner believes. An error at the start, which names the setting, costs a minute.",
		Hints: [3]string{"What does your server do with -slow sometimes?", "Config.check refuses, and main prints the error and exits with a status that is not 0. Variables are read before the flags.", "if err := c.check(); err != nil { return err }: each case names the flag and says what would be right."},
		Check: refusesWrongSettings,
	},
	{
		Name: "EchoesMessages", Group: "rooms", Points: 4, Section: "Step 2: one client",
		Why:   "Echo is what the figures are measured with. And a path that means nothing is refused before the upgrade, or a typo in a client looks like an empty room.",
		Hints: [3]string{"What is sent back for a text message?", "The same kind and the same bytes; 404 in OnRequest for any path but /echo and /room/NAME.", "In onMessage: ws.Send(text, payload). In onRequest: return http.StatusNotFound."},
		Check: echoesMessages,
	},
	{
		Name: "EverybodyInTheRoomHears", Group: "rooms", Points: 5, Section: "Step 3: a room on one loop",
		Why:   "This is what the server is for. Each member hears each message of its room once, in the sender's order, itself included, and nothing of another room.",
		Hints: [3]string{"Who hears a message that the sender's own connection carries?", "All members, the sender too. Members are kept by room; whoever leaves is taken out.", "for _, c := range r.members { c.queue(frame) } on the loop that they belong to."},
		Check: everybodyHears,
	},
	{
		Name: "OrderAcrossLoops", Group: "rooms", Points: 5, Section: "Step 4: a room on all loops",
		Why:   "A room has members on every loop. A message crosses to each of them once, and the ways of two messages of one sender must not part: what is handed to a goroutine of its own arrives in any order.",
		Hints: [3]string{"Which goroutine writes to a member of another loop?", "That loop's. Messages are posted there in the order in which they were read.", "shard.post(other, delivery): a list for each other loop, posted once at the end of the turn; the other loop delivers the list from its beginning."},
		Check: orderAcrossLoops,
	},
	{
		Name: "SlowClientsStallNobody", Group: "slow", Points: 5, Section: "Step 5: slow clients",
		Why:   "One client on a bad line must not hold up a room of thousands: what does not fit into its queue is its own loss, by a stated policy, and counted.",
		Hints: [3]string{"What happens to the room while one member's socket is full?", "Nothing: the message goes into that member's outbox, and what does not fit is dropped.", "c.queue never waits: on ErrQueueFull it goes into the outbox; onDrain empties it."},
		Check: slowClientsStallNobody,
	},
	{
		Name: "DropsTheOldest", Group: "slow", Points: 4, Section: "Step 5: slow clients",
		Why:   "For a client that shows the state of something, the newest message is what counts: -slow drop-oldest. What it missed is counted.",
		Hints: [3]string{"Which message goes when the queue is full?", "The first of the outbox. What the connection has taken already cannot be taken back.", "for bytes+len(frame) > limit { pop the first; drops.oldest++ }; append frame."},
		Check: dropsTheOldest,
	},
	{
		Name: "DropsTheNewest", Group: "slow", Points: 3, Section: "Step 5: slow clients",
		Why:   "For a client that needs what it has without holes: -slow drop-newest keeps what waits, and the new message is dropped, and counted.",
		Hints: [3]string{"What stays in the queue?", "Everything that was there; the new one is not appended.", "case DropNewest: drops.newest++; return errDropped."},
		Check: dropsTheNewest,
	},
	{
		Name: "DisconnectsTheSlow", Group: "slow", Points: 3, Section: "Step 5: slow clients",
		Why:   "For a client that must not miss anything: -slow disconnect closes it with 1008, and it can come back and ask for what it missed. One that does not even read that is ended after close-timeout.",
		Hints: [3]string{"How does a close frame get past a full queue?", "What waits is thrown away first; the close frame takes its place.", "out.clear(); c.close(1008, ...): it starts the clock of close-timeout, too."},
		Check: disconnectsTheSlow,
	},
	{
		Name: "PingsAndRemovesZombies", Group: "clients", Points: 4, Section: "Step 6: heartbeats",
		Why:   "A client whose line is cut sends nothing, not even an end. Only silence tells: a ping after -heartbeat of it, the end after -zombie.",
		Hints: [3]string{"When was something heard of each client?", "Any bytes count as a sign of life. A timeout on the wheel looks at the silence and pings, or ends.", "beat(): silence := now - heard; if silence >= zombie { Abort }; Ping; SetTimeout(heartbeat)."},
		Check: pingsAndRemovesZombies,
	},
	{
		Name: "HandshakesEnd", Group: "clients", Points: 3, Section: "Step 2: one client",
		Why:   "Slowloris: a thousand connections that each send a byte now and then cost the attacker nothing. A request has -handshake-timeout to be whole.",
		Hints: [3]string{"What ends a connection that never sends its request?", "SetTimeout when it opens; onOpen sets another one.", "case arriving: c.conn.Abort(errHandshake)."},
		Check: handshakesEnd,
	},
	{
		Name: "LimitsConnections", Group: "admission", Points: 4, Section: "Step 7: who may come in",
		Why:   "A server that takes everybody serves nobody: connections are limited in all (503), by address and by rate (429). A place that was left is free again.",
		Hints: [3]string{"What is counted, and when is it given back?", "At accept; given back at the end, unless it was refused.", "gate.enter returns the status, onRequest answers it; gate.leave in OnClose."},
		Check: limitsConnections,
	},
	{
		Name: "ChecksOrigins", Group: "admission", Points: 2, Section: "Step 7: who may come in",
		Why:   "A browser lets any page connect anywhere, with the user's cookies. With -origins, other pages get 403.",
		Hints: [3]string{"Who is allowed to open a WebSocket from a browser?", "Pages of the origins that are listed; without a list, all.", "if len(origins) > 0 && !slices.Contains(origins, header.Get(\"Origin\")) { return 403 }."},
		Check: checksOrigins,
	},
	{
		Name: "LimitsPublishing", Group: "admission", Points: 3, Section: "Step 7: who may come in",
		Why:   "One client that sends as fast as it can multiplies by the size of its room. Above -publish-rate its messages are dropped, and counted.",
		Hints: [3]string{"How many messages may come at once?", "publish-burst at once, then publish-rate a second: a token bucket for each client.", "if !c.rate.Take(limit, time.Since(began), 1) { drops.publish_rate++; return }."},
		Check: limitsPublishing,
	},
	{
		Name: "NumbersKeepOrder", Group: "numbers", Points: 3, Section: "Step 8: senders that number their messages",
		Why:   "A client that loses its connection does not know which of its last messages have arrived. With numbers it sends them again, on another connection, on another loop, and the room hears each once and in order.",
		Hints: [3]string{"Where do the messages of one sender meet, when its connections are on different loops?", "On one goroutine outside of the loops, chosen by room and sender: lab 08. What comes too early waits there: lab 07.", "streams.TrySend(room+\"/\"+sender, message) on the loop; in Handle: order.Push(now, seq, message); Deliver collects, and what it has collected is posted to every loop that has members."},
		Check: numbersKeepOrder,
	},
	{
		Name: "GapsEnd", Group: "numbers", Points: 2, Section: "Step 8: senders that number their messages",
		Why:   "A number that never comes must not hold up its sender for ever, nor fill the memory with what waits behind it: after -gap-timeout it counts as lost, and what is too far ahead is refused.",
		Hints: [3]string{"Who looks at the clock when nothing more comes?", "A timer for the buffer's Deadline sends an alarm through the partition, to the goroutine that owns the buffer.", "time.AfterFunc(at-now, func() { streams.TrySend(key, numbered{alarm: true}) }); Handle then calls order.Advance(now). At the end, OnEvict calls order.Close, and posts."},
		Check: gapsEnd,
	},
	{
		Name: "RefusesLongMessages", Group: "clients", Points: 2, Section: "Step 2: one client",
		Why:   "A message above -max-message ends its connection with 1009, before it is kept.",
		Hints: [3]string{"Where is max-message checked?", "In the WebSocket: Options.MaxMessage.", "websocket.Options{MaxMessage: c.MaxMessage}."},
		Check: refusesLongMessages,
	},
	{
		Name: "RubbishHurtsNobody", Group: "clients", Points: 3, Section: "Step 9: the worst day",
		Why:   "Resets, garbage, half requests and clients that vanish are every day's traffic. The room goes on without a gap, and every descriptor comes back.",
		Hints: [3]string{"What is left of a client after each way to end?", "Everything goes through OnClose: the room, the gate, the shard's list.", "onGone: remove from the shard, leave the room, clear the outbox, leave the gate, ws.End."},
		Check: rubbishHurtsNobody,
	},
	{
		Name: "DrainSaysGoingAway", Group: "end", Points: 4, Section: "Step 10: the end",
		Why:   "A deploy ends the server every day. Each client hears 1001 behind all that was meant for it, new ones get 503, and the process ends with status 0.",
		Hints: [3]string{"What does a client see at SIGTERM?", "A close frame with 1001, behind what is queued. Wait until all have gone, then shut down the reactor.", "farewell on each loop: c.close(1001); when the last client of a loop has gone, close its channel; Shutdown waits for all of them."},
		Check: drainSaysGoingAway,
	},
	{
		Name: "DrainForces", Group: "end", Points: 3, Section: "Step 10: the end",
		Why:   "A client that never answers must not keep the server from ending: -drain bounds it.",
		Hints: [3]string{"What if somebody does not answer the close frame?", "The context of Shutdown ends, and the reactor closes by force.", "select { case <-sh.empty: case <-ctx.Done(): }; return s.reactor.Shutdown(ctx)."},
		Check: drainForces,
	},
	{
		Name: "CountsWhatHappens", Group: "admin", Points: 4, Section: "Step 11: what can be seen",
		Why:   "What cannot be seen cannot be run: connections, messages, deliveries and drops are the first questions of every bad night. /metrics for the machine, /api/stats and the dashboard for people, /healthz for the load balancer.",
		Hints: [3]string{"Which figure is wrong: one of now, or a total?", "Counters are added up over all loops; the connections of now go down again.", "snapshot(): for each shard, Load every counter; Connections from the reactor."},
		Check: countsWhatHappens,
	},
	{
		Name: "LogReaderStallsNobody", Group: "admin", Points: 1, Section: "Step 11: what can be seen",
		Why:   "Standard error is a pipe to somebody: a terminal that was paused, a log shipper that hangs. A loop that writes a line there stops with it, and a thousand connections with the loop.",
		Hints: [3]string{"Which goroutine makes the write(2) of a log line?", "None that serves clients: lines are gathered, another goroutine writes them, and what finds no room is lost and counted (lab 11).", "The log's handler writes to a Journal: lines.TryWrite(p, nil), and ErrFull only counts. At the end Close gets a second, no more."},
		Check: logReaderStallsNobody,
	},
	{
		Name: "KeepsHistory", Group: "history", Points: 4, Section: "Step 12: rooms that are kept",
		Why:   "A client that was away wants what it has missed. In a kept room every message has a number, and who comes with the last one it has seen gets all that followed.",
		Hints: [3]string{"What does a client of a kept room receive, in which order?", "All after since, each as its number, a space and the message; then \"=N\", N being the last number; then what is new.", "onOpen starts the catch-up: read records of the log after since on a worker (lab 12), come back to the loop, queue them; at the end queue \"=N\" and take the client into the room."},
		Check: keepsHistory,
	},
	{
		Name: "HistoryHasNoGap", Group: "history", Points: 4, Section: "Step 12: rooms that are kept",
		Why:      "Between the end of the history and the first new message is a seam. Who joins the room too late misses what came between; who joins too early hears it twice.",
		Hints:    [3]string{"Which number did this loop deliver last, at the moment when the client joins?", "On its loop nothing is delivered while you look. Send the history up to that number and no further, then join: all that is above it will be posted to this loop.", "if end < delivered[loop] { read on from end+1 } else { send up to delivered[loop]; join; queue \"=N\" }: for that, what is kept is posted to every loop, also those without members."},
		Deadline: 3 * time.Minute,
		Check:    historyHasNoGap,
	},
	{
		Name: "HistorySurvives", Group: "history", Points: 5, Section: "Step 12: rooms that are kept",
		Why:      "What anybody has heard is on disk, whatever happens to the process: otherwise a client asks for what comes after a number that the server never heard of, and misses what gets that number next.",
		Hints:    [3]string{"When is a message delivered: before or after it is on disk?", "After: lab 14 acknowledges when it is, and in the order of the numbers. The loop does not wait for it.", "log.Append(record, func(offset, err) { post the delivery to all loops }): the number is the offset + 1."},
		Deadline: 3 * time.Minute,
		Check:    historySurvives,
	},
	{
		Name: "HistoryWaitsForItsReader", Group: "history", Points: 2, Section: "Step 12: rooms that are kept",
		Why:      "Eight megabytes of history do not fit into a queue of 256 KiB, and a policy that drops would drop what the client has asked for. It gets the next piece when it has taken the last one, and the room waits for nothing.",
		Hints:    [3]string{"How much of the history is in memory for one client?", "One piece: read the next when the outbox is empty again.", "after a piece: if c.out == nil, read the next one; else drain does, when it has emptied the outbox."},
		Deadline: 3 * time.Minute,
		Check:    historyWaits,
	},
}
