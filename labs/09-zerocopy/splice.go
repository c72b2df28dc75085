package zerocopy

// From the file into a pipe, from the pipe into the socket (step 1).
