package pcapng

import (
	"encoding/binary"
	"fmt"
	"math"
	"time"
)

// Frame is a packet of a link type that has no records: its bytes, and what
// stands beside them in a file.
type Frame struct {
	Host      int
	Time      time.Time
	Data      []byte   // the whole packet, at most MaxRecord bytes
	Comments  [][]byte // opt_comments; what is longer than 65,535 bytes is cut
	DropCount uint64   // epb_dropcount
}

// WriteFrame writes a packet as it is, for a file whose link type says what it
// is. It does not keep f. As in WritePacket, no time goes back, interfaces
// that are missing are added, and ErrPacket means that nothing was written.
func (w *Writer) WriteFrame(f *Frame) error {
	if w.err != nil {
		return w.err
	}
	switch {
	case f.Host < 0 || f.Host >= maxInterfaces:
		return &Error{"write packet", -1, fmt.Errorf("%w: host %d", ErrPacket, f.Host)}
	case len(f.Data) > MaxRecord:
		return &Error{"write packet", -1, fmt.Errorf("%w: %d bytes, more than %d", ErrPacket, len(f.Data), MaxRecord)}
	}
	if err := w.describeHost(f.Host); err != nil {
		return err
	}
	w.last = max(w.last, nanoseconds(f.Time))
	le := binary.LittleEndian
	start := len(w.buf)
	b := append(le.AppendUint32(w.buf, blockPacket), 0, 0, 0, 0) // length
	b = appendTimestamp(le.AppendUint32(b, uint32(f.Host)), w.last)
	b = le.AppendUint32(b, uint32(len(f.Data)))
	b = append(le.AppendUint32(b, uint32(len(f.Data))), f.Data...)
	b = append(b, "\x00\x00\x00"[:-len(f.Data)&3]...)
	for _, c := range f.Comments {
		option := len(b)
		b = endOption(append(beginOption(b, optionComment), c[:min(len(c), math.MaxUint16)]...), option)
	}
	w.buf = endBlock(endPacketOptions(b, f.DropCount), start)
	return w.flushFull()
}
