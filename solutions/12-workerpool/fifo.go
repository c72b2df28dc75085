package workerpool

// fifo is a queue that grows by doubling, and keeps its memory.
type fifo struct {
	slots []*Future // a power of two of them, or none
	head  int
	n     int
}

func (q *fifo) push(f *Future) {
	if q.n == len(q.slots) {
		larger := make([]*Future, max(16, 2*len(q.slots)))
		for i := range q.n {
			larger[i] = q.slots[(q.head+i)&(len(q.slots)-1)]
		}
		q.slots, q.head = larger, 0
	}
	q.slots[(q.head+q.n)&(len(q.slots)-1)] = f
	q.n++
}

// pop needs n > 0.
func (q *fifo) pop() *Future {
	f := q.slots[q.head]
	q.slots[q.head] = nil // the garbage collector's now
	q.head = (q.head + 1) & (len(q.slots) - 1)
	q.n--
	return f
}
