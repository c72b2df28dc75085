package zerocopy

// A pipe, the bytes it holds, and who may use it next (steps 1 and 5).
