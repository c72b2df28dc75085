package partition

// The table of a shard's keys goes here: a map (step 4), in the order of use
// (step 6), that gives its memory back.
