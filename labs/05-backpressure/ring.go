package backpressure

// A queue of one priority goes here: a ring that grows (step 1), and gives up its
// newest message as well as its oldest (step 2).
