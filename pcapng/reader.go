package pcapng

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"iter"
	"slices"
)

// maxBlockLen is the longest block that is looked into, as in Wireshark; those
// of other types may be longer.
const maxBlockLen = 16 << 20

// maxTexts bounds what interfaces may say of themselves, all together, in
// bytes: of each may be 64 KiB of several texts, and there may be 65,536.
const maxTexts = 16 << 20

// Reader reads a capture file: of either byte order, of several sections and
// interfaces, of any resolution of time. Blocks of other types are skipped, so
// are comments. Its methods are for one goroutine at a time.
type Reader struct {
	in      *bufio.Reader
	at      int64 // where the block being read begins
	next    int64 // where the one after it does
	order   binary.ByteOrder
	buf     []byte // a block that is longer than in's buffer
	section Section
	link    int // of the first interface
	hosts   []host
	texts   int // bytes of what hosts say of themselves
	first   int // host of the section's first interface
	packet  Packet
	err     error
}

// Section is what a file says of itself.
type Section struct {
	Hardware    string
	OS          string
	Application string
}

// host is an interface and what its times mean.
type host struct {
	Interface
	clock clock
}

// NewReader reads the beginning of a capture file, up to its first interface.
// It fails with an [*Error]: ErrNotPcapng, ErrLinkType, or any that Packets
// can yield.
func NewReader(r io.Reader) (*Reader, error) {
	d := &Reader{in: bufio.NewReaderSize(r, 64<<10), order: binary.LittleEndian}
	if err := d.readSignature(); err != nil {
		return nil, err
	}
	for len(d.hosts) == 0 {
		if _, err := d.readBlock(); err == io.EOF {
			break // a section without anything in it
		} else if err != nil {
			return nil, err
		}
	}
	return d, nil
}

// readSignature looks whether the file begins as a pcapng file does.
func (r *Reader) readSignature() error {
	b, err := r.in.Peek(4)
	const signature = "\n\r\r\n"
	switch {
	case string(b) == signature:
		return nil
	case string(b) != signature[:len(b)]:
		return r.fail("file", fmt.Errorf("%w: begins with % x", ErrNotPcapng, b))
	}
	return r.failRead(err)
}

// Section returns the description of the file's first section.
func (r *Reader) Section() Section { return r.section }

// LinkType returns that of the file's first interface, LinkType to
// LinkTypeLast, and 0 if the file has no interface.
func (r *Reader) LinkType() int { return r.link }

// Interfaces returns the interfaces read so far, with their latest statistics,
// in the order in which Packet.Host counts them: through all sections.
func (r *Reader) Interfaces() []Interface {
	all := make([]Interface, len(r.hosts))
	for i := range r.hosts {
		all[i] = r.hosts[i].Interface
	}
	return all
}

// Interface returns the i-th of Interfaces.
func (r *Reader) Interface(i int) Interface { return r.hosts[i].Interface }

// Packets yields the packets in the order of the file. A packet, its Data and
// all it points to, is valid until the next iteration; [Packet.Clone] keeps
// one. An error comes at most once, as the last pair, with a nil packet: an
// [*Error] with the offset of the block that it lies in. ErrCutOff means that
// the file ends inside a block, all whole packets having been yielded;
// ErrDamaged, ErrVersion and ErrLinkType that reading on makes no sense. Errors
// of the io.Reader are in its chain. After a break, a second call goes on where
// the first one stopped.
func (r *Reader) Packets() iter.Seq2[*Packet, error] {
	return func(yield func(*Packet, error) bool) {
		for r.err == nil {
			p, err := r.readBlock()
			switch {
			case err == io.EOF:
				return
			case err != nil:
				yield(nil, err)
				return
			case p != nil && !yield(p, nil):
				return
			}
		}
	}
}

