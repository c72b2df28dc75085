package queue

// Where in a segment an offset is: an entry for every IndexBytes, and its file
// (step 5).
