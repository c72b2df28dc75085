package retry

// The payloads of lab 03's frames. All numbers are big-endian.
//
//	            from client                                   from server
//	hello    1  version u8, session u64, push u64
//	welcome  2                                                session u64, resumed u8
//	call     3  id u64, settled u64, left u32, n u8, key n, body
//	cancel   4  id u64
//	reply    5                                                id u64, status u8, body
//	push     6                                                seq u64, body
//	ack      7  seq u64
//	ping     8  -
//	pong     9                                                -
//
// A hello is first, and nothing follows before its welcome. version is 1. session
// is 0 for a new one; push is the last push received in it. A call's ids ascend
// within a session: what is sent again has the id it had, and comes before all
// that is new. Every id below settled is answered or given up. left is the time
// that the call still has, in milliseconds, at least 1; 0 means no bound. Pushes
// of a session have the numbers 1, 2, 3; an ack is for all up to seq.
//
// The status of a reply:
//
//	0 done     body is the handler's
//	1 failed   body is the text of the handler's error
//	2 expired  its time was over before work on it began
//	3 busy     refused before work on it began
//	4 unknown  seen before, and the answer is forgotten
//
// Give these numbers names, and write what takes frames apart (step 3).
