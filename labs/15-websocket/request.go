package websocket

// The request goes here: where it ends, its request line, its fields. Nothing
// of net/http reads it, but http.Header is a good place for the fields (step 1).
