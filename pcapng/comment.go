package pcapng

import (
	"strconv"
	"unicode/utf8"
)

// How much of a name a comment shows, in bytes before quoting. A comment of
// names quoted in full length is still shorter than what an option can hold.
const (
	maxCommentName = 255
	maxCommentPath = 4096
)

// AppendComment appends what a person wants to know of p at first sight:
//
//	pid=27806 comm=docker path=/run/docker.sock peer.pid=2434 peer.comm=dockerd
//
// pid, comm and path come first and always, what else is known after them, by
// the names of the dissector's fields. A value is bare if it consists of ASCII
// letters, digits and _./:@+,- alone, else it is quoted as by strconv.Quote,
// so that none can pass for another key. A name longer than 255 bytes, or a
// path longer than 4,096, is cut.
func AppendComment(dst []byte, p *Packet) []byte {
	var n names
	n.of(p)
	var scratch [256]byte
	return appendComment(n.appendWho(dst), p, n.appendWhere(scratch[:0]))
}

// appendComment appends what follows in a comment on who a packet is from, and
// then where that is.
func appendComment(dst []byte, p *Packet, where []byte) []byte {
	if r := p.Reader; r != nil && r.PID != p.Peer.PID {
		dst = appendKnownNumber(dst, " reader.pid=", r.PID)
		dst = appendKnownName(dst, " reader.comm=", r.Comm)
	}
	if p.Event != EventData {
		dst = append(append(dst, " event="...), p.Event.String()...)
	}
	if p.State != 0 {
		dst = append(append(dst, " state="...), p.State.String()...)
	}
	dst = appendKnownNumber(dst, " errno=", p.Errno)
	dst = appendPassed(dst, p)
	return append(dst, where...)
}

// appendPassed appends what was passed along: how many descriptors, what it is
// if that is one, and credentials that are not the sender's own.
func appendPassed(dst []byte, p *Packet) []byte {
	dst = appendKnownNumber(dst, " fd.count=", p.FDCount)
	if p.FDCount == 1 && len(p.FDs) == 1 {
		dst = append(append(dst, " fd.kind="...), p.FDs[0].Kind.String()...)
		dst = appendKnownName(dst, " fd.name=", p.FDs[0].Name)
	}
	if c := p.Cred; c != nil && *c != (Cred{p.Sender.PID, p.Sender.UID, p.Sender.GID}) {
		dst = strconv.AppendUint(append(dst, " cred.pid="...), uint64(c.PID), 10)
		dst = strconv.AppendUint(append(dst, " cred.uid="...), uint64(c.UID), 10)
		dst = strconv.AppendUint(append(dst, " cred.gid="...), uint64(c.GID), 10)
	}
	return appendKnownNumber(dst, " secid=", p.SecID)
}

func appendKnownNumber(dst []byte, key string, v uint32) []byte {
	if v == 0 {
		return dst
	}
	return strconv.AppendUint(append(dst, key...), uint64(v), 10)
}

func appendKnownName(dst []byte, key, name string) []byte {
	if name == "" {
		return dst
	}
	return appendValue(append(dst, key...), name, maxCommentName)
}

// appendValue appends at most the first most bytes of s, quoted if need be.
func appendValue(dst []byte, s string, most int) []byte {
	if len(s) > most {
		s = cutText(s, most)
	}
	if !isBare(s) {
		return strconv.AppendQuote(dst, s)
	}
	return append(dst, s...)
}

// cutText is s up to most bytes, without a piece of a character at its end.
func cutText(s string, most int) string {
	for n := most; n > most-utf8.UTFMax; n-- {
		if utf8.RuneStart(s[n]) {
			return s[:n]
		}
	}
	return s[:most] // no text
}

// isBare reports whether s needs no quotes.
func isBare(s string) bool {
	for i := range len(s) {
		switch c := s[i]; {
		case (c|0x20)-'a' < 26, c-'.' <= ':'-'.': // a letter; or one of ./0123456789:
		case c == '_' || c == '-' || c == '@' || c == '+' || c == ',':
		default:
			return false
		}
	}
	return s != ""
}

// AppendAnomaly appends what is wrong with p, or nothing if all is well:
//
//	truncated: 17 of 100 bytes captured; lost before: 4096 bytes
func AppendAnomaly(dst []byte, p *Packet) []byte {
	if !isAnomalous(p) {
		return dst
	}
	start := len(dst)
	next := func(what string) {
		if len(dst) > start {
			dst = append(dst, "; "...)
		}
		dst = append(dst, what...)
	}
	count := func(n uint64, unit string) {
		dst = append(strconv.AppendUint(dst, n, 10), unit...)
		if n != 1 {
			dst = append(dst, 's')
		}
	}
	if p.cut() && len(p.Data) == 0 {
		next("not captured: ")
		count(uint64(p.Len), " byte")
	} else if p.cut() {
		next("truncated: ")
		dst = append(strconv.AppendInt(dst, int64(len(p.Data)), 10), " of "...)
		count(uint64(p.Len), " byte")
		dst = append(dst, " captured"...)
	}
	if p.Lost > 0 {
		next("lost before: ")
		count(p.Lost, " byte")
	}
	if p.DropCount > 0 {
		next("not captured before: ")
		count(p.DropCount, " packet")
	}
	if p.Uncertain&UncertainSender != 0 {
		next("uncertain sender")
	}
	if p.Uncertain&UncertainOrder != 0 {
		next("uncertain order")
	}
	return dst
}

// isAnomalous reports whether AppendAnomaly has something to say.
func isAnomalous(p *Packet) bool {
	return p.cut() || p.Lost|p.DropCount != 0 || p.Uncertain&maskAllUncertain != 0
}
