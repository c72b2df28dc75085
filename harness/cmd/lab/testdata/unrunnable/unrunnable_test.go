// Package unrunnable crashes when it is initialised.
package unrunnable

import "testing"

var table map[string]int

func init() { table["a"] = 1 }

func Test(t *testing.T) {}