// readBlock reads one block, which may be a packet. io.EOF is the end of the
// file.
func (r *Reader) readBlock() (*Packet, error) {
	r.at = r.next
	kind, n, err := r.readHead()
	if err != nil {
		return nil, err
	}
	r.next = r.at + int64(n)
	op, handle := r.handler(kind)
	if handle == nil {
		return nil, r.skip(n)
	}
	if n > maxBlockLen {
		return nil, r.fail(op, damaged("block of %d bytes", n))
	}
	block, err := r.block(int(n))
	if err != nil {
		return nil, err
	}
	if end := r.order.Uint32(block[n-4:]); end != n {
		return nil, r.fail(op, damaged("length %d before, %d after it", n, end))
	}
	p, err := handle(block[8 : n-4 : n-4])
	if err != nil {
		return nil, r.fail(op, err)
	}
	return p, nil
}

// handler is what a block is called and what is done with its body, nil if it
// is skipped.
func (r *Reader) handler(kind uint32) (string, func([]byte) (*Packet, error)) {
	switch kind {
	case blockSection:
		return "section", r.onSection
	case blockInterface:
		return "interface", r.onInterface
	case blockPacket:
		return "packet", r.onPacket
	case blockStats:
		return "statistics", r.onStats
	case blockSimplePacket, blockOldPacket:
		return "packet", r.onOtherPacket
	}
	return "block", nil
}

// readHead looks at type and length of a block, and of a section at its byte
// order. It takes nothing.
func (r *Reader) readHead() (kind, n uint32, err error) {
	b, err := r.in.Peek(8)
	if len(b) == 0 && err == io.EOF {
		return 0, 0, io.EOF
	}
	if err != nil {
		return 0, 0, r.failRead(err)
	}
	least := uint32(12)
	if kind = r.order.Uint32(b); kind == blockSection {
		if b, err = r.in.Peek(12); err != nil {
			return 0, 0, r.failRead(err)
		}
		switch uint32(byteOrderMagic) {
		case binary.LittleEndian.Uint32(b[8:]):
			r.order = binary.LittleEndian
		case binary.BigEndian.Uint32(b[8:]):
			r.order = binary.BigEndian
		default:
			return 0, 0, r.fail("section", damaged("byte order magic % x", b[8:]))
		}
		least = 28
	}
	n = r.order.Uint32(b[4:])
	if n < least || n%4 != 0 {
		return 0, 0, r.fail("block", damaged("length %d", n))
	}
	return kind, n, nil
}

// block takes a block of n bytes: where it lies, if it has room there. It is
// valid until something else is read.
func (r *Reader) block(n int) ([]byte, error) {
	if n > r.in.Size() {
		return r.long(n)
	}
	b, err := r.in.Peek(n)
	if err != nil {
		return nil, r.failRead(err)
	}
	r.in.Discard(n) // they are there
	return b, nil
}

// long reads a block into r.buf, which grows as the bytes come: a length is not
// believed.
func (r *Reader) long(n int) ([]byte, error) {
	r.buf = r.buf[:0]
	for len(r.buf) < n {
		step := min(n-len(r.buf), max(len(r.buf), 64<<10))
		r.buf = slices.Grow(r.buf, step)
		have := len(r.buf)
		r.buf = r.buf[:have+step]
		if _, err := io.ReadFull(r.in, r.buf[have:]); err != nil {
			return nil, r.failRead(err)
		}
	}
	return r.buf, nil
}

// skip passes over a block of n bytes, but looks at its second length.
func (r *Reader) skip(n uint32) error {
	for left := int64(n) - 4; left > 0; {
		took, err := r.in.Discard(int(min(left, 1<<30)))
		if left -= int64(took); err != nil {
			return r.failRead(err)
		}
	}
	b, err := r.in.Peek(4)
	if err != nil {
		return r.failRead(err)
	}
	if end := r.order.Uint32(b); end != n {
		return r.fail("block", damaged("length %d before, %d after it", n, end))
	}
	r.in.Discard(4) // they are there
	return nil
}

// failRead is fail with an error of the reader below: where a file ends inside
// a block, and where a compressed one ends inside itself, it is cut off.
func (r *Reader) failRead(err error) error {
	if err == io.EOF || errors.Is(err, io.ErrUnexpectedEOF) {
		err = ErrCutOff
	}
	return r.fail("block", err)
}

func (r *Reader) fail(op string, err error) error {
	r.err = &Error{Op: op, Offset: r.at, Err: err}
	return r.err
}
