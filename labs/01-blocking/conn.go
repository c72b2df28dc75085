package blocking

// Step 1 (echo) and step 2 (deadlines) go here: one connection, from its first
// byte to its end.
