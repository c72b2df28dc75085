package zerocopy

// Range and If-Range (step 3).
