package main

import (
	"encoding/binary"
	"fmt"
)

// A message is a head, which says who sent it and where it belongs, and a body
// that follows from that: whoever has a message can say whether any bit of it is
// another than was sent, and what the ones before it were.
const headSize = 40

const magic = 0x6b616f73 // "soak"

// head is the beginning of a message.
type head struct {
	flow  uint64 // number of the direction in which it is sent
	seq   uint64 // its number there, from 0
	off   uint64 // bytes of all messages before it
	pid   uint32 // of the process that sends it
	flags uint32
}

// The flags of a head.
const (
	byChild  uint32 = 1 << iota // the process is a child, named after the flow
	passing                     // one descriptor is passed with it
	headless                    // never sent: who sent it is not known
)

// sizes of messages: beside the bounds of what is copied at once, and of pages.
var sizes = [...]int{41, 64, 101, 64, 41, 1024, 333, 101, 64, 4096, 41, 4099, 101, 64, 16_411, 33_001}

// largest is the largest message.
const largest = 33_001

// sizeOf is the length of a message. Every third flow has small ones only.
func sizeOf(flow, seq uint64) int {
	n := uint64(len(sizes))
	if flow%3 == 0 {
		n = 5
	}
	return sizes[mix(flow<<32^seq)%n]
}

// sizeOfAll is the length of several messages.
func sizeOfAll(flow, first, end uint64) (n uint64) {
	for seq := first; seq < end; seq++ {
		n += uint64(sizeOf(flow, seq))
	}
	return n
}

// mix is the finalizer of splitmix64 (Steele, Lea, Flood, OOPSLA 2014).
func mix(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// message makes the one of a head in dst, which has room for the largest and 8
// bytes more.
func (h *head) message(dst []byte) []byte {
	n := sizeOf(h.flow, h.seq)
	le := binary.LittleEndian
	le.PutUint32(dst, magic)
	le.PutUint32(dst[4:], h.pid)
	le.PutUint64(dst[8:], h.flow)
	le.PutUint64(dst[16:], h.seq)
	le.PutUint64(dst[24:], h.off)
	le.PutUint32(dst[32:], uint32(n))
	le.PutUint32(dst[36:], h.flags)
	x := mix(h.flow ^ mix(h.seq))
	for i := headSize; i < n; i += 8 {
		x += 0x9e3779b97f4a7c15
		le.PutUint64(dst[i:], x*0xbf58476d1ce4e5b9)
	}
	return dst[:n]
}

// room is a buffer for a message.
func room() []byte { return make([]byte, largest+8) }

// headOf reads the head of a message; it is false of anything else.
func headOf(b []byte) (h head, ok bool) {
	if len(b) < headSize {
		return h, false
	}
	le := binary.LittleEndian
	h = head{pid: le.Uint32(b[4:]), flow: le.Uint64(b[8:]), seq: le.Uint64(b[16:]), off: le.Uint64(b[24:]), flags: le.Uint32(b[36:])}
	return h, le.Uint32(b) == magic && int(le.Uint32(b[32:])) == sizeOf(h.flow, h.seq)
}

// commOf is the name of a child.
func commOf(flow uint64) string { return fmt.Sprintf("s%d", flow) }
