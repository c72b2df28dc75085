package retrytest

import "github.com/asynclab/asynclab/harness/spec"

var targets []spec.Target[lab]
