package filter

import (
	"strings"

	"github.com/sockcap/sockcap/pcapng"
)

// Test is a step of an expression taken apart for evaluators that do not know
// everything of a packet, as the kernel side of a capture does not: a primitive
// that is true, false, or neither known to be. What follows is a later step,
// [Keep] or [Drop]. An evaluator that goes to Unknown wherever it is not sure
// comes to Drop only with packets that surely do not match.
type Test struct {
	Condition        Condition
	Yes, No, Unknown int
}

// The ends of a list of tests.
const (
	Keep = -1
	Drop = -2
)

// Field is what a primitive asks for.
type Field uint8

// The fields. FieldOther is what only a whole packet tells.
const (
	FieldOther Field = iota
	FieldPath
	FieldComm
	FieldPID
	FieldUID
	FieldGID
	FieldInode
	FieldNetNS
	FieldLen
	FieldType
	FieldEvent
)

// Condition is a primitive of an expression.
type Condition struct {
	Field  Field
	End    End
	Number uint64 // of a number, a length, a type or an event
	Op     string // of FieldLen: < <= > >= = !=
	Path   *Path  // of FieldPath
	Text   string // of FieldComm: the name, or how each that matches begins
	Whole  bool   // of FieldComm: Text is the whole name
	Exact  bool   // of FieldComm: all that begins so matches

	node node
}

// String is the primitive as the language has it. It may hold hostile text.
func (c Condition) String() string { return string(c.node.append(nil)) }

// Tests takes e apart, in the order in which [Expr.Match] asks. The first is
// where to begin; there are none if e keeps every packet.
func (e *Expr) Tests() []Test {
	if e.All() {
		return nil
	}
	var b testBuilder
	b.add(e.root, Keep, Drop, false)
	return b.forward()
}

// testBuilder collects tests from the last to the first: each knows what
// follows it.
type testBuilder struct{ backward []Test }

// add puts the tests of n before all others, and gives the number of the first,
// counted from the end.
func (b *testBuilder) add(n node, yes, no int, negated bool) int {
	switch n := n.(type) {
	case not:
		return b.add(n.node, no, yes, !negated)
	case join:
		first := no
		if n.and {
			first = yes
		}
		for i := len(n.parts) - 1; i >= 0; i-- {
			if n.and {
				first = b.add(n.parts[i], first, no, negated)
			} else {
				first = b.add(n.parts[i], yes, first, negated)
			}
		}
		return first
	}
	t := Test{Condition: conditionOf(n), Yes: yes, No: no, Unknown: yes}
	if negated {
		t.Unknown = no
	}
	b.backward = append(b.backward, t)
	return len(b.backward) - 1
}

// forward gives the tests from the first to the last.
func (b *testBuilder) forward() []Test {
	last := len(b.backward) - 1
	turn := func(to int) int {
		if to < 0 {
			return to
		}
		return last - to
	}
	tests := make([]Test, 0, last+1)
	for i := range b.backward {
		t := b.backward[last-i]
		t.Yes, t.No, t.Unknown = turn(t.Yes), turn(t.No), turn(t.Unknown)
		tests = append(tests, t)
	}
	return tests
}

func conditionOf(n node) Condition {
	p := Condition{node: n}
	switch t := n.(type) {
	case *Path:
		p.Field, p.End, p.Path = FieldPath, t.End, t
	case comm:
		p.Field, p.End = FieldComm, t.end
		p.Text, p.Whole, p.Exact = t.pattern.begins()
	case number:
		p.Field, p.End, p.Number = fieldOf(t.name), t.end, t.n
	case length:
		p.Field, p.Op, p.Number = FieldLen, t.op, t.n
	case word:
		switch {
		case t.kind != 0:
			p.Field, p.Number = FieldType, uint64(t.kind)
		case t.event != 0:
			p.Field, p.Number = FieldEvent, uint64(t.event)
		}
	}
	return p
}

func fieldOf(keyword string) Field {
	switch keyword {
	case "pid":
		return FieldPID
	case "uid":
		return FieldUID
	case "gid":
		return FieldGID
	case "netns":
		return FieldNetNS
	}
	return FieldInode
}

// begins is the text that all that matches begins with; whether that is all of
// it, and else whether whatever begins so matches.
func (p pattern) begins() (text string, whole, exact bool) {
	if !p.glob {
		return p.text, true, true
	}
	var b strings.Builder
	for i := 0; i < len(p.text); i++ {
		switch c := p.text[i]; c {
		case '*':
			return b.String(), false, strings.Trim(p.text[i:], "*") == ""
		case '?', '[':
			return b.String(), false, false
		case '\\':
			i++
			b.WriteByte(p.text[i])
		default:
			b.WriteByte(c)
		}
	}
	return b.String(), true, true
}

// LenLimit is the longest message that is one packet: of a longer one, each
// packet has its own len.
const LenLimit = pcapng.MaxPayload
