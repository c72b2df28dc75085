package websocket

// Ping and pong go here (step 6).
