package load

import "encoding/binary"

// tableBytes is about how much different data the swarm sends.
const tableBytes = 1 << 20

// table holds the messages of all connections, one behind the other. A
// connection's stream begins at a message of its own and goes round the table
// for ever, so that each byte that comes back can be compared with the one it
// must be, and nothing has to be made or kept to do so. Messages differ: two
// that change places show.
type table struct {
	bytes  []byte // the messages, and once more, so that no slice of them wraps
	period int    // bytes of one round
	size   int    // of a message
}

func newTable(c Config) *table {
	size := c.size()
	count := max(tableBytes/size, 1)
	t := &table{period: count * size, size: size}
	t.bytes = make([]byte, 2*t.period)
	Pattern(1, 0, t.bytes[:t.period])
	if c.Wire == Framed {
		for at := 0; at < t.period; at += size {
			binary.BigEndian.PutUint32(t.bytes[at:], uint32(c.Payload))
		}
	}
	copy(t.bytes[t.period:], t.bytes[:t.period])
	return t
}

// from returns where connection number id's stream begins.
func (t *table) from(id int) int { return id * 7919 % (t.period / t.size) * t.size }

// at returns n bytes of a stream that begins at start, from offset off on. n is
// at most one period.
func (t *table) at(start int, off int64, n int) []byte {
	i := int((int64(start) + off) % int64(t.period))
	return t.bytes[i : i+n]
}
