package book

import (
	"bytes"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path"
	"path/filepath"
	"strings"
	"sync"
	"time"
)

// Write writes the site's files below a folder, which is made if need be. It
// replaces an older book there and nothing else: a folder with other files is
// refused.
func (s Site) Write(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil && !os.IsNotExist(err) {
		return err
	}
	if _, err := os.Stat(filepath.Join(dir, printPage)); len(entries) > 0 && err != nil {
		return fmt.Errorf("%s has files in it that are no book: name a new or an empty folder", dir)
	}
	for _, e := range entries {
		if err := os.RemoveAll(filepath.Join(dir, e.Name())); err != nil {
			return err
		}
	}
	for name, data := range s {
		file := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(file, data, 0o644); err != nil {
			return err
		}
	}
	return nil
}

// live serves a repository's site and makes it anew when a file has changed
// since the last page was asked for.
type live struct {
	root string

	mu    sync.Mutex // guards the following
	site  Site
	stamp stamp // of what site was made from
}

// Serve serves the site of a repository, which Build has made. Whoever edits a
// document sees it when the page is loaded again; a change that cannot be built
// leaves the site as it was.
func Serve(root string, site Site) http.Handler {
	return &live{root: root, site: site, stamp: stampOf(root)}
}

func (l *live) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	l.current(r.URL.Path).ServeHTTP(w, r)
}

// current is the site to serve a path from.
func (l *live) current(path string) Site {
	l.mu.Lock()
	defer l.mu.Unlock()
	if strings.HasPrefix(path, "/assets/") { // a page was asked for just before
		return l.site
	}
	if now := stampOf(l.root); now != l.stamp {
		if site, _, err := Build(l.root); err == nil {
			l.site = site
		}
		l.stamp = now
	}
	return l.site
}

// A stamp changes with any file of a repository.
type stamp struct {
	files  int
	newest time.Time
}

func stampOf(root string) (s stamp) {
	filepath.WalkDir(root, func(file string, d fs.DirEntry, err error) error {
		if err != nil {
			return nil // it has just gone
		}
		if d.IsDir() && strings.HasPrefix(d.Name(), ".") && file != root {
			return filepath.SkipDir
		}
		if info, err := d.Info(); err == nil {
			s.files++
			if info.ModTime().After(s.newest) {
				s.newest = info.ModTime()
			}
		}
		return nil
	})
	return s
}

// ServeHTTP serves the site from memory. Browsers ask again each time whether
// a page is still the same: the next book may be served at this address.
func (s Site) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	name := strings.TrimPrefix(path.Clean(r.URL.Path), "/")
	if folder := path.Join(name, "index.html"); s[folder] != nil {
		if !strings.HasSuffix(r.URL.Path, "/") {
			http.Redirect(w, r, r.URL.Path+"/", http.StatusMovedPermanently)
			return
		}
		name = folder
	}
	data, found := s[name]
	if !found {
		http.NotFound(w, r)
		return
	}
	if path.Ext(name) != ".ttf" { // fonts do not change
		w.Header().Set("Cache-Control", "no-cache")
	}
	http.ServeContent(w, r, name, time.Time{}, bytes.NewReader(data))
}
