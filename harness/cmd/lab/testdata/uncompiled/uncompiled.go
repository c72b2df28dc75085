// Package uncompiled does not compile.
package uncompiled

func answer() int { return "seven" }
