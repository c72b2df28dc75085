package websocket

// Frames become messages here: whole ones, where they lie; pieces and fragments,
// gathered (step 5).
