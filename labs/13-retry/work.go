package retry

// A call at the server goes here: its context, its turn, its answer (step 8).
