package filter

import "github.com/sockcap/sockcap/pcapng"

// Sockets is a connection, or a socket alone, of which [Expr.MatchSockets]
// asks: everything of both ends. What is not known is left out.
type Sockets struct {
	Type      pcapng.SocketType
	Inodes    []uint64
	NetNS     []uint32
	UIDs      []uint32 // of those who made the sockets
	Processes []Process
}

// Process is one that holds a socket.
type Process struct {
	PID      uint32
	UID, GID uint32 // pcapng.Unknown if unknown
	Comm     string
	Place    pcapng.Place
}

const hintSockets = "sockets are chosen by path, comm, pid, uid, gid, inode, exe, cgroup, container, unit, pod, netns, stream, dgram and seqpacket"

// ParseSockets is [Parse] for an expression that is asked of sockets: what only
// packets have is an error.
func ParseSockets(text string, names Lookup) (*Expr, error) {
	p := parser{lexer: lexer{text: text}, names: names, sockets: true}
	root, err := p.parse()
	if err != nil {
		return nil, err.in(text)
	}
	return &Expr{root}, nil
}

// IsOfPackets reports whether a primitive that begins with this word is about
// what packets alone have.
func IsOfPackets(text string) bool {
	switch text {
	case "src", "dst", "len", "less", "greater":
		return true
	}
	w, ok := newWord(text)
	return ok && w.kind == 0
}

// MatchSockets reports whether e, of [ParseSockets], keeps these sockets. at
// decides about each primitive "path".
func (e *Expr) MatchSockets(s *Sockets, at func(*Path) bool) bool {
	return e.All() || matchSockets(e.root, s, at)
}

func matchSockets(n node, s *Sockets, at func(*Path) bool) bool {
	switch n := n.(type) {
	case not:
		return !matchSockets(n.node, s, at)
	case join:
		for _, part := range n.parts {
			if matchSockets(part, s, at) != n.and {
				return !n.and
			}
		}
		return n.and
	case *Path:
		return at(n)
	case number:
		return n.isOf(s)
	case word:
		return s.Type == n.kind
	}
	for i := range s.Processes {
		if isProcess(n, &s.Processes[i]) {
			return true
		}
	}
	return false
}

func isProcess(n node, p *Process) bool {
	switch n := n.(type) {
	case comm:
		return n.is(p.Comm)
	case place:
		return n.is(&p.Place)
	}
	return false
}

// isOf looks for the number wherever it may stand.
func (t number) isOf(s *Sockets) bool {
	switch t.name {
	case "inode":
		return hasNumber(t.n, s.Inodes)
	case "netns":
		return hasNumber(t.n, s.NetNS)
	case "uid":
		if hasNumber(t.n, s.UIDs) {
			return true
		}
	}
	for i := range s.Processes {
		if p := &s.Processes[i]; t.of(&pcapng.Endpoint{PID: p.PID, UID: p.UID, GID: p.GID}) == t.n {
			return true
		}
	}
	return false
}

func hasNumber[N uint32 | uint64](n uint64, in []N) bool {
	for _, other := range in {
		if uint64(other) == n {
			return true
		}
	}
	return false
}
