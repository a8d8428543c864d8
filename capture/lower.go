package capture

import (
	"encoding/binary"
	"fmt"
	"math"

	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/btf"

	"github.com/sockcap/sockcap/bpf"
	"github.com/sockcap/sockcap/capture/filter"
	"github.com/sockcap/sockcap/pcapng"
)

// step is a test of the kernel side: one of an expression, or whether
// Options.Paths choose one of the sockets.
type step struct {
	filter.Condition
	text             string
	bit              int // of a path in the verdict on a name
	yes, no, unknown int
}

// The functions that the programs have stubs of: see bpf/filter.h.
const (
	keepFunction   = "filter_keep"
	hopeFunction   = "filter_hope"
	senderFunction = "filter_sender"
	readerFunction = "filter_reader"
)

// lowering makes a function of steps.
type lowering struct {
	function string
	fields   map[string]int16 // of struct data_event, struct task_id and struct end, "data_event.flags"
	steps    []step
	code     asm.Instructions
	mark     string // label of the next instruction
	local    int    // labels inside a step
}

// lower gives the function's instructions. They ask only what the function
// knows: for filter_hope, what is so whoever sends. Nil says that the function
// can never say no.
func lower(function string, steps []step, fields map[string]int16) asm.Instructions {
	l := &lowering{function: function, fields: fields, steps: steps}
	first := l.resolve(0)
	if !l.drops(first) {
		return nil
	}
	l.put(asm.Mov.Imm(asm.R0, 0)) // takes the function's name, and so can be no jump
	for i := first; i < len(steps); i++ {
		if l.knows(steps[i]) {
			l.begin(l.label(i))
			l.step(steps[i])
		}
	}
	l.begin(l.label(filter.Keep))
	l.put(asm.Mov.Imm(asm.R0, 1), asm.Return())
	l.begin(l.label(filter.Drop))
	l.put(asm.Mov.Imm(asm.R0, 0), asm.Return())
	return reachable(l.code)
}

// reachable leaves out what nothing leads to, which verifiers refuse.
func reachable(code asm.Instructions) asm.Instructions {
	at := make(map[string]int)
	for i, ins := range code {
		if label := ins.Symbol(); label != "" {
			at[label] = i
		}
	}
	reached := make([]bool, len(code)+1)
	reached[0] = true
	var kept asm.Instructions
	for i, ins := range code { // all jumps go forward
		if !reached[i] {
			continue
		}
		kept = append(kept, ins)
		if to := ins.Reference(); to != "" {
			reached[at[to]] = true
		}
		if op := ins.OpCode.JumpOp(); op != asm.Ja && op != asm.Exit {
			reached[i+1] = true
		}
	}
	return kept
}

// drops reports whether a packet may come to Drop from a step.
func (l *lowering) drops(first int) bool {
	reached := make([]bool, len(l.steps))
	mark := func(to int) bool {
		if to = l.resolve(to); to >= 0 {
			reached[to] = true
		}
		return to == filter.Drop
	}
	drops := mark(first)
	for i, s := range l.steps {
		if reached[i] {
			yes, unknown := mark(s.yes), mark(s.unknown)
			no := l.saysNo(s) && mark(s.no)
			drops = drops || yes || no || unknown
		}
	}
	return drops
}

// saysNo reports whether the function may find that a step does not match.
func (l *lowering) saysNo(s step) bool {
	return !l.asksTask() || s.End == filter.Src
}

// resolve passes over steps that ask what is not known.
func (l *lowering) resolve(i int) int {
	for i >= 0 && !l.knows(l.steps[i]) {
		i = l.steps[i].unknown
	}
	return i
}

func (l *lowering) knows(s step) bool {
	if l.asksTask() {
		return l.knowsSender(s)
	}
	switch s.Field {
	case filter.FieldPath:
		return s.bit < bpf.NameBits
	case filter.FieldInode, filter.FieldNetNS, filter.FieldType:
		return true
	case filter.FieldOther:
		return false
	}
	return l.function == keepFunction
}

// asksTask reports whether the function has a task, and nothing else.
func (l *lowering) asksTask() bool {
	return l.function == senderFunction || l.function == readerFunction
}

