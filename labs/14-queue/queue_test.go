package queue

import (
	"context"
	"io"
	"testing"

	judge "github.com/asynclab/asynclab/harness/queuetest"
)

func Test(t *testing.T)      { judge.Test(t, mine) }
func Benchmark(b *testing.B) { judge.Benchmark(b, mine) }

var mine = judge.Subject[*Log, *Group]{Full: ErrFull, TooLarge: ErrTooLarge, Closed: ErrClosed, Failed: ErrFailed, Range: ErrRange, Stale: ErrStale,
	Open:       func(dir string, o judge.Options) (*Log, error) { return Open(dir, Options(o)) },
	Read:       func(l *Log, at int64, most int) ([]judge.Record, error) { return judge.Records(l.Read(at, most)) },
	ReadBatch:  func(r io.Reader) ([]judge.Record, error) { return judge.Records(ReadBatch(r)) },
	Group:      func(l *Log, name string, o judge.GroupOptions) (*Group, error) { return l.Group(name, GroupOptions(o)) },
	Receive:    func(g *Group, ctx context.Context) (judge.Delivery, error) { return judge.Delivered(g.Receive(ctx)) },
	Ack:        func(g *Group, ds ...judge.Delivery) error { return g.Ack(judge.Deliveries[Delivery](ds)...) },
	Nack:       func(g *Group, d judge.Delivery) error { return g.Nack(Delivery(d)) },
	Stats:      func(l *Log) judge.Stats { return judge.Stats(l.Stats()) },
	GroupStats: func(g *Group) judge.GroupStats { return judge.GroupStats(g.Stats()) }, Dead: (*Group).Dead, Damage: judge.DamageOf[CorruptError]}
