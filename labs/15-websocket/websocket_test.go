package websocket

import (
	"testing"

	judge "github.com/asynclab/asynclab/harness/websockettest"
)

func newConn(o *judge.Options[*Conn], t judge.Transport) *Conn { return New((*Options)(o), t) }
func newServer(o judge.Options[*Conn]) (judge.Server, error)   { return NewServer(Options(o)) }

var lab = judge.Lab[*Conn]{New: newConn, NewServer: newServer, Prepare: Prepare}

func Test(t *testing.T)          { judge.Test(t, lab) }
func Benchmark(b *testing.B)     { judge.Benchmark(b, lab) }
func FuzzHandshake(f *testing.F) { judge.FuzzHandshake(f, lab) }
func FuzzFrames(f *testing.F)    { judge.FuzzFrames(f, lab) }
