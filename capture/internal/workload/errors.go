package workload

import "errors"

// ErrNotPossible is why a case did not run: this kernel lacks what it needs.
var ErrNotPossible = errors.New("not possible on this kernel")

// Error is this package's error: the operation, the case or call that it was
// on, and the cause. Its text is one line, "op name: cause".
type Error struct {
	Op   string
	Name string
	Err  error
}

func (e *Error) Error() string {
	s := e.Op
	if e.Name != "" {
		s += " " + e.Name
	}
	return s + ": " + e.Err.Error()
}

func (e *Error) Unwrap() error { return e.Err }

// opError keeps nil nil.
func opError(op, name string, err error) error {
	if err == nil {
		return nil
	}
	return &Error{Op: op, Name: name, Err: err}
}
