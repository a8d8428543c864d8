package main

import (
	"encoding/binary"
	"strconv"
)

// dbusMessage is the header of one message, and its first argument if that is
// text. Its parts are in the payload.
type dbusMessage struct {
	kind                           byte
	serial, reply                  uint32
	path, iface, member, errorName []byte
	signature, argument            []byte
	hasArgument                    bool
	size                           uint64
}

// The types of messages.
const (
	dbusCall   = 1
	dbusReturn = 2
	dbusError  = 3
	dbusSignal = 4
)

// dbus: messages of the D-Bus protocol, version 1.
func (s *saying) dbus(data []byte) bool {
	for n := 0; ; n++ {
		m, ok := parseDBus(data)
		if !ok {
			s.cut = s.cut || n > 0
			return n > 0
		}
		s.next(n)
		s.message(&m)
		if m.size >= uint64(len(data)) || s.cut {
			return true
		}
		data = data[m.size:]
	}
}

func (s *saying) message(m *dbusMessage) {
	switch m.kind {
	case dbusCall:
		s.words("call #")
		s.number(uint64(m.serial))
		s.words(" ")
	case dbusReturn:
		s.words("reply #")
		s.number(uint64(m.reply))
		if len(m.signature) > 0 {
			s.words(" ")
		}
	case dbusError:
		s.words("error #")
		s.number(uint64(m.reply))
		s.words(" ")
		s.text(m.errorName)
		if m.hasArgument {
			s.words(": ")
			s.text(m.argument)
		}
		return
	case dbusSignal:
		s.words("signal ")
	}
	if len(m.iface) > 0 {
		s.text(m.iface)
		s.words(".")
	}
	s.text(m.member)
	s.arguments(m)
	if m.kind == dbusCall {
		s.words(" on ")
		s.text(m.path)
	}
}

// arguments appends the first argument, if it is text, and whether there are
// more or others.
func (s *saying) arguments(m *dbusMessage) {
	switch {
	case m.hasArgument && len(m.signature) > 1:
		s.words("(")
		s.quoted(m.argument)
		s.words(", ..)")
	case m.hasArgument:
		s.words("(")
		s.quoted(m.argument)
		s.words(")")
	case len(m.signature) > 0:
		s.words("(..)")
	case m.kind != dbusReturn:
		s.words("()")
	}
}

func (s *saying) number(n uint64) {
	var digits [20]byte
	s.text(strconv.AppendUint(digits[:0], n, 10))
}

// parseDBus reads the header at the beginning of data. All of it has to be
// there and right; the body may be cut off.
func parseDBus(data []byte) (m dbusMessage, ok bool) {
	if len(data) < 16 || data[0] != 'l' && data[0] != 'B' || data[1] < dbusCall || data[1] > dbusSignal || data[2] > 7 || data[3] != 1 {
		return m, false
	}
	number := func(at int) uint32 {
		if data[0] == 'l' {
			return binary.LittleEndian.Uint32(data[at:])
		}
		return binary.BigEndian.Uint32(data[at:])
	}
	body, length := number(4), number(12)
	m.kind, m.serial = data[1], number(8)
	if m.serial == 0 || body > 1<<27 || uint64(length) > uint64(len(data)-16) {
		return m, false
	}
	end := 16 + int(length)
	header := (end + 7) &^ 7
	m.size = uint64(header) + uint64(body)
	if header > len(data) {
		return m, false
	}
	for at := 16; at < end; {
		at = (at + 7) &^ 7
		if end-at < 6 || data[at+1] != 1 || data[at+3] != 0 {
			return m, false
		}
		code, kind := data[at], data[at+2]
		at += 4
		if code == 0 || code > 9 || kind != " osssussgu"[code] {
			return m, false
		}
		var value []byte
		switch kind {
		case 'u':
			if end-at < 4 {
				return m, false
			}
			if code == 5 {
				m.reply = number(at)
			}
			at += 4
			continue
		case 'g':
			value, at, ok = nulTerminated(data[:end], at+1, uint32(data[at]))
		default:
			if end-at < 5 {
				return m, false
			}
			value, at, ok = nulTerminated(data[:end], at+4, number(at))
		}
		if !ok {
			return m, false
		}
		switch code {
		case 1:
			m.path = value
		case 2:
			m.iface = value
		case 3:
			m.member = value
		case 4:
			m.errorName = value
		case 8:
			m.signature = value
		}
	}
	for _, c := range data[end:header] {
		if c != 0 {
			return m, false
		}
	}
	if len(m.signature) > 0 && (m.signature[0] == 's' || m.signature[0] == 'o') && len(data)-header > 4 {
		n := number(header)
		if uint64(n)+5 > uint64(body) {
			return m, false
		}
		m.argument, m.hasArgument = data[header+4:], true
		m.argument = m.argument[:min(uint64(n), uint64(len(m.argument)))]
	}
	return m, m.complete()
}

// nulTerminated is the printable ASCII of n bytes at data[at:], and the place
// behind the NUL that must follow it.
func nulTerminated(data []byte, at int, n uint32) (text []byte, next int, ok bool) {
	if at > len(data) || uint64(n)+1 > uint64(len(data)-at) {
		return nil, 0, false
	}
	next = at + int(n) + 1
	text = data[at : next-1]
	for _, c := range text {
		if !isASCIIPrint(c) {
			return nil, 0, false
		}
	}
	return text, next, data[next-1] == 0
}

// complete reports whether m has the fields that its type needs.
func (m *dbusMessage) complete() bool {
	switch m.kind {
	case dbusCall:
		return len(m.path) > 0 && m.path[0] == '/' && len(m.member) > 0
	case dbusSignal:
		return len(m.path) > 0 && m.path[0] == '/' && len(m.iface) > 0 && len(m.member) > 0
	case dbusReturn:
		return m.reply != 0
	case dbusError:
		return m.reply != 0 && len(m.errorName) > 0
	}
	return false
}
