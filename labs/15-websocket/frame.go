package websocket

// A frame's head goes here, both ways: how long it is, what it says, and what is
// wrong with it (step 3 and, for what goes out, step 9).
