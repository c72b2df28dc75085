package zerocopy

// An answer before it is sent: status, header lines, a piece of a file or a text
// (step 3).
