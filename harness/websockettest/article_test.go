package websockettest

import "github.com/asynclab/asynclab/harness/spec"

// The article's server has two halves that never meet: an event loop that calls
// a handler with the bytes of a connection, and clients of a WebSocket library.
// Nothing turns a request into a WebSocket. A client of it gets no answer, or,
// once the loop's own faults are mended, the handler's.

// articleConn is a connection of the loop's: what comes is a message, and the
// answer to a message is "OK".
type articleConn struct {
	*vconn
	answers bool
}

func (a articleConn) Data(data []byte) int {
	if a.answers {
		a.t.Write([]byte("OK"))
	}
	return len(data)
}

func article(answers bool) lab {
	l := variantWith("")
	l.New = func(o *Options[Conn], t Transport) Conn { return articleConn{newVconn(o, t, ""), answers} }
	return l
}

var articleMutants = []spec.Mutant[lab]{
	{Name: "nothing upgrades a connection", Rule: "RequestMayComeInPieces", Says: `OnRequest once, when the request is whole.*the connection did: nothing`, Article: true, New: article(false),
		Why: "The reactor and the WebSocket library are two designs that never meet: no code reads the request, so the handshake of every client times out. Something must own the bytes until they are a WebSocket: the state machine's first state."},
	{Name: "the answer to a request is OK", Rule: "AcceptProvesTheKey", Says: `101`, Article: true, New: article(true),
		Why: "With the loop's replies mended the client gets two letters where it expects a status line, and calls the answer malformed. The first answer is HTTP, with the proof that the request was understood."},
}
