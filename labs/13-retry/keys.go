package retry

// The idempotency keys go here: those under way, and a bounded number of those
// that are done (step 9).
