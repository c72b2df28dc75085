package zerocopytest

import (
	"bufio"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/chromedp/cdproto/browser"
	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/require"
)

// downloads are the files that other people's clients fetch.
var downloads = map[string]int64{"empty": 0, "one": 1, "4KiB": 4 << 10, "100MiB": 100 << 20, "sparse-3GiB": 3 << 30}

// TestCurlAndABrowserDownload lets clients that are not ours fetch from the
// reference's command, whole and in two parts, in each of the four ways.
func TestCurlAndABrowserDownload(t *testing.T) {
	if testing.Short() {
		t.Skip("takes a quarter of a minute")
	}
	curl, err := exec.LookPath("curl")
	if err != nil {
		t.Skip("no curl here")
	}
	dir := t.TempDir()
	sums := map[string]string{}
	for name, n := range downloads {
		f, err := os.Create(filepath.Join(dir, name))
		require.NoError(t, err)
		require.NoError(t, write(f, min(n, 100<<20)))
		require.NoError(t, f.Truncate(n)) // beyond 100 MiB there are holes
		require.NoError(t, f.Close())
		sums[name] = sum256(t, filepath.Join(dir, name))
	}
	command := filepath.Join(t.TempDir(), "fileserver")
	out, err := exec.Command("go", "build", "-o", command, "../../solutions/09-zerocopy/cmd/fileserver").CombinedOutput()
	require.NoError(t, err, string(out))
	for _, way := range ways {
		url := serving(t, command, dir, way)
		for name, n := range downloads {
			if n > 1<<30 && way != bySendfile {
				continue // once is enough of 3 GiB
			}
			whole := exec.Command(curl, "-sSf", url+name)
			require.Equal(t, sums[name], sumOf(t, whole), "curl %s by %s", name, way)
			if n < 4096 || n > 1<<30 {
				continue
			}
			half := filepath.Join(t.TempDir(), name)
			out, err := exec.Command(curl, "-sSf", "-r", fmt.Sprintf("0-%d", n/3), "-o", half, url+name).CombinedOutput()
			require.NoError(t, err, string(out))
			out, err = exec.Command(curl, "-sSf", "-C", "-", "-o", half, url+name).CombinedOutput()
			require.NoError(t, err, string(out))
			require.Equal(t, sums[name], sum256(t, half), "curl -C - of %s by %s", name, way)
		}
	}
	t.Run("browser", func(t *testing.T) { browserDownloads(t, serving(t, command, dir, bySendfile), sums) })
}

// serving runs the command until the test ends, and returns its address.
func serving(t *testing.T, command, dir, way string) string {
	cmd := exec.Command(command, "-addr", "127.0.0.1:0", "-root", dir, "-way", way)
	cmd.Stderr = os.Stderr
	stdout, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	t.Cleanup(func() {
		cmd.Process.Signal(syscall.SIGTERM)
		require.NoError(t, cmd.Wait())
	})
	line, err := bufio.NewReader(stdout).ReadString('\n')
	require.NoError(t, err)
	_, rest, _ := strings.Cut(line, "http://")
	addr, _, _ := strings.Cut(rest, ";")
	return "http://" + addr + "/"
}

func sum256(t *testing.T, path string) string {
	f, err := os.Open(path)
	require.NoError(t, err)
	defer f.Close()
	h := sha256.New()
	_, err = io.Copy(h, f)
	require.NoError(t, err)
	return fmt.Sprintf("%x", h.Sum(nil))
}

// sumOf is the sum of what a command prints.
func sumOf(t *testing.T, cmd *exec.Cmd) string {
	h := sha256.New()
	cmd.Stdout, cmd.Stderr = h, os.Stderr
	require.NoError(t, cmd.Run())
	return fmt.Sprintf("%x", h.Sum(nil))
}

func browserDownloads(t *testing.T, url string, sums map[string]string) {
	program, err := exec.LookPath("chromium")
	if err != nil {
		t.Skip("no chromium here")
	}
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(program), chromedp.NoSandbox)
	ctx, cancel := chromedp.NewExecAllocator(context.Background(), options...)
	defer cancel()
	ctx, cancel = chromedp.NewContext(ctx)
	defer cancel()
	ctx, cancel = context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	into := t.TempDir()
	ended := make(chan browser.DownloadProgressState, 16)
	chromedp.ListenTarget(ctx, func(event any) {
		if e, ok := event.(*browser.EventDownloadProgress); ok && e.State != browser.DownloadProgressStateInProgress {
			ended <- e.State
		}
	})
	allow := browser.SetDownloadBehavior(browser.SetDownloadBehaviorBehaviorAllow).WithDownloadPath(into).WithEventsEnabled(true)
	require.NoError(t, chromedp.Run(ctx, allow))
	for _, name := range []string{"one", "4KiB", "100MiB"} {
		chromedp.Run(ctx, chromedp.Navigate(url+name)) // its error is that this became a download
		select {
		case state := <-ended:
			require.Equal(t, browser.DownloadProgressStateCompleted, state, name)
		case <-ctx.Done():
			t.Fatalf("the browser has not downloaded %s", name)
		}
		require.Equal(t, sums[name], sum256(t, filepath.Join(into, name)), "a browser's download of %s", name)
	}
}
