package ordering

// Step 6 (a window that slides) goes here: making room for a number beyond the
// window.
