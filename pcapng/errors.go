package pcapng

import (
	"errors"
	"fmt"
)

// What an [Error] may be, for errors.Is. Errors of the reader or writer below
// are in its chain too.
var (
	ErrNotPcapng = errors.New("not a pcapng file")
	ErrLinkType  = errors.New("link type")              // another than LinkType to LinkTypeLast
	ErrVersion   = errors.New("unknown version")        // of the record, or of the file format
	ErrDamaged   = errors.New("damaged")                // what no writer writes
	ErrCutOff    = errors.New("cut off")                // the file ends inside a block
	ErrPacket    = errors.New("no such packet")         // what WritePacket is given cannot be written
	ErrClosed    = errors.New("capture file is closed") // writing after Close
)

// Error is the error of this package.
type Error struct {
	Op     string // what was done, to what
	Offset int64  // in the file as it was read, uncompressed; -1 where there is none
	Err    error
}

func (e *Error) Error() string {
	if e.Offset < 0 {
		return e.Op + ": " + e.Err.Error()
	}
	return fmt.Sprintf("%s at byte %d: %v", e.Op, e.Offset, e.Err)
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

func damaged(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrDamaged, fmt.Sprintf(format, args...))
}
