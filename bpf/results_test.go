package bpf

import (
	"testing"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
)

// TestResults: up to v6.3 what changes a map gives an int, in half of a register of
// which the other half is 0. No error of it is equal to a negative number of 64 bits.
func TestResults(t *testing.T) {
	eachObject(t, func(t *testing.T, p *ebpf.ProgramSpec) (found int) {
		for i, ins := range p.Instructions {
			if !changesMap(ins) {
				continue
			}
			found++
			if next := p.Instructions[i+1]; next.OpCode.Class() == asm.JumpClass && next.Dst == asm.R0 && next.Constant < 0 {
				t.Errorf("%s: instruction %d: %v", p.Name, i+1, next)
			}
		}
		return found
	})
}

func changesMap(ins asm.Instruction) bool {
	if !ins.IsBuiltinCall() {
		return false
	}
	f := asm.BuiltinFunc(ins.Constant)
	return f == asm.FnMapUpdateElem || f == asm.FnMapDeleteElem
}
