package load

import (
	"bytes"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestAPatternCanStartAnywhere(t *testing.T) {
	whole := make([]byte, 10_000)
	Pattern(7, 0, whole)
	for _, part := range []struct{ off, n int }{{0, 1}, {1, 1}, {3, 20}, {8, 8}, {4095, 5000}} {
		p := make([]byte, part.n)
		Pattern(7, int64(part.off), p)
		require.True(t, bytes.Equal(whole[part.off:part.off+part.n], p), part)
		require.NoError(t, Verify(7, int64(part.off), p))
	}
	other := make([]byte, len(whole))
	Pattern(8, 0, other)
	require.NotEqual(t, whole[:64], other[:64], "seeds differ")
}

func TestVerifyNamesTheByte(t *testing.T) {
	p := make([]byte, 10_000)
	Pattern(7, 100, p)
	p[9000]++
	require.ErrorContains(t, Verify(7, 100, p), "byte 9100 of the stream")
}

func TestWhatIsTooLongDiffers(t *testing.T) {
	require.Equal(t, -1, Difference([]byte("ab"), []byte("abc")))
	require.Equal(t, 2, Difference([]byte("abc"), []byte("ab")))
	require.Equal(t, 1, Difference([]byte("axc"), []byte("abc")))
}

func BenchmarkPattern(b *testing.B) {
	p := make([]byte, 64<<10)
	b.SetBytes(int64(len(p)))
	for b.Loop() {
		Pattern(1, 0, p)
	}
}
