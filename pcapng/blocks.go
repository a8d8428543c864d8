package pcapng

import "encoding/binary"

// The types of pcapng blocks, section 10.1 of draft-ietf-opsawg-pcapng.
const (
	blockInterface    = 1
	blockOldPacket    = 2
	blockSimplePacket = 3
	blockStats        = 5
	blockPacket       = 6
	blockSection      = 0x0a0d0d0a
	byteOrderMagic    = 0x1a2b3c4d
)

// The codes of options: of any block, and of each.
const (
	optionEnd     = 0
	optionComment = 1

	optionHardware    = 2 // Section Header
	optionOS          = 3
	optionApplication = 4

	optionName        = 2 // Interface Description
	optionDescription = 3
	optionResolution  = 9
	optionTimeOffset  = 14

	optionDropCount = 4 // Enhanced Packet

	optionStartTime = 2 // Interface Statistics
	optionEndTime   = 3
	optionReceived  = 4
	optionIfDropped = 5
	optionAccepted  = 6
	optionOSDropped = 7
)

// blockOptions walks the options of a block. The first that does not fit is
// an error; a block may end without an end of options.
type blockOptions struct {
	left  []byte
	order binary.ByteOrder
	err   error
}

func (o *blockOptions) next() (code uint16, value []byte, ok bool) {
	if len(o.left) == 0 || o.err != nil {
		return 0, nil, false
	}
	if len(o.left) < 4 {
		o.err = damaged("%d bytes left, too few for an option", len(o.left))
		return 0, nil, false
	}
	code, size := o.order.Uint16(o.left), int(o.order.Uint16(o.left[2:]))
	if code == optionEnd {
		return 0, nil, false
	}
	padded := 4 + (size+3)&^3
	if padded > len(o.left) {
		o.err = damaged("option %d of %d bytes, %d left in the block", code, size, len(o.left)-4)
		return 0, nil, false
	}
	value = o.left[4 : 4+size : 4+size]
	o.left = o.left[padded:]
	return code, value, true
}

// uint64 is the value of an option of eight bytes.
func (o *blockOptions) uint64(code uint16, value []byte) uint64 {
	if len(value) != 8 {
		o.err = damaged("option %d of %d bytes, should be 8", code, len(value))
		return 0
	}
	return o.order.Uint64(value)
}
