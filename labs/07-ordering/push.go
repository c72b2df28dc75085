package ordering

import (
	"errors"
	"time"
)

// Step 1 (in order) and step 2 (the window) go here: what becomes of a message
// that is pushed.

// Push takes the message v with number seq at time now, and delivers what can
// be delivered before it returns. When the error is not nil the message was not
// taken, was counted, and remains the caller's: [ErrOld], [ErrDuplicate],
// [ErrBeyond]. After Close it is [ErrClosed], which is not counted.
//
// Push takes constant time for itself and each message it delivers, and for a
// message in order it touches no memory but the Buffer.
func (b *Buffer[T]) Push(now time.Duration, seq uint32, v T) error {
	return errors.New("not implemented: step 1, in order")
}
