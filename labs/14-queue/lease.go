package queue

import "errors"

// A lease is a record that was delivered and is not done.
//
//	          Receive               Nack, or Visibility is over
//	new ----------------> held -----------------------------------+
//	                       ^ |                                    v
//	                       | +--- Ack ---> done       attempts left? --no--> buried ---> done
//	                       |                                    | yes
//	                       +------- Backoff is over --- waiting <+
//
// Its type goes here (steps 8 and 9).

// Ack says that these records are done. It returns nil when that is on the disk:
// they are never delivered again, after no crash. Several at once, and several
// Acks at the same time, cost one fsync together.
//
// It returns ErrStale when one of them is somebody else's by now, or never was
// delivered, which does not keep it from the others; nil for one that was done
// before. After another error
// a record may come again after the next Open.
func (g *Group) Ack(ds ...Delivery) error {
	return errors.New("not implemented: step 8, groups")
}

// Nack says that this attempt has failed: the record comes again after Backoff,
// or becomes a dead letter before Nack returns. It returns nil when that is on the
// disk: the attempt counts after a crash, too. It returns ErrStale when it was
// somebody else's or done already.
func (g *Group) Nack(d Delivery) error {
	return errors.New("not implemented: step 9, attempts")
}
