package partition

// Forgetting goes here: the keys that are left at Close (step 4), those that are
// idle (step 6), and the one that makes room (step 7).
