package retry

// The alarms go here: what is to be done at a time, for thousands of calls, with
// one timer (steps 4 and 5). A heap of records that live inside of what they are
// for; lab 03's timers are the model.
