// Package backpressuretest judges lab 05: a bounded channel that pushes back, and
// credit-based flow control.
//
// contract.go says what both must do, the files of rules what is checked,
// targets.go what is measured, mutants_test.go which wrong ones must be refused.
// scene.go lets a rule tell its story in a line or two.
package backpressuretest

import "context"

// Message is what the judge sends.
type Message struct {
	ID    int
	Bytes int // its size, where sizes matter
}

// Body is what some messages are instead: a pointer to one shows whether a
// channel lets go of what has left it.
type Body [64]byte

// Priorities, as the lab numbers them.
const (
	Low = iota - 1
	Normal
	High
)

// Policies, as the lab numbers them.
const (
	Block = iota
	Reject
	DropLowest
	DropOldest
)

// Signals, as the lab numbers them.
const (
	SlowDown = iota
	Resume
)

// Options is the configuration of a channel. The lab declares the same struct
// for any type of message, with its own types of policy and signal; its test
// file converts one into the other, so a difference is a compile error.
//
// The callbacks run without any lock held. OnSignal and OnDrop may call every
// method of their channel.
type Options[Policy, Signal ~int] struct {
	// Capacity bounds the messages that are queued. 0 means 1024. New refuses
	// a negative value.
	Capacity int

	// MaxBytes bounds the sum of the sizes of all that are queued. 0 means no
	// bound. New refuses a negative value, and a bound without Size.
	MaxBytes int

	// Size is the size of a message in bytes. It is called once for each
	// Send. A negative result counts as 0. nil means that sizes do not matter.
	Size func(m Message) int

	// Policy says what becomes of a message for which there is no room.
	//
	// Block: Send waits, TrySend refuses. Reject: both refuse. DropLowest:
	// queued messages of a lower priority than the new one go, those of the
	// lowest priority first, and of one priority the newest first.
	// DropOldest: the oldest queued messages go, among those whose priority
	// is not higher than the new one's. Where the last two cannot make enough
	// room nothing is dropped, and the new message is refused.
	Policy Policy

	// OnSignal gets SlowDown when 90% of a bound are used, and Resume when it
	// is 50% of both or less again: by turns, one call at a time.
	OnSignal func(s Signal)

	// OnDrop gets each message that was queued and will not be received,
	// before the Send or Discard that dropped it returns.
	OnDrop func(m Message)
}

// Stats is what a channel has done and holds. At every instant
// Sent = Received + Queued + Shed + Rejected + Canceled + Evicted + Discarded.
type Stats struct {
	Queued    int // messages accepted and neither received nor dropped
	Bytes     int // the sum of their sizes
	Senders   int // Sends that wait for room; they are not in Sent yet
	Receivers int // Receives that wait for a message

	Sent      uint64 // messages decided on, but for those after Close
	Received  uint64 // a receiver has got it
	Shed      uint64 // refused: ErrShed
	Rejected  uint64 // refused: ErrFull and ErrTooLarge
	Canceled  uint64 // refused: ctx has ended while Send waited
	Evicted   uint64 // dropped from the queue to make room for others
	Discarded uint64 // dropped from the queue by Discard

	SlowDowns uint64 // signals raised
	Resumes   uint64 // signals raised
}

// Channel is the first half of lab 05: a bounded queue of messages of three
// priorities. All methods may be called from any goroutine. It has no goroutine
// of its own.
type Channel[Priority ~int] interface {
	// Send hands m to the channel. With Block it waits for room until ctx
	// ends or the channel is closed. Who makes room lets waiting senders in:
	// those of a higher priority first, of one priority in the order of their
	// calls; nobody passes one who waits with the same or a higher priority.
	//
	// When the error is not nil m was not accepted: the lab's ErrFull,
	// ErrTooLarge (larger than MaxBytes), ErrShed (Low, while 95% of a bound
	// are used or more), ErrClosed, or ctx's error. ctx counts only while
	// Send waits. A message that waits is not shed.
	Send(ctx context.Context, p Priority, m Message) error

	// TrySend is Send without the wait: ErrFull takes its place.
	TrySend(p Priority, m Message) error

	// Receive takes the oldest message of the highest priority that is
	// queued. It waits while there is none; receivers are served in the order
	// of their calls. The error is ErrClosed when the channel is closed and
	// empty, or ctx's. ctx counts only while Receive waits.
	Receive(ctx context.Context) (Message, error)

	// TryReceive is Receive without the wait.
	TryReceive() (m Message, ok bool)

	// ReceiveBatch waits like Receive, then takes as many as are queued, at
	// most len(dst). With an empty dst it returns 0 and nil.
	ReceiveBatch(ctx context.Context, dst []Message) (int, error)

	// Peek shows the message that is next, and leaves it.
	Peek() (m Message, ok bool)

	// Len is the number of messages that are queued.
	Len() int

	// Slow reports whether SlowDown was raised, and Resume was not yet.
	Slow() bool

	// Discard drops every message that is queued, lets waiting senders in as
	// far as there is room then, and returns how many it has dropped. It
	// gives the queue's memory back.
	Discard() int

	// Close ends the sending: Sends that wait or come later return ErrClosed.
	// What is queued can still be received.
	Close()
}

// Credit is what a sender may still send.
type Credit interface {
	// Acquire takes n, and waits while there is less. Calls that wait are
	// served in their order, whatever they want. When the error is not nil
	// nothing was taken: ErrClosed, ctx's error, or n is not in 1 to 1<<31-1.
	Acquire(ctx context.Context, n int) error

	// TryAcquire is Acquire without the wait. It does not pass one who waits.
	TryAcquire(n int) bool

	// Grant adds n and serves those who wait. When the error is not nil
	// nothing was added: ErrOverflow (the sum is above 1<<31-1), or n < 1.
	Grant(n int) error

	// Available is what is left.
	Available() int

	// Close ends all Acquires, now and later, with ErrClosed. A Grant that
	// comes later does nothing.
	Close()
}

// Window is what a receiver has granted. What was granted, what is queued and
// what was consumed but not granted again are together its limit, always.
type Window interface {
	// Arrive notes that n have arrived. ErrOverrun: they were not granted,
	// and nothing is noted.
	Arrive(n int) error

	// Consume notes that n were consumed, and returns what is to be granted
	// to the sender: 0 until it is half of the limit, rounded up, or more;
	// then all of it. ErrOverrun: less is queued, and nothing is noted.
	Consume(n int) (grant int, err error)

	Queued() int  // has arrived, and was not consumed
	Granted() int // may still arrive
}

// Bodies is a channel of pointers.
type Bodies[Priority ~int] interface {
	TrySend(p Priority, b *Body) error
	TryReceive() (b *Body, ok bool)
}
