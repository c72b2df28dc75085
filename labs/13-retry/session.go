package retry

// An endpoint goes here: dial, handshake, the life of a connection, and the session
// that outlives it (steps 3 and 7).
