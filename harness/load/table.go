package load

import "encoding/binary"

// tableBytes is about how much different data the swarm sends.
const tableBytes = 1 << 20

// table holds the messages of all connections, one behind the other: as they go
// out, and as they must come back, which is the same but for a WebSocket, where
// they go out masked. A connection's stream begins at a message of its own and
// goes round the table for ever, so that each byte that comes back can be
// compared with the one it must be, and nothing has to be made or kept to do so.
// Messages differ: two that change places show.
type table struct {
	out, back stream
	count     int // messages
}

// stream is messages of one size, one behind the other, for ever.
type stream struct {
	bytes  []byte // one round, and once more, so that no slice of it wraps
	period int    // bytes of one round
	size   int    // of a message
}

func newTable(c Config) *table {
	t := &table{count: max(tableBytes/c.size(), 1)}
	var out, back []byte
	payload := make([]byte, c.Payload)
	for i := range t.count {
		Pattern(1, int64(i)*int64(c.Payload), payload)
		switch c.Wire {
		case Framed:
			out = append(binary.BigEndian.AppendUint32(out, uint32(c.Payload)), payload...)
		case WebSocket:
			out = appendMasked(out, payload, maskOf(i))
			back = append(appendFrameHead(back, false, c.Payload), payload...)
		default:
			out = append(out, payload...)
		}
	}
	t.out = newStream(out, c.size())
	t.back = t.out
	if back != nil {
		t.back = newStream(back, c.sizeBack())
	}
	return t
}

func newStream(round []byte, size int) stream {
	return stream{bytes: append(round, round...), period: len(round), size: size}
}

// first is the message that connection number id's stream begins with.
func (t *table) first(id int) int { return id * 7919 % t.count }

// at returns n bytes of the stream that begins at message first, from offset off
// on. n is at most one period.
func (s *stream) at(first int, off int64, n int) []byte {
	i := int((int64(first*s.size) + off) % int64(s.period))
	return s.bytes[i : i+n]
}

// mayBeBack is how many bytes can have come back when so many have gone out: a
// WebSocket frame comes back when it is whole.
func (t *table) mayBeBack(sent int64) int64 {
	if t.out.size == t.back.size {
		return sent
	}
	return sent / int64(t.out.size) * int64(t.back.size)
}
