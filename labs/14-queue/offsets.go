package queue

// The group's file goes here: what is done, replaced as a whole, on the disk
// before Ack returns (step 8).
