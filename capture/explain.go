package capture

import (
	"fmt"
	"strings"

	"github.com/cilium/ebpf/asm"
)

// Explanation is what the kernel side tests of a filter. Tests go on with the
// one of a number, or [filter.Keep] or [filter.Drop].
type Explanation struct {
	Tests []ExplainedTest

	// The tests as BPF, an instruction each: what is asked of every event, and
	// what of two sockets that are connected, where a no means that nothing
	// which one sends the other is looked at any further. Empty: nothing is.
	Event, Sockets []string
}

// ExplainedTest is a test of an expression.
type ExplainedTest struct {
	Test             string // a primitive; it may hold hostile text
	Kernel           bool   // whether the kernel side can tell
	Yes, No, Unknown int    // what follows
}

// Explain tells what the kernel side tests of o's Paths and Filter. It needs no
// privileges.
func Explain(o Options) (*Explanation, error) {
	k, err := newKernelFilter(&o)
	if err != nil {
		return nil, &Error{Op: "compile filter", Err: err}
	}
	e := &Explanation{Event: disassemble(k.keep), Sockets: disassemble(k.hope)}
	l := &lowering{function: keepFunction}
	for _, s := range k.steps {
		e.Tests = append(e.Tests, ExplainedTest{s.text, l.knows(s), s.yes, s.no, s.unknown})
	}
	return e, nil
}

// disassemble writes instructions as the verifier does, jumps with the number
// of the instruction that they go to.
func disassemble(code asm.Instructions) []string {
	at := make(map[string]int)
	for i, ins := range code {
		if label := ins.Symbol(); label != "" {
			at[label] = i
		}
	}
	lines := make([]string, 0, len(code))
	for _, ins := range code {
		lines = append(lines, describe(ins, at[ins.Reference()]))
	}
	return lines
}

func describe(ins asm.Instruction, target int) string {
	op := ins.OpCode
	value := fmt.Sprint(ins.Constant)
	if (op.Class().IsALU() || op.Class().IsJump()) && op.Source() == asm.RegSource {
		value = ins.Src.String()
	}
	switch {
	case op.Class() == asm.LdClass:
		return fmt.Sprintf("%v = %#x", ins.Dst, uint64(ins.Constant))
	case op.Class() == asm.LdXClass:
		return fmt.Sprintf("%v = *(u%d *)(%v + %d)", ins.Dst, 8*op.Size().Sizeof(), ins.Src, ins.Offset)
	case op.Class().IsALU():
		return fmt.Sprintf("%v %s= %s", ins.Dst, sign(op.ALUOp().String()), value)
	case op.JumpOp() == asm.Exit:
		return "exit"
	case op.JumpOp() == asm.Ja:
		return fmt.Sprintf("goto %d", target)
	}
	return fmt.Sprintf("if %v %s %s goto %d", ins.Dst, sign(op.JumpOp().String()), value, target)
}

// sign is the operator of an operation.
func sign(name string) string {
	for _, s := range strings.Fields("Mov: Or:| And:& RSh:>> JEq:== JNE:!= JGT:> JGE:>= JLT:< JLE:<= JSet:& JSLT:s<") {
		if operation, operator, _ := strings.Cut(s, ":"); operation == name {
			return operator
		}
	}
	return name
}
