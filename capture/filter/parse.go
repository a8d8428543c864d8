package filter

import (
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/sockcap/sockcap/pcapng"
)

// Lookup finds the numbers of names when an expression is parsed. An error is
// told after the name, as "no such user". A function may be nil: then names of
// its kind are refused.
type Lookup struct {
	User  func(name string) (uid uint32, err error)
	Group func(name string) (gid uint32, err error)
	NetNS func(name string) (inode uint32, err error) // of ip-netns(8)
}

// Bounds on how deep an expression may be, for the functions that walk it: of
// the tree, and of the parentheses and nots that it takes to write it.
const (
	maxDepth   = 200
	maxNesting = 3 * maxDepth
)

const (
	hintPrimitives = "primitives begin with path, comm, pid, uid, gid, inode, exe, cgroup, container, unit, pod, netns, len, less, greater, src or dst; or are /PATH, @NAME, fds, stream, dgram, seqpacket, inbound, outbound, or an event as data"
	hintJoin       = `put "and" or "or" between two primitives`
)

// Parse makes an expression of text, as the package's comment describes it. An
// error is an [*Error].
func Parse(text string, names Lookup) (*Expr, error) {
	p := parser{lexer: lexer{text: text}, names: names}
	root, err := p.parse()
	if err != nil {
		return nil, err.in(text)
	}
	return &Expr{root}, nil
}

// Primitive makes the expression that is one primitive, of a keyword and its
// value, which is not quoted but may have blanks in it. An error is an
// [*Error] that is about no place.
func Primitive(keyword, value string, names Lookup) (*Expr, error) {
	p := parser{names: names}
	t := token{kind: tokenWord, text: value}
	n, err := p.value(Either, keyword, t)
	if err != nil {
		return nil, &Error{Hint: err.hint, Err: err.err}
	}
	return &Expr{n}, nil
}

// parser makes a tree of tokens. Its functions find at tok what they are
// about, and leave it at what comes after that.
type parser struct {
	lexer
	names   Lookup
	sockets bool // what only packets have is refused
	tok     token
	nesting int

	keyword string // of the value before, which the next one may leave out
	end     End
	address bool // the primitive before was an address
}

// advance goes to the next token.
func (p *parser) advance() (f *fail) {
	var err error
	if p.tok, err = p.next(); err != nil {
		f, _ = err.(*fail)
	}
	return f
}

func (p *parser) parse() (node, *fail) {
	if f := p.advance(); f != nil || p.tok.kind == tokenEnd {
		return nil, f
	}
	n, f := p.expression()
	switch {
	case f != nil:
		return nil, f
	case p.tok.kind == tokenClose:
		return nil, failAt(p.tok.at, "", ") without its (")
	}
	return n, nil
}

// expression is operands with and and or between, up to the end or to a
// closing parenthesis.
func (p *parser) expression() (node, *fail) {
	n, f := p.operand()
	for f == nil {
		kind, at := p.tok.kind, p.tok.at
		switch kind {
		case tokenEnd, tokenClose:
			return n, nil
		case tokenAnd, tokenOr:
		default:
			return nil, p.juxtaposed()
		}
		if f := p.advance(); f != nil {
			return nil, f
		}
		var right node
		if right, f = p.operand(); f != nil {
			return nil, f
		}
		if n = joinNodes(kind == tokenAnd, n, right); n.depth() > maxDepth {
			return nil, failAt(at, "", "the expression is too deep")
		}
	}
	return nil, f
}

// juxtaposed is the error for two operands with nothing between.
func (p *parser) juxtaposed() *fail {
	hint := hintJoin
	if p.address && p.tok.kind == tokenWord {
		hint += `; a path with blanks in it stands in double quotes`
	}
	return failAt(p.tok.at, hint, "%s stands where the expression should go on with and, or, or end", p.tok.describe())
}

func (p *parser) operand() (node, *fail) {
	p.nesting++
	defer func() { p.nesting-- }()
	switch t := p.tok; {
	case p.nesting > maxNesting:
		return nil, failAt(t.at, "", "the expression is too deep")
	case t.kind == tokenNot:
		if f := p.advance(); f != nil {
			return nil, f
		}
		n, f := p.operand()
		if f == nil && n.depth() >= maxDepth {
			f = failAt(t.at, "", "the expression is too deep")
		}
		if f != nil {
			return nil, f
		}
		return not{n}, nil
	case t.kind == tokenOpen:
		return p.group()
	case t.kind == tokenWord || t.kind == tokenQuoted:
		return p.primitive()
	case t.kind == tokenEnd:
		return nil, failAt(t.at, "", "the expression ends where a primitive should stand")
	default:
		return nil, failAt(t.at, p.primitives(), "%s stands where a primitive should", t.describe())
	}
}

