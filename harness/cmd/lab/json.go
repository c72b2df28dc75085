package main

import (
	"encoding/json"
	"io"
)

// writeJSON prints a document for other programs, and for eyes.
func writeJSON(out io.Writer, document any) error {
	encoder := json.NewEncoder(out)
	encoder.SetIndent("", "  ")
	return encoder.Encode(document)
}
