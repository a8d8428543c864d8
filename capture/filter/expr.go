// Package filter decides which packets a user asked for: [Parse] makes an
// expression of text, [Expr.Match] asks it of a packet. [Paths] is the part of
// it that is about socket addresses alone.
//
// # The language
//
// It is that of pcap-filter(7), about Unix sockets. An expression is
// primitives, joined by and (&&) and or (||), negated by not (!), and grouped
// by parentheses. As in pcap's, not binds closest; and and or bind alike, from
// left to right: "a or b and c" is "(a or b) and c". The empty expression
// keeps every packet.
//
//	path GLOB           the socket file's name, or that of a directory above it; @ and an abstract
//	                    name; of a GLOB without a slash, the last part of the name
//	/GLOB, @GLOB        as path; several in a row are or-ed: "/a /b and pid 5" is "(/a or /b) and pid 5"
//	comm GLOB           the process's name
//	pid N, inode N      process, in the initial namespace; the socket's inode
//	uid N|NAME          user
//	gid N|NAME          group
//	exe GLOB            path of the process's program, or of a directory above it; of a GLOB without a
//	                    slash, the last part of it
//	cgroup GLOB         its control group: the path, or that of a group above it; of a GLOB without a
//	                    slash, any part of it
//	container ID|GLOB   its container, by as much of its id as one likes, from the front, or by its name
//	unit GLOB           its systemd unit
//	pod GLOB            its Kubernetes pod: NAMESPACE/NAME, or NAME alone
//	netns N|NAME        the sender's network namespace: its inode, or its name in ip-netns(8)
//	stream, dgram, seqpacket
//	len OP N            the bytes that the record stands for; OP is < <= > >= = == or !=
//	less N, greater N   len <= N, len >= N
//	fds                 descriptors are passed
//	data, connect, accept, listen, shutdown, close, refused, snapshot, read, lost
//	inbound, outbound   from client to server, from server to client
//
// A path, comm, pid, uid, gid, inode, exe, cgroup, container, unit or pod is
// looked for at both ends: at the sender, and at the receiver, who is the peer
// or, by comm, pid, uid and gid, whoever has read the message; of a snapshot, by
// those four, at every process that holds an end. After src or dst it is looked
// for at the one end alone. What is not known of a packet matches nothing.
//
// A value may lack its keyword after and, or and not, where it takes the one
// before it: "pid 5 or 6". In a GLOB * is any text and ? any character, but for
// slashes in a file's name; [a-z] and [^a-z] are one character; a backslash
// takes the next character for itself. What stands in double quotes, as a
// string of Go, is taken for itself altogether. Numbers are decimal.
//
// Sockets are asked for by path, comm, pid, uid, gid, inode, exe, cgroup,
// container, unit, pod, netns and type, without src and dst ([ParseSockets]): of both ends, and of
// every process that holds one. uid is who made a socket, too.
//
// [Expr.Match] evaluates an expression here, in user space. [Expr.Tests] takes
// it apart for those who know less of a packet: package capture compiles the
// tests for the kernel, so that what surely does not match stays there.
package filter

import (
	"slices"

	"github.com/sockcap/sockcap/pcapng"
)

// Expr is a filter expression. It never changes, and its methods may be called
// from any goroutine. Nil and the zero value keep every packet.
type Expr struct{ root node }

// node is a part of an expression. at decides about paths.
type node interface {
	match(p *pcapng.Packet, at func(*Path) bool) bool
	append(dst []byte) []byte
	depth() int
}

// All reports whether every packet matches.
func (e *Expr) All() bool { return e == nil || e.root == nil }

// Match reports whether e keeps p, by what p says of itself: of the two
// sockets' addresses it has one, which is the receiver's for a datagram, and
// the server's else (see [pcapng.Packet]). It does not allocate.
func (e *Expr) Match(p *pcapng.Packet) bool {
	return e.All() || e.root.match(p, nil)
}

// MatchAt is Match for those who know more of the sockets than p says: at
// decides about each primitive "path".
func (e *Expr) MatchAt(p *pcapng.Packet, at func(*Path) bool) bool {
	return e.All() || e.root.match(p, at)
}

// String is the expression in full: each value with its keyword, names of
// users as numbers, and all parentheses. [Parse] makes the same expression of
// it, and needs no Lookup to do so. It may hold hostile text.
func (e *Expr) String() string {
	if e.All() {
		return ""
	}
	return string(e.root.append(nil))
}

