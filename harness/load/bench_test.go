package load

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// BenchmarkSwarm measures the client, not the server: what the swarm itself
// spends on a million verified echoes of 64 bytes over 1,000 connections. A
// server that costs less than this is measured by its CPU time, not by how many
// messages a second come out.
//
//	go test -bench Swarm -benchtime 1x ./harness/load
func BenchmarkSwarm(b *testing.B) {
	for _, depth := range []int{1, 16} {
		b.Run(fmt.Sprintf("depth=%d", depth), func(b *testing.B) {
			addr := server(b, honest)
			for range b.N {
				r, err := Spawn(context.Background(), Config{Addr: addr, Conns: 1000, Depth: depth, Window: 2 * time.Second}, Hooks{})
				require.NoError(b, err)
				require.NoError(b, r.Faults.Err())
				b.ReportMetric(r.PerSecond, "echoes/s")
				b.ReportMetric(r.CPU.Seconds()*1e6/float64(r.Messages), "client-CPU-s/million")
			}
		})
	}
}
