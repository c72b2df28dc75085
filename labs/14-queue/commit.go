package queue

// The committer goes here: it writes a batch, syncs it, and tells everybody
// (step 2); it takes back what has failed (step 4), and begins new segments
// (step 5).
