package epoll

// What the loop keeps for one connection goes here: its descriptor, and the
// bytes it is owed. An idle connection holds no buffer.
