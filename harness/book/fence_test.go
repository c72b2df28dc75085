package book

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/asynclab/asynclab/harness/course"
)

func TestWhatABlockIs(t *testing.T) {
	for _, c := range []struct {
		language, text string
		want           kind
	}{
		{"", "make check LAB=01\n", commands},
		{"", "make demo     # a comment with --> in it --> twice\nmake test\n", commands},
		{"", "# first\ncd harness/peers && go run . -only a,b\n", commands},
		{"", "$ GOMAXPROCS=1 go test ./labs/01-blocking\n", commands},
		{"", "perf report --no-children -s symbol\n  --stdio\n", commands},
		{"", "./ways -only sendfile\n", commands},
		{"", "next = max(full, now) + n * interval\nit fits if next - now <= depth\n", output},
		{"", "drain:  while not full, step\nstep:   nothing ahead -> stop\n", output},
		{"", "NAME   MEDIAN\n-----  ------\nread   210 ns\n", output},
		{"", "making progress\n", output},
		{"", "+------+\n| box  |\n+------+\n", drawing},
		{"", "a --> b --> c\n", drawing},
		{"", "a ──► b\n", drawing},
		{"", "read\n  | sleeps\n  v\ndata\n", drawing},
		{"", "cycle\n  '-> events\n      |-- timers\n      '-- posted\n", drawing},
		{"", "var v\n    ^ here\n", output},
		{"", "go to b\n├── a\n└── b\n", drawing},
		{"text", "a --> b --> c\n", output},
		{"diagram", "a\n", drawing},
		{"sh", "anything | at all\n", commands},
		{"go", "a --> b --> c\n", code},
		{"json", "{}\n", code},
	} {
		require.Equal(t, c.want, kindOf(c.language, c.text), "%q %q", c.language, c.text)
	}
}

// The first picture of every handout says where the lab sits: it is drawn.
func TestHandoutsHaveTheirDiagramsDrawn(t *testing.T) {
	for _, lab := range course.Labs {
		if !lab.Built {
			continue
		}
		text, err := os.ReadFile(filepath.Join("../..", lab.Path("labs"), "README.md"))
		require.NoError(t, err)
		_, rest, found := strings.Cut(string(text), "\n```\n")
		require.True(t, found, lab.Dir())
		picture, _, _ := strings.Cut(rest, "\n```")
		require.Equal(t, drawing, kindOf("", picture), "%s: not taken for a diagram; mark it so, ```diagram:\n%s", lab.Dir(), picture)
	}
}
