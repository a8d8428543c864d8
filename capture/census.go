package capture

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/cilium/ebpf"
)

// The layout of struct socket_state, as far as is read here.
const (
	stateNumberAt  = 0
	stateClosedAt  = 44
	stateSentAt    = 96
	stateSkippedAt = 104
	stateSize      = 128
)

// registered is what the kernel side's own map says of a socket. One that is not
// in it never comes again under its number.
type registered struct {
	number uint64
	closed bool // this was told of, or was to be
	sent   sentAll
}

// census walks that map, some sockets at a time, while it changes: what is in it
// from the first call of next to the last is seen. It is for one goroutine.
type census struct {
	sockets *ebpf.Map
	cursor  ebpf.MapBatchCursor
	keys    []uint64
	states  [][stateSize]byte
}

// censusPortion is how many sockets next looks at: some tenths of a millisecond.
const censusPortion = 2048

func (p *programs) census() *census {
	return &census{sockets: p.coll.Maps["sockets"], keys: make([]uint64, censusPortion), states: make([][stateSize]byte, censusPortion)}
}

// next calls each for some more sockets; done says that these were the last.
func (c *census) next(each func(registered)) (done bool, err error) {
	if size := c.sockets.ValueSize(); size != stateSize {
		return false, fmt.Errorf("a socket's state has %d bytes, not %d", size, stateSize)
	}
	n, err := c.sockets.BatchLookup(&c.cursor, c.keys, c.states, nil)
	if done = errors.Is(err, ebpf.ErrKeyNotExist); done {
		err = nil
	}
	for i := range n {
		state := &c.states[i]
		word := func(at int) uint64 { return binary.NativeEndian.Uint64(state[at:]) }
		each(registered{word(stateNumberAt), state[stateClosedAt] != 0, sentAll{word(stateSentAt), word(stateSkippedAt)}})
	}
	return done, err
}
