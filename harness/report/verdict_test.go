package report

import (
	"math"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestSpreadInterpolates(t *testing.T) {
	for _, c := range []struct {
		figures []float64
		want    Spread
	}{
		{nil, Spread{}},
		{[]float64{4}, Spread{4, 4, 4}},
		{[]float64{3, 1, 2}, Spread{1.5, 2, 2.5}},
		{[]float64{5, 1, 4, 2, 3}, Spread{2, 3, 4}},
		{[]float64{4, 3, 2, 1}, Spread{1.75, 2.5, 3.25}},
	} {
		require.Equal(t, c.want, SpreadOf(c.figures), c.figures)
	}
}

func TestSpreadLeavesTheFiguresInOrder(t *testing.T) {
	figures := []float64{3, 1, 2}
	SpreadOf(figures)
	require.Equal(t, []float64{3, 1, 2}, figures)
}

func TestDecide(t *testing.T) {
	for _, c := range []struct {
		name    string
		figures []float64
		bound   Bound
		want    Verdict
	}{
		{"all good", []float64{2.1, 2.2, 2.3}, Bound{true, 2}, Met},
		{"all bad", []float64{1.1, 1.2, 1.3}, Bound{true, 2}, NotMet},
		{"on the bound is good", []float64{2, 2, 2}, Bound{true, 2}, Met},
		{"one outlier of five does not matter", []float64{0.1, 2.1, 2.2, 2.3, 2.4}, Bound{true, 2}, Met},
		{"the middle half straddles the bound", []float64{1.5, 2.1, 2.5}, Bound{true, 2}, Inconclusive},
		{"at most, good", []float64{0.1, 0.1, 0.12}, Bound{false, 0.2}, Met},
		{"at most, bad", []float64{0.3, 0.3, 0.3}, Bound{false, 0.2}, NotMet},
		{"none", nil, Bound{true, 2}, Inconclusive},
		{"no number", []float64{math.NaN(), 3, 3}, Bound{true, 2}, Inconclusive},
	} {
		require.Equal(t, c.want, Decide(c.figures, c.bound), c.name)
	}
}

func TestRoundsGoOnWhileUndecidedAndEnd(t *testing.T) {
	bound := Bound{AtLeast: true, Value: 2}
	require.Equal(t, FirstRounds, NextRounds(nil, bound))
	require.Equal(t, 0, NextRounds([]float64{3, 3, 3}, bound))
	undecided := []float64{1, 2, 3}
	require.Equal(t, MoreRounds, NextRounds(undecided, bound))
	undecided = append(undecided, 1, 3)
	require.Equal(t, MoreRounds, NextRounds(undecided, bound))
	undecided = append(undecided, 1, 3)
	require.Len(t, undecided, MaxRounds)
	require.Equal(t, 0, NextRounds(undecided, bound))
}
