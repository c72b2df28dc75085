//go:build !race

package capstonetest

const raceEnabled = false
