package retry

// The attempts go here: one copy of a call on its way to one endpoint, the lists
// that they are in, and the choice of the endpoint (steps 3 and 6).
