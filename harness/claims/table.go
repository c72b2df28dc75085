package claims

import "slices"

// Table is every claim, in the order of the labs.
var Table = slices.Concat(ofConnections, ofBytes, ofMemory, ofOrder, ofTheServer)

const (
	thousand = 1e3
	million  = 1e6
	billion  = 1e9

	hundredThousand = 100_000 // the article's connections
)
