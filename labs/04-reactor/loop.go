package reactor

// One loop goes here: lab 03's, the goroutine that it belongs to, its number, its
// counter of connections, its wheel. Make its eventfd outside and lend it
// (eventloop.Options.WakeFD): step 2, and step 9 says why.