func (p *parser) group() (node, *fail) {
	open := p.tok.at
	if f := p.advance(); f != nil {
		return nil, f
	}
	n, f := p.expression()
	if f == nil && p.tok.kind != tokenClose {
		f = failAt(open, "", "( without its )")
	}
	if f == nil {
		f = p.advance()
	}
	p.address = false
	return n, f
}

// primitive is a keyword with its value, a word that needs none, addresses in
// a row, or the value alone.
func (p *parser) primitive() (node, *fail) {
	t := p.tok
	p.address = IsPath(t.text)
	if p.address {
		return p.addresses()
	}
	if t.kind == tokenWord {
		if p.sockets && IsOfPackets(t.text) {
			return nil, failAt(t.at, hintSockets, "%s: sockets have no such thing, packets have", t.text)
		}
		if w, ok := newWord(t.text); ok {
			return w, p.advance()
		}
		switch t.text {
		case "src", "dst":
			return p.qualified()
		case "len", "less", "greater":
			return p.length()
		}
		if hasValue(t.text) {
			return p.keywordValue(Either)
		}
	}
	if p.keyword == "" {
		return nil, p.unknownPrimitive(t)
	}
	n, f := p.value(p.end, p.keyword, t)
	if f != nil {
		return nil, f
	}
	return n, p.advance()
}

// primitives is the hint that names those there are.
func (p *parser) primitives() string {
	if p.sockets {
		return hintSockets
	}
	return hintPrimitives
}

func (p *parser) unknownPrimitive(t token) *fail {
	hint := p.primitives()
	switch t.text {
	case "host", "port", "portrange", "net", "proto", "tcp", "udp", "ip", "ip6", "icmp", "arp", "ether", "vlan", "unix":
		hint = "Unix sockets have no hosts or ports: sockets are chosen by path, comm, pid, uid and others"
	default:
		if strings.ContainsAny(t.text, "/.") {
			hint = `name the socket from the root, as "$PWD/` + strings.TrimPrefix(t.text, "./") + `", or say path before it`
		}
	}
	return failAt(t.at, hint, "%s is no primitive", t.describe())
}

// addresses is one address, or several in a row.
func (p *parser) addresses() (node, *fail) {
	p.keyword, p.end = "path", Either
	var all node
	for (p.tok.kind == tokenWord || p.tok.kind == tokenQuoted) && IsPath(p.tok.text) {
		n, f := p.value(Either, "path", p.tok)
		if f == nil {
			f = p.advance()
		}
		switch {
		case f != nil:
			return nil, f
		case all == nil:
			all = n
		default:
			all = joinNodes(false, all, n)
		}
	}
	return all, nil
}

// qualified is src or dst and a primitive that looks at both ends.
func (p *parser) qualified() (node, *fail) {
	end, word := Src, p.tok.text
	if word == "dst" {
		end = Dst
	}
	if f := p.advance(); f != nil {
		return nil, f
	}
	t := p.tok
	switch {
	case t.kind == tokenWord && t.text == "netns":
		hint := "leave out " + word + ": a packet has the sender's alone"
		return nil, failAt(t.at, hint, "%s has no ends", t.text)
	case t.kind == tokenWord && hasValue(t.text):
		return p.keywordValue(end)
	case t.kind != tokenOpen && t.kind != tokenEnd && IsPath(t.text):
		p.keyword, p.end, p.address = "path", end, true
		n, f := p.value(end, "path", t)
		if f != nil {
			return nil, f
		}
		return n, p.advance()
	}
	return nil, failAt(t.at, "", "%s stands after %s, where what is asked of one end should", t.describe(), word)
}

// keywordValue is a keyword and its value.
func (p *parser) keywordValue(end End) (node, *fail) {
	p.keyword, p.end = p.tok.text, end
	p.address = p.keyword == "path"
	if f := p.advance(); f != nil {
		return nil, f
	}
	if t := p.tok; t.kind != tokenWord && t.kind != tokenQuoted {
		hint := ""
		if isOperator(t.text) {
			hint = fmt.Sprintf(`for one of this name, quote it: "%s"`, t.text)
		}
		return nil, failAt(t.at, hint, "%s stands after %s, where its value should", t.describe(), p.keyword)
	}
	n, f := p.value(end, p.keyword, p.tok)
	if f != nil {
		return nil, f
	}
	return n, p.advance()
}

