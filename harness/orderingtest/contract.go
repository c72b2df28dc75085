// Package orderingtest judges lab 07: a buffer that puts numbered messages back
// in order.
//
// contract.go says what a buffer must do, the files of rules what is checked,
// targets.go what is measured, mutants_test.go which wrong buffers must be
// refused. stream.go lets a rule tell a story in a line or two; ledger.go keeps
// the books of a long random run.
package orderingtest

import "time"

// Message is what the judge sends.
type Message struct {
	Seq  uint32 // its number
	Copy int    // the judge numbers what it pushes, so that two copies differ
	Body *Body  // nil in most rules
}

// Body is what a message points to, to see whether it is let go of.
type Body [64]byte

// Options is the configuration of a buffer. The lab declares the same struct
// for any type of message; its test file converts one into the other, so a
// difference is a compile error.
//
// The callbacks run inside Push, Advance, Resume and Close, one at a time. They
// may call any method of their Buffer: what they push is taken or refused at
// once, and what follows from it is done when the callback has returned. They
// do not panic.
type Options struct {
	// Deliver is called with each message in the order of the numbers. It
	// owns m when it returns true. False says that there is no room: m stays
	// in the buffer, and nothing is offered until Resume. Required.
	Deliver func(seq uint32, m Message) bool

	// Lost is called when the numbers first to first+n-1 are given up: after
	// the Deliver of the number before them, before that of the one behind
	// them. What is given up together may come in several calls. nil means
	// that nobody wants to know.
	Lost func(first uint32, n int)

	// Request is called by Advance to have the sender repeat the numbers
	// first to first+n-1, all of which are missing. nil means that nobody
	// can be asked.
	Request func(first uint32, n int)

	// First is the number that the stream begins with. After 4294967295
	// comes 0: a number less than 2^31 ahead of the next one is new, every
	// other one is old (RFC 1982).
	First uint32

	// Window bounds how far a message can be ahead: numbers from the next one
	// on, so it bounds the messages that wait, too. 0 means 1024. New refuses
	// a negative value and more than 1<<20.
	Window int

	// GapTimeout is how long a missing number is waited for, from the first
	// message behind it that was taken. 0 means for ever. New refuses a
	// negative value and more than 24 hours.
	GapTimeout time.Duration

	// RetryAfter is how long a number is missing before it is asked for. Each
	// further wait is twice as long, up to 64 times RetryAfter, and counts
	// from the Advance that has asked. A number whose GapTimeout has passed is
	// not asked for. 0 means that nothing is asked for. New refuses a negative
	// value and more than 24 hours.
	RetryAfter time.Duration

	// Slide says what becomes of a number beyond the window. False: Push
	// refuses it. True: the window moves up until that number is its last.
	// What falls out of it is delivered, or given up before its time. Where
	// Deliver has no room for that, or in a callback, Push refuses all the
	// same. However far the number is ahead, it takes no more steps than the
	// window has numbers, and one.
	Slide bool
}

// Stats is what a buffer has done and holds. At every instant, in callbacks
// too, Received = Delivered + Pending + Old + Duplicates + Refused, and
// Delivered + Lost is how far Next has come from First.
type Stats struct {
	Pending    int    // messages taken and not delivered, the one being offered among them
	Received   uint64 // messages that Push has decided on, but for those after Close
	Delivered  uint64 // messages that Deliver has taken
	Old        uint64 // not taken: the number was delivered or given up before
	Duplicates uint64 // not taken: a message with this number waits
	Refused    uint64 // not taken: beyond the window
	Lost       uint64 // numbers given up
	Requested  uint64 // numbers asked for, each time anew
}

// Buffer is what lab 07 builds: a state machine without a goroutine, a timer or
// a lock. It belongs to one goroutine at a time.
//
// A time is told as the time since an instant of the caller's choice. One that
// is earlier than one told before counts as that one.
type Buffer interface {
	// Push takes the message m with number seq at time now, and delivers what
	// can be delivered before it returns. When the error is not nil m was not
	// taken, and was counted: the lab's ErrOld (delivered or given up before),
	// ErrDuplicate (one with this number waits), ErrBeyond (outside the
	// window). After Close it is ErrClosed, which is not counted.
	Push(now time.Duration, seq uint32, m Message) error

	// Advance says that it is now. It gives up what was waited for long
	// enough, and asks for what has been missing for long enough. Nothing
	// happens before its time, and everything by the first Advance after it,
	// but for one thing: what has expired behind a message that Deliver has no
	// room for is given up when delivery comes to it. In a callback Advance
	// only tells the time.
	Advance(now time.Duration)

	// Deadline is the time when Advance has something to do, and ok is false
	// when there is none: nothing is missing, or only Resume can help. It is
	// never late. It may be early, when what it stood for has come after all:
	// then Advance does nothing but find the next one, which is later.
	Deadline() (at time.Duration, ok bool)

	// Resume says that the consumer has room again, at time now: what Deliver
	// has refused is offered again, and then what follows it, until Deliver
	// refuses or nothing is left that can be delivered. It does no harm when
	// nothing waits.
	Resume(now time.Duration)

	// Next is the number that comes next: everything before it was delivered
	// or given up.
	Next() uint32

	// Close ends the stream: Push takes nothing any more, and what is missing
	// is given up. What waits is delivered in order; what Deliver has no room
	// for stays until Resume, also after Close. A second Close does nothing
	// more.
	Close()
}
