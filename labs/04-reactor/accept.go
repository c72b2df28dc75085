package reactor

// The acceptor goes here: one goroutine that waits in poll(2) for its listeners
// and for an eventfd that stops it, accepts, picks a loop and hands over (step
// 4); what it does when no descriptor is left (step 7); how it ends (step 8).