func hasValue(keyword string) bool {
	switch keyword {
	case "path", "comm", "pid", "uid", "gid", "inode", "netns":
		return true
	}
	return isPlace(keyword)
}

// value makes a primitive of a keyword and the token t.
func (p *parser) value(end End, keyword string, t token) (node, *fail) {
	if t.text == "" {
		return nil, failAt(t.at, "", "%s has an empty value", keyword)
	}
	if keyword != "path" && keyword != "comm" && !isPlace(keyword) {
		n, f := p.number(keyword, t)
		if f != nil {
			return nil, f
		}
		return number{name: keyword, end: end, n: n}, nil
	}
	pat, f := patternOf(keyword, t)
	if f != nil {
		return nil, f
	}
	switch keyword {
	case "path":
		return &Path{End: end, pattern: pat.cleaned()}, nil
	case "comm":
		return comm{end: end, pattern: pat}, nil
	case "container", "unit", "pod":
		return place{name: keyword, end: end, pattern: pat}, nil
	}
	if keyword == "cgroup" && t.kind == tokenWord && strings.Trim(t.text, "0123456789") == "" {
		return nil, failAt(t.at, "name its path, as /system.slice/docker.service, or a part of that",
			"cgroup %s: a packet has no numbers of control groups", t.text)
	}
	return place{name: keyword, end: end, pattern: pat.cleaned()}, nil
}

func patternOf(keyword string, t token) (pattern, *fail) {
	if t.kind == tokenQuoted {
		return pattern{text: t.text}, nil
	}
	pat, err := newPattern(t.text)
	if err != nil {
		return pat, failAt(t.at, "to take it for itself, quote the word", "%s %q: %w", keyword, t.text, err)
	}
	return pat, nil
}

// number is the value of a keyword whose values are numbers, or names of them.
func (p *parser) number(keyword string, t token) (uint64, *fail) {
	lowest, highest := uint64(1), uint64(math.MaxUint32) // 0 is what is not known
	var find func(string) (uint32, error)
	kind := "a number"
	switch keyword {
	case "inode":
		highest = math.MaxUint64
	case "uid":
		lowest, highest, find, kind = 0, pcapng.Unknown-1, p.names.User, "a user's name or number"
	case "gid":
		lowest, highest, find, kind = 0, pcapng.Unknown-1, p.names.Group, "a group's name or number"
	case "netns":
		find, kind = p.names.NetNS, "a network namespace's name or inode"
	}
	if strings.Trim(t.text, "0123456789") != "" {
		if find == nil || t.text[0] == '-' {
			return 0, failAt(t.at, "", "%s %q: expected %s", keyword, t.text, kind)
		}
		n, err := find(t.text)
		if err != nil {
			return 0, failAt(t.at, "", "%s %q: %w", keyword, t.text, err)
		}
		return uint64(n), nil
	}
	n, err := strconv.ParseUint(t.text, 10, 64)
	if err != nil || n < lowest || n > highest {
		return 0, failAt(t.at, "", "%s %s: expected %d to %d", keyword, t.text, lowest, highest)
	}
	return n, nil
}

// length is a primitive "len", "less" or "greater".
func (p *parser) length() (node, *fail) {
	word, op := p.tok.text, "<="
	if f := p.advance(); f != nil {
		return nil, f
	}
	switch word {
	case "greater":
		op = ">="
	case "len":
		if p.tok.kind != tokenCompare {
			return nil, failAt(p.tok.at, "", "%s stands after len, where one of < <= > >= = != should", p.tok.describe())
		}
		if op = p.tok.text; op == "==" {
			op = "="
		}
		if f := p.advance(); f != nil {
			return nil, f
		}
	}
	t := p.tok
	n, err := strconv.ParseUint(t.text, 10, 32)
	if t.kind != tokenWord || strings.Trim(t.text, "0123456789") != "" || err != nil {
		return nil, failAt(t.at, "", "%s stands after %s, where a number of bytes up to %d should", t.describe(), word, uint32(math.MaxUint32))
	}
	return length{op: op, n: n}, p.advance()
}

// describe is the token as an error shows it.
func (t token) describe() string {
	if t.kind == tokenEnd {
		return "the end"
	}
	return strconv.Quote(t.text)
}
