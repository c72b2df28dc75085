package zerocopy

// What the four ways have in common goes here: the file as it was (step 2), and
// the one place where a system call is made again until the socket has room (step 1).
