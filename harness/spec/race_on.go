//go:build race

package spec

// raceEnabled reports whether this binary was built with the race detector.
const raceEnabled = true
