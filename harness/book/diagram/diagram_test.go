package diagram

import (
	"encoding/xml"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// seen shows how a picture was read: its lines as box characters, its heads as
// triangles, and the text as it is.
func seen(p *Picture) string {
	shapes := map[dirs]rune{0: '?'}
	for r, d := range boxes {
		if strings.ContainsRune("─│┌┐└┘├┤┬┴┼╱╲╴╵╶╷", r) {
			shapes[d] = r
		}
	}
	arrows := map[dirs]rune{north: '▲', east: '►', south: '▼', west: '◄', southEast: '◢', southWest: '◣'}
	var b strings.Builder
	for _, row := range p.cells {
		var out []rune
		for _, c := range row {
			switch {
			case c.kind == head:
				out = append(out, arrows[c.dirs])
			case c.kind == dotted:
				out = append(out, '┈')
			case c.kind == double:
				out = append(out, '═')
			case c.kind == line && shapes[c.dirs] == 0:
				out = append(out, '*') // a slope ends in it
			case c.kind == line:
				out = append(out, shapes[c.dirs])
			default:
				out = append(out, c.r)
			}
		}
		b.WriteString(strings.TrimRight(string(out), " ") + "\n")
	}
	return b.String()
}

func TestLinesAreLinesAndWordsAreWords(t *testing.T) {
	for name, c := range map[string]struct{ typed, seen string }{
		"a box with an arrow into it": {`
   |
   v
+-----+
| box |---> out
+-----+
`, `
   │
   ▼
┌─────┐
│ box ├───► out
└─────┘
`},
		"words keep their letters": {`
 Send(ctx, v)    over --> round-robin, I/O
      |          C++ a+b  x | y  a || b  "k": v
      v          -x  --> queue <= Queue  ... [..]
   labs/NN/v     ^Test$
`, `
 Send(ctx, v)    over ──► round-robin, I/O
      │          C++ a+b  x │ y  a || b  "k": v
      ▼          -x  ──► queue <= Queue  ... [..]
   labs/NN/v     ^Test$
`},
		"lines that cross and meet": {`
   |      |      |
   +------+------+
   v      |      v
 ---------+----->
          |
`, `
   │      │      │
   ├──────┼──────┤
   ▼      │      ▼
 ─────────┼─────►
          │
`},
		"a bar meets an edge": {`
 +--------+
 |  a | b |
 +--------+
      | down
`, `
 ┌────┬───┐
 │  a │ b │
 └────┼───┘
      │ down
`},
		"brackets of rows": {`
 one   --+
 two   --+--> all
 three --+
`, `
 one   ──┐
 two   ──┼──► all
 three ──┘
`},
		"boxes one upon the other stay two": {`
 +---+
 | a |
 +---+
 +---+
 | b |
 +---+
`, `
 ┌───┐
 │ a │
 └───┘
 ┌───┐
 │ b │
 └───┘
`},
		"points and pairs": {`
 file ..> pipe <===> pipe <......... end
 more ... [............] 4..11
`, `
 file ┈┈► pipe ◄═══► pipe ◄┈┈┈┈┈┈┈┈┈ end
 more ... [............] 4..11
`},
		"slopes": {`
  \       /
   v     v
 +---------+
`, `
  ╲       ╱
   ◢     ◣
 ╶─────────╴
`},
		"turning off": {`
  |
  '--> a     \--> b
`, `
  │
  └──► a     └──► b
`},
		"box characters": {`
 a ──► b ─┐
 │        ▼
 └─► c ◄─ d
`, `
 a ──► b ─┐
 │        ▼
 └─► c ◄─ d
`},
		"time": {`
 ------|--------|----> time
       |<- in ->|
`, `
 ──────┼────────┼────► time
       │◄─ in ─►│
`},
	} {
		t.Run(name, func(t *testing.T) {
			require.Equal(t, strings.TrimLeft(c.seen, "\n"), seen(Read(c.typed)))
		})
	}
}

func TestBoxesAreFound(t *testing.T) {
	for typed, want := range map[string][]rectangle{
		"+--+\n|  |\n+--+":                            {{0, 0, 2, 3}},
		"+--+--+\n|  |  |\n+--+--+":                   {{0, 0, 2, 3}, {0, 3, 2, 6}},
		"+-- title --+\n|           |\n+--------+--+": {{0, 0, 2, 12}},
		"+--+\n|  |\n+-- ":                            nil, // open
		"+-- a   b --+\n|           |\n+-----------+": nil, // two words apart are no title
		"+--+\n   |\n+--+":                            nil,
	} {
		require.Equal(t, want, Read(typed).rectangles(), typed)
	}
}

func TestTabsStandForSpaces(t *testing.T) {
	require.Equal(t, "a       b\n", seen(Read("a\tb")))
}

// Every diagram of the repository: all its words are in the drawing, in their
// places, and the drawing is XML.
func TestNothingTypedGetsLost(t *testing.T) {
	n := 0
	err := filepath.WalkDir("../../..", func(file string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() || filepath.Ext(file) != ".md" {
			return err
		}
		text, err := os.ReadFile(file)
		for i, block := range strings.Split(string(text), "\n```") {
			if i%2 == 0 || !strings.Contains(block, "--") && !strings.Contains(block, "─") {
				continue
			}
			_, block, _ = strings.Cut(block, "\n")
			n++
			check(t, file, block)
		}
		return err
	})
	require.NoError(t, err)
	require.Greater(t, n, 20, "diagrams in the handouts")
}

func check(t *testing.T, file, block string) {
	p := Read(block)
	got := map[[2]int]rune{}
	p.words(func(row, col int, s string, n int) {
		require.Len(t, []rune(s), n, file)
		for i, r := range []rune(s) {
			got[[2]int{row, col + i}] = r
		}
	})
	p.each(func(row, col int, c *cell) {
		if c.kind == text {
			if c.r != ' ' {
				require.Equal(t, c.r, got[[2]int{row, col}], "%s: row %d, column %d of\n%s", file, row, col, block)
			}
			return
		}
		require.Contains(t, "-=.|+<>vV^/\\'`─│┌┐└┘├┤┬┴┼►▼▲◄→←↑↓╭╮╰╯", string(c.r), "%s: became a line, in\n%s", file, block)
		require.NotZero(t, c.dirs, "%s: a line that goes nowhere", file)
	})
	decoder := xml.NewDecoder(strings.NewReader(p.SVG()))
	for {
		if _, err := decoder.Token(); err == io.EOF {
			return
		} else {
			require.NoError(t, err, file)
		}
	}
}
