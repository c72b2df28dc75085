package reactortest

import "github.com/asynclab/asynclab/harness/spec"

// The article's reactor is a main loop that accepts and hands out, round robin,
// to worker loops with an epoll each: the variant's shape. So each of its faults
// is put into the variant by itself; together they would hide one another, for a
// server whose replies never leave cannot be seen to accept slowly.
var articleMutants = []spec.Mutant[Subject]{
	{Name: "replies go through the first loop's epoll", Rule: "RepliesLeaveFromTheirLoop", Says: `did not take at once.*timeout`,
		Why: "The handler answers through the main loop, whose epoll does not know the worker's descriptors, and the ENOENT of epoll_ctl is ignored: what waits for EPOLLOUT never leaves. A reply is sent by the loop that owns the connection."},
	{Name: "every reply is the first loop's business", Rule: "RepliesLeaveFromTheirLoop", Says: `a small reply`,
		Why: "The main loop looks the descriptor up among its own connections, finds none, and drops the reply, also a small one. Send belongs to the connection, which knows its loop."},
	{Name: "accept sleeps 10 ms", Rule: "AcceptNeverSleeps", Says: `round trips .* the acceptor sleeps`,
		Why: "After each EAGAIN the acceptor sleeps for 10 ms, so a client waits for 5 on average and for 10 behind another. poll(2) or epoll on the listener ends the moment a client comes."},
	{Name: "spins at EMFILE", Rule: "OutlivesEMFILE", Says: `it spins`,
		Why: "Every other error of accept is logged and tried again at once, and EMFILE stays until a descriptor is closed. Rest for a while, or send the client away with a descriptor kept in reserve."},
	{Name: "zero or fewer workers are accepted", Rule: "RefusesImpossibleOptions", Says: `Loops -1; it returned nil`,
		Why: "A reactor without workers starts, and divides by their number at its first connection. The constructor is the place to refuse it."},
	{Name: "Shutdown does nothing", Rule: "ShutdownIsRepeatable", Says: `to return|it still takes`,
		Why: "There is no end: workers, their epoll instances and the listener stay for ever. A reactor that can be started can be stopped, in every state it can be in."},
}
