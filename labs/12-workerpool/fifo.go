package workerpool

// The queue goes here: a ring that grows, and lets go of what it has handed out
// (step 1).
