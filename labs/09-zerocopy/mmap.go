package zerocopy

// A mapping, and write from it (step 1).
