package capture

import (
	"github.com/cilium/ebpf/asm"

	"github.com/sockcap/sockcap/capture/filter"
)

// lowerTasks makes filter_sender and filter_reader of a filter that leaves
// nothing out for who sends alone, but leaves out all where none of its
// conditions on tasks holds: each says no to a task for which none of those of
// its end does. Nil says that the filter is no such, or that one would never say
// no.
func lowerTasks(steps []step, fields map[string]int16) (sender, reader asm.Instructions) {
	if keepsWithoutTasks(steps) {
		return nil, nil
	}
	sender = lowerEnd(senderFunction, filter.Dst, steps, fields)
	reader = lowerEnd(readerFunction, filter.Src, steps, fields)
	if sender == nil || reader == nil {
		return nil, nil
	}
	return sender, reader
}

// asksTask reports whether a step asks something of a task that the kernel side
// knows at once.
func asksTask(s step) bool { return asksComm(s) || asksIDs(s) }

func asksComm(s step) bool { return s.Field == filter.FieldComm }

func asksIDs(s step) bool {
	switch s.Field {
	case filter.FieldPID, filter.FieldUID, filter.FieldGID:
		return true
	}
	return false
}

// asksReader reports whether a step may ask something of who reads.
func asksReader(s step) bool {
	return s.Field == filter.FieldOther || asksTask(s) && s.End != filter.Src
}

// keepsWithoutTasks reports whether something may be kept for which no step that
// asks something of a task holds.
func keepsWithoutTasks(steps []step) bool {
	i := 0
	for i >= 0 {
		if asksTask(steps[i]) {
			i = steps[i].no
		} else {
			i = steps[i].unknown
		}
	}
	return i == filter.Keep
}

// lowerEnd gives a function that says no to a task for which no step holds that
// asks something of it, but for those of the other end.
func lowerEnd(function string, other filter.End, steps []step, fields map[string]int16) asm.Instructions {
	var asked []step
	for _, s := range steps {
		if !asksTask(s) || s.End == other {
			continue
		}
		s.End = filter.Src // what the function has is the task itself
		s.yes, s.unknown, s.no = filter.Keep, filter.Keep, len(asked)+1
		asked = append(asked, s)
	}
	if len(asked) == 0 {
		return asm.Instructions{asm.Mov.Imm(asm.R0, 0), asm.Return()}
	}
	asked[len(asked)-1].no = filter.Drop
	return lower(function, asked, fields)
}
