package partition

// A shard's queue goes here: a ring that is bounded, those who wait for room in
// it, and how they give up (step 1 without the wait, step 3 with it).