// Paths gives the addresses of an expression that is nothing but an or of
// addresses without wildcards, as [NewPaths] takes them. Else ok is false.
func (e *Expr) Paths() (names []string, ok bool) {
	if e.All() {
		return nil, false
	}
	parts := []node{e.root}
	if j, isJoin := e.root.(join); isJoin && !j.and {
		parts = j.parts
	}
	for _, n := range parts {
		t, isPath := n.(*Path)
		if !isPath || t.End != Either || t.pattern.glob || !IsPath(t.pattern.text) {
			return nil, false
		}
		names = append(names, t.pattern.text)
	}
	return names, true
}

// EachPath calls f for each primitive "path".
func (e *Expr) EachPath(f func(*Path)) {
	if !e.All() {
		eachPath(e.root, f)
	}
}

func eachPath(n node, f func(*Path)) {
	switch n := n.(type) {
	case *Path:
		f(n)
	case not:
		eachPath(n.node, f)
	case join:
		for _, part := range n.parts {
			eachPath(part, f)
		}
	}
}

// Uses gives the first of e's primitives that begins with one of these
// keywords, src and dst aside: that keyword, empty if there is none.
func (e *Expr) Uses(keywords ...string) string {
	if e.All() {
		return ""
	}
	return uses(e.root, keywords)
}

func uses(n node, keywords []string) string {
	switch n := n.(type) {
	case not:
		return uses(n.node, keywords)
	case join:
		for _, part := range n.parts {
			if found := uses(part, keywords); found != "" {
				return found
			}
		}
	case interface{ keyword() string }:
		if slices.Contains(keywords, n.keyword()) {
			return n.keyword()
		}
	}
	return ""
}

// And keeps what all of es keep.
func And(es ...*Expr) *Expr { return joined(true, es) }

// Or keeps what one of es keeps; of none of them, everything.
func Or(es ...*Expr) *Expr { return joined(false, es) }

func joined(and bool, es []*Expr) *Expr {
	var parts []node
	for _, e := range es {
		switch {
		case e.All() && !and:
			return &Expr{}
		case !e.All():
			parts = append(parts, e.root)
		}
	}
	if len(parts) == 0 {
		return &Expr{}
	}
	root := parts[0]
	if j, ok := root.(join); ok {
		j.parts = slices.Clip(j.parts) // joinNodes appends, and e never changes
		root = j
	}
	for _, part := range parts[1:] {
		root = joinNodes(and, root, part)
	}
	return &Expr{root}
}

// join is an and or an or of at least two parts, none of which is a join of
// the same kind.
type join struct {
	and    bool
	parts  []node
	levels int
}

// joinNodes joins two, and takes joins of the same kind apart. It may use a's
// memory again.
func joinNodes(and bool, a, b node) node {
	j, ok := a.(join)
	if !ok || j.and != and {
		j = join{and, []node{a}, a.depth() + 1}
	}
	if same, ok := b.(join); ok && same.and == and {
		j.parts = append(j.parts, same.parts...)
		j.levels = max(j.levels, same.levels)
		return j
	}
	j.parts = append(j.parts, b)
	j.levels = max(j.levels, b.depth()+1)
	return j
}

func (j join) match(p *pcapng.Packet, at func(*Path) bool) bool {
	for _, n := range j.parts {
		if n.match(p, at) != j.and {
			return !j.and
		}
	}
	return j.and
}

func (j join) depth() int { return j.levels }

func (j join) append(dst []byte) []byte {
	word := " or "
	if j.and {
		word = " and "
	}
	for i, n := range j.parts {
		if i > 0 {
			dst = append(dst, word...)
		}
		dst = appendOperand(dst, n)
	}
	return dst
}

func appendOperand(dst []byte, n node) []byte {
	if _, ok := n.(join); !ok {
		return n.append(dst)
	}
	return append(n.append(append(dst, '(')), ')')
}

type not struct{ node }

func (n not) match(p *pcapng.Packet, at func(*Path) bool) bool { return !n.node.match(p, at) }
func (n not) append(dst []byte) []byte                         { return appendOperand(append(dst, "not "...), n.node) }
func (n not) depth() int                                       { return n.node.depth() + 1 }
