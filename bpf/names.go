package bpf

import (
	"encoding/binary"
)

// How the programs' table of judged names is made: see struct name_set.
const (
	NameWays   = 4
	NameSets   = 4096
	NameJudged = 1 << 63 // of a verdict; the bits below are the filter's own
	NameBits   = 63
)

// NameOf is the programs' number for the address of a socket, as [Socket] has
// it, and the file that it made: name_of in filter.h. It is 0 for no address.
func NameOf(seed uint64, address []byte, file uint64, device uint32) uint64 {
	if len(address) == 0 {
		return 0
	}
	h := mix(seed, uint64(len(address)))
	if file != 0 {
		h = mix(mix(h, file), uint64(device))
	}
	for len(address) > 0 {
		var word [8]byte
		n := copy(word[:], address)
		h = mix(h, binary.LittleEndian.Uint64(word[:]))
		address = address[n:]
	}
	return max(mix(h, h>>29), 1)
}

func mix(h, word uint64) uint64 {
	h = (h ^ word) * 0x9e3779b97f4a7c15
	return h ^ h>>32
}
