package main

import (
	"bytes"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

func nothing(string) string { return "" }

func TestTheFlagWins(t *testing.T) {
	getenv := func(name string) string {
		if name == "ASYNC_MAX_CONNS" {
			return "7"
		}
		return ""
	}
	s, err := parse(nil, getenv, io.Discard)
	require.NoError(t, err)
	require.Equal(t, 7, s.MaxConns)
	s, err = parse([]string{"-max-conns", "8"}, getenv, io.Discard)
	require.NoError(t, err)
	require.Equal(t, 8, s.MaxConns)
}

func TestNonsenseIsRefused(t *testing.T) {
	_, err := parse([]string{"-max-conns", "many"}, nothing, io.Discard)
	require.ErrorContains(t, err, "max-conns")
	_, err = parse([]string{"extra"}, nothing, io.Discard)
	require.ErrorContains(t, err, "extra")
	_, err = parse(nil, func(name string) string { return map[string]string{"ASYNC_DRAIN": "soon"}[name] }, io.Discard)
	require.ErrorContains(t, err, "ASYNC_DRAIN")
	s, err := parse([]string{"-log-level", "loud"}, nothing, io.Discard)
	require.NoError(t, err)
	_, err = s.logger(io.Discard)
	require.ErrorContains(t, err, "log-level")
}

func TestHelpIsNoError(t *testing.T) {
	var out bytes.Buffer
	_, err := parse([]string{"-help"}, nothing, &out)
	require.ErrorIs(t, err, flag.ErrHelp)
	for _, k := range table {
		require.Contains(t, out.String(), "-"+k.name)
		require.Contains(t, out.String(), k.variable())
	}
}

// docs/SETTINGS.md is the same table. With UPDATE=1 it is written.
func TestTheTableIsDocumented(t *testing.T) {
	root, err := os.Getwd()
	require.NoError(t, err)
	for {
		if _, err := os.Stat(filepath.Join(root, "go.mod")); err == nil {
			break
		}
		root = filepath.Dir(root)
	}
	path := filepath.Join(root, "docs", "SETTINGS.md")
	if os.Getenv("UPDATE") == "1" {
		require.NoError(t, os.WriteFile(path, page(), 0o644))
	}
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, string(page()), string(text), "UPDATE=1 go test ./capstone/cmd/asyncserver")
}

func page() []byte {
	var b bytes.Buffer
	fmt.Fprint(&b, "# The server's settings\n\nEach is a flag of `asyncserver` and an environment variable; the flag wins. `asyncserver -help` prints the same table.\n\n| flag | variable | default | does |\n| --- | --- | --- | --- |\n")
	s, _ := parse(nil, nothing, io.Discard)
	for _, k := range table {
		fmt.Fprintf(&b, "| `-%s` | `%s` | `%v` | %s |\n", k.name, k.variable(), k.value(&s), k.does)
	}
	return b.Bytes()
}
