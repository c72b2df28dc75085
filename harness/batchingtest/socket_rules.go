package batchingtest

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"net"

	"github.com/asynclab/asynclab/harness/spec"
)

var socketRules = []spec.Rule[lab]{
	{
		Name: "StreamSurvivesASocket", Group: "order", Points: 3, Section: step2,
		Why: "All of it together, over TCP: a reader that is slow, buffers that are small, writes of all sizes from several goroutines.",
		Hints: [3]string{
			"Does it pass with a sink that takes all at once?",
			"If so, look at what happens when the socket takes a part.",
			"net.Buffers.WriteTo consumes the slice that it is called on: give it one of its own.",
		},
		Check: overSocket,
	},
	{
		Name: "ConnTellsTheTruth", Group: "order", Points: 2, Section: step2,
		Why: "What a sink says decides who is told that his message was written. And its pieces are lent: the writer drops what was taken from them, and goes on.",
		Hints: [3]string{
			"The peer has read 7 of 13 bytes and is gone. What does your sink return, and what do the pieces look like afterwards?",
			"7, and the error. net.Buffers changes the slice that it is called on, and the pieces in it.",
			"own := append(net.Buffers(nil), pieces...); n, err := own.WriteTo(c); return int(n), err",
		},
		Check: connTruth,
	},
}

func connTruth(r *spec.Run, l lab) error {
	r.Step("three pieces, 13 bytes; the peer reads 7 of them and is gone")
	ours, theirs := net.Pipe()
	defer ours.Close()
	s := l.Conn(ours)
	if s == nil {
		return spec.Fail("Conn to make a sink", "it returned nil")
	}
	r.Go(func() error {
		_, err := io.ReadFull(theirs, make([]byte, 7))
		theirs.Close()
		return err
	})
	pieces := [][]byte{[]byte("abcde"), []byte("fghij"), []byte("klm")}
	var n int
	var failed error
	if err := r.Call("Writev to return", func() error { n, failed = s.Writev(pieces); return nil }); err != nil {
		return err
	}
	if n != 7 || failed == nil {
		return spec.Fail("Writev to return 7 and the connection's error", "it returned %d and %v", n, failed)
	}
	if got := fmt.Sprintf("%s", pieces); got != "[abcde fghij klm]" {
		return spec.Fail("the pieces to be as they were: [abcde fghij klm]", "they are %s", got)
	}
	return nil
}

// stingy writes to a socket, and takes 5000 bytes at most.
type stingy struct{ Sink }

func (c stingy) Writev(pieces [][]byte) (int, error) {
	var some [][]byte
	for left := 5000; left > 0 && len(pieces) > 0; pieces = pieces[1:] {
		some = append(some, pieces[0][:min(left, len(pieces[0]))])
		left -= len(some[len(some)-1])
	}
	return c.Sink.Writev(some)
}

func overSocket(r *spec.Run, l lab) error {
	client, server, err := pair()
	if err != nil {
		return err
	}
	defer client.Close()
	defer server.Close()
	if err := probe(l); err != nil {
		return err
	}
	server.(*net.TCPConn).SetWriteBuffer(8 << 10)
	w, err := l.New(stingy{l.Conn(server)}, Options{MaxPending: 64 << 10})
	if err != nil {
		return err
	}
	const writers, total = 4, 2 << 20
	r.Step("4 goroutines write 2 MiB each, in messages of up to 20,000 bytes")
	for g := range writers {
		r.Go(func() error {
			rnd := rand.New(rand.NewPCG(uint64(g), 1))
			for left := total; left > 0; {
				p := bytes.Repeat([]byte{byte('A' + g)}, min(left, 1+rnd.IntN(20_000)))
				left -= len(p)
				if err := w.Write(r.Context(), p, nil); err != nil {
					return err
				}
			}
			return nil
		})
	}
	var counts [256]int
	buf := make([]byte, 10_000)
	for got := 0; got < writers*total; {
		n, err := client.Read(buf)
		if err != nil {
			return spec.Fail("8 MiB to come through", "after %d bytes: %v", got, err)
		}
		for _, b := range buf[:n] {
			counts[b]++
		}
		got += n
	}
	for g := range writers {
		if n := counts['A'+g]; n != total {
			return spec.Fail(fmt.Sprintf("%d bytes of goroutine %d", total, g), "%d came", n)
		}
	}
	if err := w.Close(r.Context()); err != nil {
		return spec.Fail("Close to return nil", "it returned %s", l.name(err))
	}
	server.Close()
	if n, _ := io.Copy(io.Discard, client); n != 0 {
		return spec.Fail("nothing more to come", "%d bytes did", n)
	}
	return nil
}

// pair is a connection over loopback.
func pair() (client, server net.Conn, err error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, nil, err
	}
	defer listener.Close()
	if client, err = net.Dial("tcp", listener.Addr().String()); err != nil {
		return nil, nil, err
	}
	server, err = listener.Accept()
	return client, server, err
}
