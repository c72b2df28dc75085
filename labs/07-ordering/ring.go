package ordering

// Step 2 (the window) goes here: a ring of slots with one bit for each, which
// knows where a number's slot is, whether a message waits in it, and how many
// numbers are missing from one on.
