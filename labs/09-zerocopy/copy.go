package zerocopy

// pread and write, through a buffer of 64 KiB (step 1).
