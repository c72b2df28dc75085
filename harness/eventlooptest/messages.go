package eventlooptest

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
	"net"

	"github.com/asynclab/asynclab/harness/bench"
	"github.com/asynclab/asynclab/harness/load"
	"github.com/asynclab/asynclab/harness/spec"
)

// Lab 01 echoes bytes it does not look at, so messages that arrive together go
// back together. A server that has to answer each message is another matter.
// This file measures the usual one, a goroutine for each connection that reads
// a frame and writes its answer, so that the loop has something of its own kind
// to be compared with.

// againstGoroutines is how many times as many messages per CPU second the lab's
// loop echoes as the usual server does, 16 in flight, both measured in this
// process one after the other.
func againstGoroutines(r *spec.Run, new New) (spec.Sample, error) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return spec.Sample{}, err
	}
	r.Cleanup(func() { ln.Close() })
	go serveMessages(ln)
	usual, err := bench.EchoCost(r, ln.Addr().String(), bench.Echo{Wire: load.Framed, Depth: 16})
	if err != nil {
		return spec.Sample{}, fmt.Errorf("the server compared with: %w", err)
	}
	cost, err := echoCost(r, new, bench.Echo{Depth: 16})
	if err != nil {
		return spec.Sample{}, err
	}
	s := cost.Sample()
	s.Value = cost.PerCPUSecond() / usual.PerCPUSecond()
	s.Also["theirs CPU-s per million"] = 1e6 / usual.PerCPUSecond()
	return s, nil
}

func serveMessages(ln net.Listener) {
	for {
		c, err := ln.Accept()
		if err != nil {
			return
		}
		go func() {
			defer c.Close()
			answerEach(c)
		}()
	}
}

// answerEach reads through a buffer and writes each answer by itself, in one
// piece, without allocating: all the care that a good server of this kind takes.
func answerEach(c net.Conn) {
	from := bufio.NewReader(c)
	answer := make([]byte, 4, 4<<10)
	for {
		if _, err := io.ReadFull(from, answer[:4]); err != nil {
			return
		}
		n := int(binary.BigEndian.Uint32(answer[:4]))
		if n > cap(answer)-4 {
			return
		}
		if _, err := io.ReadFull(from, answer[4:4+n]); err != nil {
			return
		}
		if _, err := c.Write(answer[:4+n]); err != nil {
			return
		}
	}
}
