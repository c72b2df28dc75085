package eventloop

// System calls that deserve a wrapper go here, if you find any.
