package retry

// The reader of a connection goes here: it cuts bytes into frames, acts on them,
// and notices silence (steps 3 and 7).
