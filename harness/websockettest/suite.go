package websockettest

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/asynclab/asynclab/harness/load"
	"github.com/asynclab/asynclab/harness/spec"
)

// lab is a Lab with its concrete types forgotten; every rule starts from one.
type lab = Lab[Conn]

var suite = spec.Suite[lab]{
	Lab:   "15",
	Probe: probe,
	Rules: slices.Concat(requestRules, answerRules, headRules, maskRules, messageRules, controlRules,
		textRules, closeRules, sendRules, memoryRules, serverRules, endRules),
	Targets: targets,
}

// Test checks that a lab keeps the contract.
func Test[C Conn](t *testing.T, l Lab[C]) { suite.Test(t, widen(l)) }

// Benchmark measures the targets of the lab.
func Benchmark[C Conn](b *testing.B, l Lab[C]) {
	load.BecomeSwarm() // in the child process that makes the load
	suite.Benchmark(b, widen(l))
}

// widen forgets the concrete types, which only the compiler needs, so that
// rules are plain functions.
func widen[C Conn](l Lab[C]) lab {
	return lab{
		Prepare: l.Prepare,
		New: func(o *Options[Conn], t Transport) Conn {
			n := narrow[C](*o)
			return l.New(&n, t)
		},
		NewServer: func(o Options[Conn]) (Server, error) { return l.NewServer(narrow[C](o)) },
	}
}

// narrow makes callbacks that take the lab's own *Conn. One that is not set
// stays so.
func narrow[C Conn](o Options[Conn]) Options[C] {
	n := Options[C]{Protocols: o.Protocols, MaxMessage: o.MaxMessage, MaxHeader: o.MaxHeader,
		HandshakeTimeout: o.HandshakeTimeout, CloseTimeout: o.CloseTimeout}
	if fn := o.OnRequest; fn != nil {
		n.OnRequest = func(c C, target string, header http.Header) int { return fn(c, target, header) }
	}
	if fn := o.OnOpen; fn != nil {
		n.OnOpen = func(c C) { fn(c) }
	}
	if fn := o.OnMessage; fn != nil {
		n.OnMessage = func(c C, text bool, payload []byte) { fn(c, text, payload) }
	}
	if fn := o.OnClose; fn != nil {
		n.OnClose = func(c C, code int, reason string) { fn(c, code, reason) }
	}
	return n
}

// probe says that a lab has not been started: no answer to a handshake, and no
// server either.
func probe(l lab) error {
	server, err := l.NewServer(Options[Conn]{})
	if err == nil {
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		go server.Shutdown(ctx) // one that hangs is for a rule to find
		return nil
	}
	s := newSession(l, Options[Conn]{})
	s.feed(usual.bytes())
	if len(s.raw) == 0 && strings.HasPrefix(err.Error(), "not implemented") {
		return errors.New(err.Error())
	}
	return nil
}
