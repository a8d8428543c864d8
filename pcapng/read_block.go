package pcapng

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"math/bits"
	"time"
)

// onSection begins a section: its interfaces are counted from the next one on.
func (r *Reader) onSection(b []byte) (*Packet, error) {
	if major := r.order.Uint16(b[4:]); major != 1 {
		return nil, fmt.Errorf("%w %d.%d of pcapng", ErrVersion, major, r.order.Uint16(b[6:]))
	}
	first := r.at == 0
	r.first = len(r.hosts)
	options := blockOptions{left: b[16:], order: r.order}
	for code, value, ok := options.next(); ok; code, value, ok = options.next() {
		switch {
		case !first:
		case code == optionHardware:
			r.section.Hardware = string(value)
		case code == optionOS:
			r.section.OS = string(value)
		case code == optionApplication:
			r.section.Application = string(value)
		}
	}
	return nil, options.err
}

func (r *Reader) onInterface(b []byte) (*Packet, error) {
	if len(b) < 8 {
		return nil, damaged("%d bytes, too few", len(b))
	}
	if len(r.hosts) == maxInterfaces {
		return nil, damaged("more than %d interfaces", maxInterfaces)
	}
	switch got := int(r.order.Uint16(b)); {
	case got == LinkTypeRaw:
		return nil, fmt.Errorf("%w %d (RAW), IP packets as sockcap -y RAW writes them for other programs: "+
			"sockcap itself cannot read them back", ErrLinkType, got)
	case !isRecordType(got):
		return nil, fmt.Errorf("%w %d, a sockcap file has %d (USER0) to %d (USER15)", ErrLinkType, got, LinkType, LinkTypeLast)
	case len(r.hosts) == 0:
		r.link = got
	}
	h := host{clock: clock{unit: 1e6}}
	options := blockOptions{left: b[8:], order: r.order}
	for code, value, ok := options.next(); ok; code, value, ok = options.next() {
		switch code {
		case optionName:
			h.Name = string(value)
		case optionDescription:
			h.Description = string(value)
		case optionResolution:
			if len(value) != 1 {
				return nil, damaged("if_tsresol of %d bytes, should be 1", len(value))
			}
			unit, err := perSecond(value[0])
			if err != nil {
				return nil, err
			}
			h.clock.unit = unit
		case optionTimeOffset:
			h.clock.offset = int64(options.uint64(code, value))
		}
	}
	if options.err != nil {
		return nil, options.err
	}
	r.hosts = append(r.hosts, h)
	return nil, r.keep(len(h.Name) + len(h.Description))
}

// keep counts n bytes of text more that are remembered of interfaces.
func (r *Reader) keep(n int) error {
	if r.texts += n; r.texts > maxTexts {
		return damaged("interfaces with more than %d bytes of text", maxTexts)
	}
	return nil
}

// host is the interface of a packet or statistics, by its number in the
// section.
func (r *Reader) host(id uint32) (int, error) {
	if have := len(r.hosts) - r.first; uint64(id) >= uint64(have) {
		return 0, damaged("interface %d, the section has %d", id, have)
	}
	return r.first + int(id), nil
}

func (r *Reader) onPacket(b []byte) (*Packet, error) {
	if len(b) < 20 {
		return nil, damaged("%d bytes, too few", len(b))
	}
	host, err := r.host(r.order.Uint32(b))
	if err != nil {
		return nil, err
	}
	at, err := r.hosts[host].clock.time(r.order, b[4:])
	if err != nil {
		return nil, err
	}
	captured, original := uint64(r.order.Uint32(b[12:])), int64(r.order.Uint32(b[16:]))
	b = b[20:]
	if captured+-captured&3 > uint64(len(b)) {
		return nil, damaged("captured length %d, block has %d bytes", captured, len(b))
	}
	p := &r.packet
	if err := decodeRecord(p, b[:captured], original); err != nil {
		return nil, err
	}
	p.Time, p.Host, p.DropCount = at, host, 0
	options := blockOptions{left: b[captured+-captured&3:], order: r.order}
	for code, value, ok := options.next(); ok; code, value, ok = options.next() {
		if code == optionDropCount {
			p.DropCount = options.uint64(code, value)
		}
	}
	return p, options.err
}

// onOtherPacket refuses the blocks for packets that are not enhanced ones: a
// Simple Packet has no time, and no program has written old ones for long.
// Passing over them would hide packets.
func (r *Reader) onOtherPacket([]byte) (*Packet, error) {
	return nil, damaged("not an enhanced packet block")
}

func (r *Reader) onStats(b []byte) (*Packet, error) {
	if len(b) < 12 {
		return nil, damaged("%d bytes, too few", len(b))
	}
	host, err := r.host(r.order.Uint32(b))
	if err != nil {
		return nil, err
	}
	s := &Stats{Host: host}
	options := blockOptions{left: b[12:], order: r.order}
	for code, value, ok := options.next(); ok && err == nil; code, value, ok = options.next() {
		switch code {
		case optionComment:
			s.Comment = string(value)
		case optionStartTime:
			s.Start, err = r.hosts[host].clock.option(&options, code, value)
		case optionEndTime:
			s.End, err = r.hosts[host].clock.option(&options, code, value)
		case optionReceived:
			s.Received = options.uint64(code, value)
		case optionIfDropped:
			s.IfDropped = options.uint64(code, value)
		case optionAccepted:
			s.Accepted = options.uint64(code, value)
		case optionOSDropped:
			s.OSDropped = options.uint64(code, value)
		}
	}
	if err == nil {
		err = options.err
	}
	if old := r.hosts[host].Stats; old != nil {
		r.keep(-len(old.Comment))
	}
	r.hosts[host].Stats = s
	return nil, cmp.Or(err, r.keep(len(s.Comment)))
}

// clock is what the timestamps of an interface mean.
type clock struct {
	unit   uint64 // how many a second, by if_tsresol
	offset int64  // if_tsoffset: seconds to add
}

// perSecond is if_tsresol as a number of units in a second: it is a negative
// power of ten or, with the top bit, of two. One too fine for 64 bits is an
// error.
func perSecond(resolution uint8) (uint64, error) {
	exponent := resolution & 0x7f
	switch binary := resolution&0x80 != 0; {
	case binary && exponent <= 63:
		return 1 << exponent, nil
	case binary || exponent > 19:
		return 0, damaged("if_tsresol %d", resolution)
	}
	unit := uint64(1)
	for range exponent {
		unit *= 10
	}
	return unit, nil
}

// time is the timestamp at the beginning of b, its upper half first.
func (c clock) time(order binary.ByteOrder, b []byte) (time.Time, error) {
	stamp := uint64(order.Uint32(b))<<32 | uint64(order.Uint32(b[4:]))
	seconds := stamp / c.unit
	high, low := bits.Mul64(stamp%c.unit, uint64(time.Second))
	rest, _ := bits.Div64(high, low, c.unit)
	if seconds < uint64(lastSecond) && c.offset < lastSecond && c.offset >= -lastSecond {
		if s := int64(seconds) + c.offset; s >= 0 && s < lastSecond {
			return time.Unix(s, int64(rest)).UTC(), nil
		}
	}
	return time.Time{}, damaged("timestamp %d, offset %d", stamp, c.offset)
}

// option is the time that an option of a block holds.
func (c clock) option(o *blockOptions, code uint16, value []byte) (time.Time, error) {
	if len(value) != 8 {
		return time.Time{}, damaged("option %d of %d bytes, should be 8", code, len(value))
	}
	return c.time(o.order, value)
}
