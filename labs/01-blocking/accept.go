package blocking

// Step 3 (admission) and step 4 (accept errors) go here: how one connection is
// let in, and what happens when Accept fails.
