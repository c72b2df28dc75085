package batching

// Messages that are written together go here: copied ones and owned ones, in
// order (steps 1 and 2), and whom to tell when they are written (step 4).
