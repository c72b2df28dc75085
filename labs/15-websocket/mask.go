package websocket

// unmask goes here (step 4).
