// Package unvetted keeps its rule, but go vet finds a fault.
package unvetted

import (
	"fmt"
	"testing"

	"github.com/asynclab/asynclab/harness/spec"
)

var suite = spec.Suite[func()]{
	Lab:   "01",
	Probe: func(func()) error { return nil },
	Rules: []spec.Rule[func()]{{Name: "Passes", Points: 10, Check: func(*spec.Run, func()) error { return nil }}},
}

func Test(t *testing.T) {
	fmt.Sprintf("%d", "seven")
	suite.Test(t, nil)
}
