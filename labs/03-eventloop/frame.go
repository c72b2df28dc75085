package eventloop

// Framing goes here: find the complete frames in what was read. A frame is a
// 4-byte big-endian length and that many bytes.
