package ratelimit

// A window of latencies goes here, of which a quantile can be asked: bounded,
// however many come (step 7).
