package capture

// payloads keeps the bytes of packets that are held: one after the other, in
// blocks that are used again when no packet needs them. So what is kept goes by
// the bytes that are held, not by the longest that a packet once had.
type payloads struct {
	filling *payloadBlock
	free    []*payloadBlock
}

type payloadBlock struct {
	bytes   []byte
	packets int // that have their payload here
}

// The size of a block, in which any packet's payload has room, and how many are
// kept for the next packets.
const (
	payloadBlockSize = 256 << 10
	maxFreeBlocks    = 32
)

// keep copies a payload. The copy is valid until its block is given to drop.
func (s *payloads) keep(payload []byte) ([]byte, *payloadBlock) {
	b := s.filling
	if b == nil || len(b.bytes)+len(payload) > cap(b.bytes) {
		b = s.next(len(payload))
	}
	at := len(b.bytes)
	b.bytes = append(b.bytes, payload...)
	b.packets++
	return b.bytes[at:len(b.bytes):len(b.bytes)], b
}

// next begins another block, with room for so many bytes.
func (s *payloads) next(room int) *payloadBlock {
	if n := len(s.free); n > 0 && room <= payloadBlockSize {
		s.filling, s.free = s.free[n-1], s.free[:n-1]
	} else {
		s.filling = &payloadBlock{bytes: make([]byte, 0, max(room, payloadBlockSize))}
	}
	return s.filling
}

// drop says that a packet's payload is not needed any more.
func (s *payloads) drop(b *payloadBlock) {
	if b.packets--; b.packets > 0 {
		return
	}
	b.bytes = b.bytes[:0]
	if b != s.filling && cap(b.bytes) == payloadBlockSize && len(s.free) < maxFreeBlocks {
		s.free = append(s.free, b)
	}
}
