package epoll

// One connection's turn goes here: read what has arrived, write it back, keep
// what the kernel does not take, and decide what to wait for next.
