package costs

import "slices"

// table is every cost, in the order in which it is shown.
var table = slices.Concat(inUserSpace, ofGoroutines, ofTheKernel, ofSockets, ofTheRest)