// knowsSender: who sends may be an answer if it does not matter who receives.
func (l *lowering) knowsSender(s step) bool { return asksTask(s) && s.End != filter.Dst }

// sender is where the sending task is, from R1 on.
func (l *lowering) sender(field string) int16 {
	at := l.fields["task_id."+field]
	if l.function == keepFunction {
		at += l.fields["data_event.task"]
	}
	return at
}

// senderKnown jumps if who sent is not known.
func (l *lowering) senderKnown(otherwise string) {
	if l.function == keepFunction {
		l.flag(bpf.DataNoSender, otherwise)
	}
}

func (l *lowering) label(i int) string {
	switch i = l.resolve(i); i {
	case filter.Keep:
		return l.function + ".keep"
	case filter.Drop:
		return l.function + ".drop"
	}
	return fmt.Sprintf("%s.%d", l.function, i)
}

// put appends instructions, of which the first gets the label that is due.
func (l *lowering) put(all ...asm.Instruction) {
	for _, ins := range all {
		if l.mark != "" {
			ins = ins.WithSymbol(l.mark)
			l.mark = ""
		}
		l.code = append(l.code, ins)
	}
}

// begin gives the next instruction a label. A jump to it from just before is
// left out, unless it has a label itself.
func (l *lowering) begin(label string) {
	if n := len(l.code); n > 0 && l.code[n-1].OpCode.JumpOp() == asm.Ja && l.code[n-1].Reference() == label && l.code[n-1].Symbol() == "" {
		l.code = l.code[:n-1]
	}
	l.mark = label
}

// step emits the code of one. R1 to R5 are the function's arguments; R0, R6 and
// R7 are free.
func (l *lowering) step(s step) {
	yes, no, unknown := l.label(s.yes), l.label(s.no), l.label(s.unknown)
	switch s.Field {
	case filter.FieldPath:
		l.path(s, yes, no, unknown)
	case filter.FieldInode:
		l.inode(s, yes, no, unknown)
	case filter.FieldNetNS:
		l.netNS(s, yes, no)
	case filter.FieldType:
		l.socketType(s, yes, no)
	case filter.FieldEvent:
		l.event(s, yes, no, unknown)
	case filter.FieldLen:
		l.length(s, yes, no, unknown)
	case filter.FieldComm:
		l.comm(s, yes, no, unknown)
	default:
		l.task(s, yes, no, unknown)
	}
}

// load reads a field of the struct that a register points to.
func (l *lowering) load(dst, base asm.Register, field string, size asm.Size) asm.Instruction {
	return asm.LoadMem(dst, base, l.fields[field], size)
}

func (l *lowering) jump(label string) { l.put(asm.Ja.Label(label)) }

func number(n uint64) asm.Instruction { return asm.LoadImm(asm.R6, int64(n), asm.DWord) }

func (l *lowering) path(s step, yes, no, unknown string) {
	from, to := asm.R4, asm.R5
	if l.function == hopeFunction {
		from, to = asm.R3, asm.R4
	}
	l.put(number(1 << s.bit))
	any, all := from, asm.R0
	switch s.End {
	case filter.Src:
		all = from
	case filter.Dst:
		any, all = to, to
	default:
		l.put(asm.Mov.Reg(asm.R0, from), asm.Or.Reg(asm.R0, to))
		any = asm.R0
	}
	l.put(asm.JSet.Reg(any, asm.R6, yes))
	if s.End == filter.Either {
		l.put(asm.Mov.Reg(asm.R0, from), asm.And.Reg(asm.R0, to))
	}
	l.put(asm.JSLT.Imm(all, 0, no)) // bpf.NameJudged is the sign
	l.jump(unknown)
}

func (l *lowering) inode(s step, yes, no, unknown string) {
	from, to := asm.R1, asm.R2
	if l.function == keepFunction {
		l.put(l.load(asm.R0, asm.R2, "end.inode", asm.DWord), l.load(asm.R7, asm.R3, "end.inode", asm.DWord))
		from, to = asm.R0, asm.R7
	}
	l.put(number(s.Number))
	if s.End != filter.Dst {
		l.put(asm.JEq.Reg(from, asm.R6, yes))
	}
	if s.End != filter.Src {
		l.put(asm.JEq.Reg(to, asm.R6, yes))
	}
	if s.End != filter.Dst {
		l.put(asm.JEq.Imm(from, 0, unknown))
	}
	if s.End != filter.Src {
		l.put(asm.JEq.Imm(to, 0, unknown))
	}
	l.jump(no)
}

