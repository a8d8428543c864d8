package wireshark_test

import (
	"bytes"
	"encoding/binary"
	"time"

	"github.com/sockcap/sockcap/pcapng"
)

// appendRecord appends the packet's record.
func appendRecord(b []byte, p *pcapng.Packet) []byte {
	return append(pcapng.AppendRecordHeader(b, p), p.Data...)
}

// captureFile is a pcapng file of the records as they are, a millisecond apart:
// also of those that pcapng.Writer would refuse to write.
func captureFile(records [][]byte, lens []uint32, at time.Time) []byte {
	le := binary.LittleEndian
	var f bytes.Buffer
	block := func(kind uint32, body []byte) {
		for len(body)%4 != 0 {
			body = append(body, 0)
		}
		n := uint32(len(body) + 12)
		f.Write(le.AppendUint32(append(append(le.AppendUint32(le.AppendUint32(nil, kind), n), body...), le.AppendUint32(nil, n)...), 0)[:n])
	}
	block(0x0a0d0d0a, []byte{0x4d, 0x3c, 0x2b, 0x1a, 1, 0, 0, 0, 255, 255, 255, 255, 255, 255, 255, 255})
	block(1, []byte{147, 0, 0, 0, 0, 0, 4, 0, 9, 0, 1, 0, 9, 0, 0, 0, 0, 0, 0, 0})
	for i, r := range records {
		ns := uint64(at.Add(time.Duration(i) * time.Millisecond).UnixNano())
		b := le.AppendUint32(nil, 0)
		b = le.AppendUint32(b, uint32(ns>>32))
		b = le.AppendUint32(b, uint32(ns))
		b = le.AppendUint32(b, uint32(len(r)))
		b = le.AppendUint32(b, lens[i])
		block(6, append(b, r...))
	}
	return f.Bytes()
}
