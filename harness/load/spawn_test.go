package load

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// parentEnv makes the test binary a process that does nothing but run a swarm
// for an hour against the address it holds.
const parentEnv = "ASYNCLAB_TEST_PARENT"

// TestMain lets the test binary be its own swarm.
func TestMain(m *testing.M) {
	BecomeSwarm()
	if addr := os.Getenv(parentEnv); addr != "" {
		cfg := Config{Addr: addr, Warmup: time.Millisecond, Window: time.Hour}
		_, err := Spawn(context.Background(), cfg, Hooks{Window: func() { fmt.Println(children()) }})
		fmt.Println(err)
		os.Exit(1)
	}
	os.Exit(m.Run())
}

func TestSpawnRunsElsewhereAndStopsAtTheHooks(t *testing.T) {
	addr := server(t, honest)
	var phases []string
	snapshots := 0
	r, err := Spawn(context.Background(), Config{Addr: addr, Conns: 100, Wire: Framed, Depth: 4, Core: 1, Warmup: 50 * time.Millisecond, Window: 600 * time.Millisecond}, Hooks{
		Connected: func() { phases = append(phases, "connected") },
		Window:    func() { phases = append(phases, "window") },
		Done:      func() { phases = append(phases, "done") },
		Snapshot:  func(Snapshot) { snapshots++ },
	})
	require.NoError(t, err)
	require.NoError(t, r.Faults.Err())
	require.Equal(t, []string{"connected", "window", "done"}, phases)
	require.Positive(t, snapshots)
	require.Equal(t, 100, r.Connected)
	require.Empty(t, children())
}

// children are the processes that this one has started and not yet waited for.
func children() (pids []string) {
	files, _ := filepath.Glob("/proc/self/task/*/children")
	for _, f := range files {
		text, _ := os.ReadFile(f) // a thread may have ended
		pids = append(pids, strings.Fields(string(text))...)
	}
	return pids
}

func TestSpawnEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	_, err := Spawn(ctx, Config{Addr: server(t, honest), Window: time.Hour}, Hooks{Window: cancel})
	require.ErrorIs(t, err, context.Canceled)
	require.Empty(t, children())
}

func TestTheSwarmDiesWithItsParent(t *testing.T) {
	parent := exec.Command(os.Args[0])
	parent.Env = append(os.Environ(), parentEnv+"="+server(t, honest))
	out, err := parent.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, parent.Start())
	defer parent.Wait()
	defer parent.Process.Kill()
	line, err := bufio.NewReader(out).ReadString('\n')
	require.NoError(t, err)
	var pid int
	_, err = fmt.Sscanf(line, "[%d]", &pid)
	require.NoError(t, err, line)
	require.True(t, alive(pid))
	require.NoError(t, parent.Process.Kill())
	require.Eventually(t, func() bool { return !alive(pid) }, 20*time.Second, 5*time.Millisecond)
}

// alive tells a running process from one that is gone or only not waited for.
func alive(pid int) bool {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	return err == nil && !strings.Contains(string(text), ") Z ")
}
