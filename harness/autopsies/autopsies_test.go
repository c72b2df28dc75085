package autopsies

import (
	"os"
	"testing"
	"testing/fstest"

	"github.com/asynclab/asynclab/harness/course"
	"github.com/stretchr/testify/require"
)

// The sections are held by their judges, each by its own: see spec's Refuses.
func TestThePageIsWholeAroundItsSections(t *testing.T) {
	text, err := os.ReadFile("../../" + Path)
	require.NoError(t, err)
	sections := Sections(string(text))
	for _, lab := range course.Labs {
		require.Equal(t, lab.Built, sections[lab.ID] != "", "lab %s has a section if it is built: %s", lab.Dir(), Renew)
	}
	require.Equal(t, Page(sections), string(text), "%s writes it anew", Renew)
}

func lab(t *testing.T, id string) course.Lab {
	l, err := course.Find(id)
	require.NoError(t, err)
	return l
}

func TestASectionLinksToMutantAndRule(t *testing.T) {
	judge := fstest.MapFS{
		"rules.go":        {Data: []byte(`{Name: "NothingIsLeft", Why`)},
		"mutants_test.go": {Data: []byte(`{Name: "the article: leaks", Rule: "NothingIsLeft"`)},
	}
	s, err := Section(lab(t, "02"), judge, []Fault{{Name: "the article: leaks", Rule: "NothingIsLeft", Why: "It leaks. Close it."}})
	require.NoError(t, err)
	require.Contains(t, s, "| [leaks](../harness/epolltest/mutants_test.go) | [`NothingIsLeft`](../harness/epolltest/rules.go) | It leaks. Close it. |\n")
	_, err = Section(lab(t, "02"), judge, []Fault{{Name: "burns", Rule: "NothingIsLeft"}})
	require.ErrorContains(t, err, `"burns"`)
}

func TestAPageIsCutWhereItWasJoined(t *testing.T) {
	judge := fstest.MapFS{"r.go": {Data: []byte(`Name: "R"`)}, "m_test.go": {Data: []byte(`Name: "m"`)}}
	sections := map[string]string{}
	for _, id := range []string{"01", "03", "capstone"} {
		s, err := Section(lab(t, id), judge, []Fault{{Name: "m", Rule: "R", Why: "w."}})
		require.NoError(t, err)
		sections[id] = s
	}
	require.Equal(t, sections, Sections(Page(sections)))
}

func TestAFaultThatThePageDoesNotHaveIsNoticed(t *testing.T) {
	root, l := t.TempDir(), lab(t, "01")
	require.NoError(t, os.MkdirAll(root+"/docs", 0o755))
	require.NoError(t, os.MkdirAll(root+"/"+l.Judge(), 0o755))
	require.NoError(t, os.WriteFile(root+"/"+l.Judge()+"/a_test.go", []byte(`Name: "m"`), 0o644))
	require.NoError(t, os.WriteFile(root+"/"+l.Judge()+"/a.go", []byte(`Name: "R"`), 0o644))
	faults := []Fault{{Name: "m", Rule: "R", Why: "w."}}
	s, err := Section(l, os.DirFS(root+"/"+l.Judge()), faults)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(root+"/"+Path, []byte(Page(map[string]string{"01": s})), 0o644))
	require.NoError(t, Hold(root, l, faults))
	faults[0].Why = "another reason."
	require.ErrorContains(t, Hold(root, l, faults), Renew)
}
