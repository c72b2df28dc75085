package reactor

// A thread with a descriptor table of its own goes here: step 9.
