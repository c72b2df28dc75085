package backpressure

// item is one queued message.
type item[T any] struct {
	v     T
	size  int    // in bytes
	stamp uint64 // messages of all levels have different ones, older ones lower
}

// ring is a queue of one level. It grows by doubling and never holds more slots
// than twice the most it had to hold.
type ring[T any] struct {
	slots []item[T] // a power of two of them, or none
	head  int       // index of the oldest
	n     int
	bytes int
}

func (q *ring[T]) at(i int) *item[T] { return &q.slots[(q.head+i)&(len(q.slots)-1)] }

func (q *ring[T]) push(m item[T]) {
	if q.n == len(q.slots) {
		q.grow()
	}
	q.n++
	q.bytes += m.size
	*q.at(q.n - 1) = m
}

func (q *ring[T]) grow() {
	larger := make([]item[T], max(8, 2*len(q.slots)))
	for i := range q.n {
		larger[i] = *q.at(i)
	}
	q.slots, q.head = larger, 0
}

// popOldest needs n > 0.
func (q *ring[T]) popOldest() item[T] {
	m := q.clear(q.at(0))
	q.head = (q.head + 1) & (len(q.slots) - 1)
	return m
}

// popNewest needs n > 0.
func (q *ring[T]) popNewest() item[T] { return q.clear(q.at(q.n - 1)) }

// clear empties a slot, so that the garbage collector gets what it refers to.
func (q *ring[T]) clear(slot *item[T]) item[T] {
	m := *slot
	*slot = item[T]{}
	q.n--
	q.bytes -= m.size
	return m
}