func (l *lowering) netNS(s step, yes, no string) {
	if l.function == hopeFunction {
		l.put(asm.Mov.Reg(asm.R0, asm.R5), asm.RSh.Imm(asm.R0, 32))
	} else {
		l.put(l.load(asm.R0, asm.R2, "end.netns", asm.Word))
	}
	l.put(number(s.Number), asm.JEq.Reg(asm.R0, asm.R6, yes))
	l.jump(no)
}

func (l *lowering) socketType(s step, yes, no string) {
	if l.function == hopeFunction {
		l.put(asm.Mov.Reg(asm.R0, asm.R5), asm.And.Imm(asm.R0, 0xffff))
	} else {
		l.put(l.load(asm.R0, asm.R1, "data_event.type", asm.Byte))
	}
	l.put(asm.JEq.Imm(asm.R0, int32(s.Number), yes))
	l.jump(no)
}

// flag jumps if the event has a flag.
func (l *lowering) flag(flag int32, label string) {
	l.put(l.load(asm.R0, asm.R1, "data_event.flags", asm.Half), asm.And.Imm(asm.R0, flag), asm.JNE.Imm(asm.R0, 0, label))
}

// event: of what is shown waiting, a read event may be made later.
func (l *lowering) event(s step, yes, no, unknown string) {
	switch s.Number {
	case uint64(pcapng.EventData):
		l.flag(bpf.DataWaiting, unknown)
		l.jump(yes)
	case uint64(pcapng.EventRead):
		l.flag(bpf.DataWaiting, unknown)
		l.jump(no)
	default:
		l.jump(no)
	}
}

// length: a read event has none, a part of a long message has its own.
func (l *lowering) length(s step, yes, no, unknown string) {
	l.flag(bpf.DataWaiting, unknown)
	l.put(l.load(asm.R0, asm.R1, "data_event.total", asm.Word), asm.JGT.Imm(asm.R0, filter.LenLimit, unknown), number(s.Number))
	op := asm.JEq
	switch s.Op {
	case "<":
		op = asm.JLT
	case "<=":
		op = asm.JLE
	case ">":
		op = asm.JGT
	case ">=":
		op = asm.JGE
	case "!=":
		op = asm.JNE
	}
	l.put(op.Reg(asm.R0, asm.R6, yes))
	l.jump(no)
}

// here is a label inside a step.
func (l *lowering) here() string {
	l.local++
	return fmt.Sprintf("%s.local%d", l.function, l.local)
}

func (l *lowering) comm(s step, yes, no, unknown string) {
	if !s.Exact {
		yes = unknown // it begins as what matches does
	}
	if s.End != filter.Dst {
		next := l.ifNotSender(s, no, unknown)
		l.senderKnown(next)
		l.name(s, asm.R1, l.sender("comm"), yes, next)
		if s.End == filter.Src || l.asksTask() {
			return
		}
		l.begin(next)
	}
	told := l.here()
	l.put(l.load(asm.R0, asm.R1, "data_event.reader_pid", asm.Word), asm.JEq.Imm(asm.R0, 0, told))
	l.name(s, asm.R1, l.fields["data_event.reader_comm"], yes, no)
	l.begin(told)
	l.flag(bpf.DataWaiting, unknown) // who will read it?
	l.put(l.load(asm.R0, asm.R3, "end.reader", asm.Word), asm.JEq.Imm(asm.R0, 0, unknown))
	l.forgotten(unknown)
	l.name(s, asm.R3, l.fields["end.reader_comm"], yes, no)
}

// ifNotSender is where a test of a task goes on if it is not the sender's.
func (l *lowering) ifNotSender(s step, no, unknown string) string {
	switch {
	case s.End == filter.Src:
		return no
	case l.asksTask(): // it may be the reader's
		return unknown
	}
	return l.here()
}

