package websocket

// The answer goes here: 101, or why not (step 1 and step 2).
