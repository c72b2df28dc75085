package websocket

// Text that comes in pieces goes here (step 7).
