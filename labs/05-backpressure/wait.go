package backpressure

// Those who wait go here: a line of senders for each priority and one of
// receivers, how they are served, and how they give up (steps 3 and 4).
