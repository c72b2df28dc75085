package eventloop

// Bytes in go here: read, call back, keep what is incomplete.
