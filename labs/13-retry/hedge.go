package retry

// The second copies of slow calls go here (step 6).
