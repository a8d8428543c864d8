package filter

import (
	"strconv"
	"strings"

	"github.com/sockcap/sockcap/pcapng"
)

// End is where a primitive looks.
type End uint8

// The ends of a packet's way.
const (
	Either End = iota
	Src        // the sender
	Dst        // the receiver
)

func (e End) append(dst []byte) []byte {
	switch e {
	case Src:
		return append(dst, "src "...)
	case Dst:
		return append(dst, "dst "...)
	}
	return dst
}

// leaf is what primitives have in common.
type leaf struct{}

func (leaf) depth() int { return 1 }

// Path is a primitive "path".
type Path struct {
	leaf
	End     End
	pattern pattern
}

func (t *Path) keyword() string { return "path" }

// Glob is the pattern as [path/filepath.Glob] takes it, for addresses from the
// root. It is empty for others, which are no certain file.
func (t *Path) Glob() string {
	if !strings.HasPrefix(t.pattern.text, "/") {
		return ""
	}
	if t.pattern.glob {
		return t.pattern.text
	}
	return escapeGlob(t.pattern.text)
}

// Name is the one address that is meant, as [IsPath] has it; ok is false for a
// pattern, and for a name that may stand in any directory.
func (t *Path) Name() (name string, ok bool) {
	return t.pattern.text, !t.pattern.glob && IsPath(t.pattern.text)
}

// Match reports whether the pattern fits an address, written as in pcapng's
// Packet.Path, by its text. It does not look at End.
func (t *Path) Match(address string) bool {
	return address != "" && t.pattern.matchAddress(address)
}

func (t *Path) match(p *pcapng.Packet, at func(*Path) bool) bool {
	if at != nil {
		return at(t)
	}
	if !t.Match(p.Path) {
		return false
	}
	toOwner := p.Type == pcapng.Datagram || p.Role == pcapng.RoleClient
	switch t.End {
	case Src:
		return !toOwner && p.Role == pcapng.RoleServer
	case Dst:
		return toOwner
	}
	return true
}

func (t *Path) append(dst []byte) []byte {
	return t.pattern.append(append(t.End.append(dst), "path "...))
}

type comm struct {
	leaf
	end     End
	pattern pattern
}

func (t comm) keyword() string { return "comm" }

func (t comm) match(p *pcapng.Packet, _ func(*Path) bool) bool {
	switch {
	case t.end != Dst && t.is(p.Sender.Comm), p.Holders != nil && holds(p, t.end, func(h *pcapng.Holder) bool { return t.is(h.Comm) }):
		return true
	case t.end == Src:
		return false
	}
	return t.is(p.Peer.Comm) || p.Reader != nil && t.is(p.Reader.Comm)
}

func (t comm) is(name string) bool { return name != "" && t.pattern.match(name, true) }

func (t comm) append(dst []byte) []byte {
	return t.pattern.append(append(t.end.append(dst), "comm "...))
}

// number is a primitive "pid", "uid", "gid", "inode" or "netns".
type number struct {
	leaf
	name string
	end  End
	n    uint64
}

func (t number) keyword() string { return t.name }

func (t number) match(p *pcapng.Packet, _ func(*Path) bool) bool {
	if t.name == "netns" {
		return uint64(p.NetNS) == t.n
	}
	switch {
	case t.end != Dst && t.of(&p.Sender) == t.n, p.Holders != nil && holds(p, t.end, t.isHolder):
		return true
	case t.end == Src:
		return false
	}
	return t.of(&p.Peer) == t.n || t.name == "pid" && p.Reader != nil && uint64(p.Reader.PID) == t.n
}

func (t number) of(e *pcapng.Endpoint) uint64 {
	switch t.name {
	case "pid":
		return uint64(e.PID)
	case "uid":
		return uint64(e.UID)
	case "gid":
		return uint64(e.GID)
	}
	return e.Inode
}

func (t number) isHolder(h *pcapng.Holder) bool {
	return t.of(&pcapng.Endpoint{PID: h.PID, UID: h.UID, GID: h.GID}) == t.n
}

func (t number) append(dst []byte) []byte {
	dst = append(append(t.end.append(dst), t.name...), ' ')
	return strconv.AppendUint(dst, t.n, 10)
}

type length struct {
	leaf
	op string // < <= > >= = !=
	n  uint64
}

func (t length) keyword() string { return "len" }

func (t length) match(p *pcapng.Packet, _ func(*Path) bool) bool {
	n := uint64(p.Len)
	switch t.op {
	case "<":
		return n < t.n
	case "<=":
		return n <= t.n
	case ">":
		return n > t.n
	case ">=":
		return n >= t.n
	case "!=":
		return n != t.n
	}
	return n == t.n
}

func (t length) append(dst []byte) []byte {
	return strconv.AppendUint(append(append(append(dst, "len "...), t.op...), ' '), t.n, 10)
}

// word is a primitive without a value.
type word struct {
	leaf
	text  string
	event pcapng.Event      // else 0
	kind  pcapng.SocketType // else 0
	role  pcapng.Role       // else 0
}

func (t word) keyword() string { return t.text }

func (t word) match(p *pcapng.Packet, _ func(*Path) bool) bool {
	switch {
	case t.event != 0:
		return p.Event == t.event
	case t.kind != 0:
		return p.Type == t.kind
	case t.role != 0:
		return p.Role == t.role
	}
	return p.FDCount > 0 || len(p.FDs) > 0
}

func (t word) append(dst []byte) []byte { return append(dst, t.text...) }

// newWord is the primitive that text is without a value, if it is one.
func newWord(text string) (word, bool) {
	for e := pcapng.EventData; e <= pcapng.EventLost; e++ {
		if e.String() == text {
			return word{text: text, event: e}, true
		}
	}
	for _, t := range []pcapng.SocketType{pcapng.Stream, pcapng.Datagram, pcapng.SeqPacket} {
		if t.String() == text {
			return word{text: text, kind: t}, true
		}
	}
	switch text {
	case "fds":
		return word{text: text}, true
	case "inbound":
		return word{text: text, role: pcapng.RoleClient}, true
	case "outbound":
		return word{text: text, role: pcapng.RoleServer}, true
	}
	return word{}, false
}
