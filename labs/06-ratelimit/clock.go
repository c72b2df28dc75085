package ratelimit

// The clock goes here: Options.Now, or the monotonic time since the limiter was
// made (step 2).
