package stream

import (
	"errors"

	"github.com/nats-io/nats.go"
)

// The causes that errors of this package have in their chain.
var (
	ErrAddress     = errors.New("wrong address")             // it names no stream
	ErrMessage     = errors.New("no message of sockcap")     // of a stream: it is left out
	ErrSubjects    = errors.New("does not take the subject") // a stream that somebody else has made
	ErrNoStream    = errors.New("no such stream")            // to read
	ErrNoHost      = errors.New("no name of a host")         // to publish as
	ErrNoAnswer    = errors.New("no answer")                 // of a server, in time
	ErrUndelivered = errors.New("not stored")                // at the end
	ErrClosed      = errors.New("publisher is closed")       // writing after Close
)

// What a server says that does not let us in.
var (
	ErrUnauthorized = nats.ErrAuthorization      // it does not know the user, or the password is wrong
	ErrWantsTLS     = nats.ErrSecureConnRequired // we did not encrypt
)

// Error is the error of this package.
type Error struct {
	Op      string // what was done
	Name    string // to what, without passwords
	Packets uint64 // how many ErrUndelivered is about
	Err     error
}

func (e *Error) Error() string { return e.Op + " " + e.Name + ": " + e.Err.Error() }

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }
