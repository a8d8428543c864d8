package main

import (
	"encoding/binary"
	"math/rand/v2"
	"sync"

	"github.com/sockcap/sockcap/pcapng"
)

// echo tells which captured packets carry what sockcap itself has written. A
// terminal, docker attach, tmux or journald may pass that on over a Unix
// socket, hop by hop; to tell of it would be written, passed on, told of again,
// without end. What is written is known by how each packet's line, or block,
// begins, so a carrier is found wherever it is and whoever it is; but not where
// -s or --redact left that in the kernel, or where it is said in other words: see
// breaker. Its methods may be called from any goroutine.
type echo struct {
	mu       sync.Mutex
	base     uint64 // of the hash: random, so that nobody can make a payload that only looks like it
	power    uint64 // base to the echoWidth - 1
	young    map[uint64]struct{}
	old      map[uint64]struct{}
	maybe    [1 << 14]uint64 // a bit for each hash: most windows need no map
	carriers leftOut
	found    func(*pcapng.Packet) // is told of each new carrier
	left     uint64               // data packets that were left out
}

// echoWidth is how many bytes of a line or block are looked for: a time is
// always among them, unless -t leaves it out.
const echoWidth = 40

// echoMost is how many lines are remembered, and as many again.
const echoMost = 1 << 15

func newEcho(found func(*pcapng.Packet)) *echo {
	e := &echo{
		base: rand.Uint64() | 1, power: 1, found: found,
		young: make(map[uint64]struct{}),
	}
	for range echoWidth - 1 {
		e.power *= e.base
	}
	return e
}

// wrote notes what is being written of one packet. A line that is too short to
// be told from what others may say is not looked for.
func (e *echo) wrote(line []byte) {
	if e == nil || len(line) < echoWidth {
		return
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if len(e.young) >= echoMost {
		e.old, e.young = e.young, make(map[uint64]struct{})
		clear(e.maybe[:])
		for h := range e.old {
			e.mark(h)
		}
	}
	h := e.hash(line[:echoWidth])
	e.young[h] = struct{}{}
	e.mark(h)
}

// wroteBlocks notes the packets of whole pcapng blocks.
func (e *echo) wroteBlocks(blocks []byte) {
	const packet = 6 // Enhanced Packet Block
	for e != nil && len(blocks) >= echoWidth {
		size := int(binary.LittleEndian.Uint32(blocks[4:]))
		if binary.LittleEndian.Uint32(blocks) == packet {
			e.wrote(blocks)
		}
		if size <= 0 || size > len(blocks) {
			return
		}
		blocks = blocks[size:]
	}
}

// hash is that of one window. (Rabin and Karp's: that of the next window is
// made from it, one byte out and one in.)
func (e *echo) hash(window []byte) uint64 {
	var h uint64
	for _, c := range window {
		h = h*e.base + uint64(c)
	}
	return h
}

// place is where a hash's bit is. The lower bits of the hash depend on the
// lower bits of the bytes only.
func place(h uint64) (word int, bit uint64) {
	return int(h >> 50), 1 << (h >> 44 & 63)
}

func (e *echo) mark(h uint64) {
	word, bit := place(h)
	e.maybe[word] |= bit
}

// carries reports whether p is to be left out: it is, or was once, among what
// passes our own output on.
func (e *echo) carries(p *pcapng.Packet) bool {
	if e == nil {
		return false
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	known := e.carriers.has(p.ConnID)
	if !known && !e.repeats(p.Data) {
		return false
	}
	if !known && p.ConnID != 0 {
		e.carriers.add(p.ConnID)
		e.found(p)
	}
	if p.Event == pcapng.EventData {
		e.left++
	}
	return true
}

// repeats reports whether something that was written is in data.
func (e *echo) repeats(data []byte) bool {
	if len(data) < echoWidth || len(e.young)+len(e.old) == 0 {
		return false
	}
	h := e.hash(data[:echoWidth])
	for i := echoWidth; ; i++ {
		if word, bit := place(h); e.maybe[word]&bit != 0 && e.knows(h) {
			return true
		}
		if i == len(data) {
			return false
		}
		h = (h-uint64(data[i-echoWidth])*e.power)*e.base + uint64(data[i])
	}
}

func (e *echo) knows(h uint64) bool {
	_, young := e.young[h]
	_, old := e.old[h]
	return young || old
}

// leftOut is how many data packets were left out.
func (e *echo) leftOut() uint64 {
	if e == nil {
		return 0
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.left
}
