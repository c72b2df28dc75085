package eventloop

// epoll itself goes here: the instance, epoll_ctl, epoll_wait, and the eventfd
// that ends a wait.
