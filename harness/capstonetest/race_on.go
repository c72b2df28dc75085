//go:build race

package capstonetest

const raceEnabled = true
