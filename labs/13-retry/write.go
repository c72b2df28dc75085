package retry

// The writer of a connection goes here: it gives calls their ids and the time that
// they have left, and writes all that has gathered with one write (step 3).