// forgotten jumps if R0 is a reader whom the kernel side has forgotten.
func (l *lowering) forgotten(unknown string) {
	l.put(asm.LoadImm(asm.R7, math.MaxUint32, asm.DWord), asm.JEq.Reg(asm.R0, asm.R7, unknown))
}

// name compares a name of the kernel up to its first NUL.
func (l *lowering) name(s step, base asm.Register, at int16, yes, no string) {
	text := []byte(s.Text)
	if s.Whole {
		text = append(text, 0)
	}
	if len(text) > bpf.CommLen || len(text) == bpf.CommLen && !s.Whole || s.Whole && len(text) == 1 {
		l.jump(no)
		return
	}
	if len(text) == 0 { // any name but none
		l.put(asm.LoadMem(asm.R0, base, at, asm.Byte), asm.JNE.Imm(asm.R0, 0, yes))
		l.jump(no)
		return
	}
	for i := 0; i < len(text); i += 8 {
		var want, mask [8]byte
		for j := range copy(want[:], text[i:]) {
			mask[j] = 0xff
		}
		l.put(asm.LoadMem(asm.R0, base, at+int16(i), asm.DWord))
		if m := binary.LittleEndian.Uint64(mask[:]); m != math.MaxUint64 {
			l.put(number(m), asm.And.Reg(asm.R0, asm.R6))
		}
		l.put(number(binary.LittleEndian.Uint64(want[:])), asm.JNE.Reg(asm.R0, asm.R6, no))
	}
	l.jump(yes)
}

// task: "pid", "uid" and "gid".
func (l *lowering) task(s step, yes, no, unknown string) {
	field := map[filter.Field]string{filter.FieldPID: "pid", filter.FieldUID: "uid", filter.FieldGID: "gid"}[s.Field]
	if s.End != filter.Dst {
		next := l.ifNotSender(s, no, unknown)
		l.senderKnown(next)
		l.put(asm.LoadMem(asm.R0, asm.R1, l.sender(field), asm.Word), number(s.Number), asm.JEq.Reg(asm.R0, asm.R6, yes))
		l.jump(next)
		if s.End == filter.Src || l.asksTask() {
			return
		}
		l.begin(next)
	}
	reader, nobody := l.here(), l.here()
	l.put(l.load(asm.R0, asm.R1, "data_event.reader_pid", asm.Word), asm.JNE.Imm(asm.R0, 0, reader))
	l.flag(bpf.DataWaiting, unknown) // who will read it?
	l.put(l.load(asm.R0, asm.R3, "end.version", asm.Word), asm.JEq.Imm(asm.R0, 0, unknown),
		l.load(asm.R0, asm.R3, "end.reader", asm.Word), asm.JEq.Imm(asm.R0, 0, nobody))
	l.forgotten(unknown)
	l.begin(reader)
	if field == "pid" {
		l.put(number(s.Number), asm.JEq.Reg(asm.R0, asm.R6, yes))
		l.jump(no)
	} else { // known of the last reader that was told of
		l.put(l.load(asm.R7, asm.R3, "end.reader", asm.Word), asm.JNE.Reg(asm.R0, asm.R7, unknown),
			l.load(asm.R0, asm.R3, "end.reader_"+field, asm.Word), number(s.Number), asm.JEq.Reg(asm.R0, asm.R6, yes))
		l.jump(no)
	}
	l.begin(nobody)
	l.put(l.load(asm.R0, asm.R2, "end.peer_"+field, asm.Word), number(s.Number), asm.JEq.Reg(asm.R0, asm.R6, yes))
	l.jump(no)
}

// fieldOffsets gives the offsets of what lowered functions read, by the
// object's own types.
func fieldOffsets(types *btf.Spec) (map[string]int16, error) {
	fields := make(map[string]int16)
	for _, name := range []string{"data_event", "task_id", "end"} {
		var s *btf.Struct
		if err := types.TypeByName(name, &s); err != nil {
			return nil, fmt.Errorf("struct %s: %w", name, err)
		}
		for _, m := range s.Members {
			fields[name+"."+m.Name] = int16(m.Offset.Bytes())
		}
	}
	return fields, nil
}
