package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/fsnotify/fsnotify"
)

const (
	quiet     = 150 * time.Millisecond // an editor's save is several events
	pollEvery = time.Second
)

// changes sends after Go files in dir have changed and been left alone for a
// moment. how says by which means it finds out. It ends with ctx.
func changes(ctx context.Context, dir string) (changed <-chan struct{}, how string) {
	c := make(chan struct{}, 1)
	watcher, err := fsnotify.NewWatcher()
	if err == nil {
		if err = watcher.Add(dir); err == nil {
			go notified(ctx, watcher, c)
			return c, "notified by the kernel"
		}
		watcher.Close()
	}
	go polled(ctx, dir, c)
	return c, fmt.Sprintf("looking every %v, because inotify does not work here: %v", pollEvery, err)
}

func notified(ctx context.Context, w *fsnotify.Watcher, changed chan<- struct{}) {
	defer w.Close()
	var settled <-chan time.Time // nil: nothing has happened
	for {
		select {
		case <-ctx.Done():
			return
		case e, ok := <-w.Events:
			if !ok {
				return
			}
			if strings.HasSuffix(e.Name, ".go") && e.Op != fsnotify.Chmod {
				settled = time.After(quiet)
			}
		case <-w.Errors: // events were lost: look again
			settled = time.After(quiet)
		case <-settled:
			settled = nil
			tell(changed)
		}
	}
}

func polled(ctx context.Context, dir string, changed chan<- struct{}) {
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	for before := snapshot(dir); ; {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if now := snapshot(dir); now != before {
			before = now
			tell(changed)
		}
	}
}

// tell does not wait: one news that is not read yet is enough.
func tell(changed chan<- struct{}) {
	select {
	case changed <- struct{}{}:
	default:
	}
}

// snapshot is different when a Go file of dir is.
func snapshot(dir string) string {
	files, _ := filepath.Glob(filepath.Join(dir, "*.go"))
	var b strings.Builder
	for _, name := range files {
		if info, err := os.Stat(name); err == nil {
			fmt.Fprintln(&b, name, info.Size(), info.ModTime().UnixNano())
		}
	}
	return b.String()
}
