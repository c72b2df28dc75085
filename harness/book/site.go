package book

import (
	"bytes"
	"fmt"
	"net/http"
	"os"
	"path"
	"path/filepath"
	"strings"
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
