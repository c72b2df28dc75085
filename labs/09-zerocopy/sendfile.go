package zerocopy

// sendfile(2), with an offset of your own (step 1).
