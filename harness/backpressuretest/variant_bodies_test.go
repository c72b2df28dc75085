package backpressuretest

import "slices"

// variantBodies is a variant for pointers, as far as the rules use it: one slice
// in the order of arrival; with DropLowest, Normal pushes out the newest Low.
type variantBodies struct {
	fault fault
	room  int

	queue []vbody
	kept  []vbody // for faults
}

type vbody struct {
	body *Body
	p    int
}

func (v *variantBodies) TrySend(p int, b *Body) error {
	if len(v.queue) == v.room {
		i := len(v.queue) - 1
		for i >= 0 && v.queue[i].p >= p {
			i--
		}
		if i < 0 {
			return errFull
		}
		v.take(i, "what is pushed out stays in its slot")
	}
	v.queue = append(v.queue, vbody{b, p})
	return nil
}

func (v *variantBodies) TryReceive() (*Body, bool) {
	if len(v.queue) == 0 {
		return nil, false
	}
	return v.take(0, "a slot is not cleared"), true
}

func (v *variantBodies) take(i int, keeps fault) *Body {
	b := v.queue[i]
	if v.fault == keeps {
		v.kept = append(v.kept, b)
	}
	v.queue = slices.Delete(v.queue, i, i+1)
	return b.body
}
