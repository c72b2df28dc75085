package workerpool

// PanicError is the result of a task that has panicked.
type PanicError struct {
	Value any    // what it panicked with
	Stack string // of the task, at the panic
}

// Error says what it was, without the stack.
func (e *PanicError) Error() string {
	return "" // not implemented: step 4, what tasks do wrong
}
