package queue

// What Open does with what it finds: read the segments (step 1), cut off a torn
// tail, refuse what is damaged (step 3), believe an index that is right (step 5).
