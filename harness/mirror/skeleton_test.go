package mirror

import (
	"os/exec"
	"testing"

	"github.com/stretchr/testify/require"
)

// A skeleton compiles, vets, and fails its check at once with one sentence.
func TestSkeletonsFailAsDesigned(t *testing.T) {
	for _, lab := range built() {
		t.Run(lab.Dir(), func(t *testing.T) {
			folder := "./" + lab.Path("labs")
			vet := exec.Command("go", "vet", folder)
			vet.Dir = root
			out, err := vet.CombinedOutput()
			require.NoError(t, err, "go vet %s: %s", folder, out)

			test := exec.Command("go", "test", "-count=1", folder)
			test.Dir = root
			out, err = test.CombinedOutput()
			require.Error(t, err, "the skeleton passes")
			require.Contains(t, string(out), "not implemented: start at README.md, step 1")
			require.NotContains(t, string(out), "panic", "a sentence, not a stack")
		})
	}
}
