package bpf

import (
	"testing"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
)

// TestAtomics: of atomic operations v5.10 knows one, and none that gives the old
// value. The compiler makes others of an addition of 0, or whose result is used.
func TestAtomics(t *testing.T) {
	eachObject(t, func(t *testing.T, p *ebpf.ProgramSpec) (found int) {
		for i, ins := range p.Instructions {
			if ins.OpCode.Class() != asm.StXClass || ins.OpCode.Mode() != asm.AtomicMode {
				continue
			}
			found++
			if op := ins.OpCode.AtomicOp(); op != asm.AddAtomic {
				t.Errorf("%s: instruction %d: %v", p.Name, i, op)
			}
		}
		return found
	})
}

// eachObject looks at each program of each architecture. What it looks for must be
// found in some.
func eachObject(t *testing.T, look func(t *testing.T, p *ebpf.ProgramSpec) (found int)) {
	for _, object := range []string{"sockcap_x86_bpfel.o", "sockcap_arm64_bpfel.o"} {
		t.Run(object, func(t *testing.T) {
			spec, err := ebpf.LoadCollectionSpec(object)
			if err != nil {
				t.Fatal(err)
			}
			found := 0
			for _, p := range spec.Programs {
				found += look(t, p)
			}
			if found == 0 {
				t.Error("nothing found to look at")
			}
		})
	}
}
