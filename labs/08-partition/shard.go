package partition

// A shard goes here: its goroutine, what it does next, and how it sleeps (step 1);
// how a panic ends in it (step 5).
