package zerocopy

// Waiting, and reading the error queue (step 6).
