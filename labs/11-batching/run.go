package batching

// The goroutine goes here: it waits for a batch that is due (steps 1 and 3), writes
// all of it (step 2), makes room (step 5) and tells everybody (step 4).
