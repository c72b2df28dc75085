package ordering

// Step 4 (gaps) goes here: what is known of numbers that are missing, and since
// when. Step 5 adds when they are asked for next.
