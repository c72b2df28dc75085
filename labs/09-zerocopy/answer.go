package zerocopy

// What to answer: which file, whether it may be, whether it is wanted at all (step 3).
