package bpf

import (
	"slices"
	"strings"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
)

// maxStack is MAX_BPF_STACK of include/linux/filter.h: so much all functions
// have together that are called from one another. Each counts with a multiple
// of 32 bytes, at least one (check_max_stack_depth in kernel/bpf/verifier.c; since
// v6.12 of 16, where the JIT is in use).
const (
	maxStack  = 512
	stackUnit = 32
)

// TestStack: no program of either object needs more stack than the verifiers
// of all kernels allow. Dead code counts too: it is taken out later.
func TestStack(t *testing.T) {
	for _, object := range []string{"sockcap_x86_bpfel.o", "sockcap_arm64_bpfel.o"} {
		spec, err := ebpf.LoadCollectionSpec(object)
		if err != nil {
			t.Fatal(err)
		}
		deepest, which := 0, ""
		for name, p := range spec.Programs {
			depth, chain := stackDepth(t, p.Instructions)
			if depth > maxStack {
				t.Errorf("%s: %s needs %d bytes of stack, want at most %d: %s", object, name, depth, maxStack, strings.Join(chain, " > "))
			}
			if depth > deepest {
				deepest, which = depth, strings.Join(chain, " > ")
			}
		}
		t.Logf("%s: %d programs, the deepest needs %d bytes: %s", object, len(spec.Programs), deepest, which)
		if deepest < 256 { // put_unit's job alone is that large
			t.Errorf("%s: only %d bytes found", object, deepest)
		}
	}
}

// stackDepth is what a program needs with all that it calls, and by which way.
func stackDepth(t *testing.T, program asm.Instructions) (int, []string) {
	t.Helper()
	frames, calls := make(map[string]int), make(map[string][]string)
	function := ""
	var stack [11]bool // registers that point into the frame
	var at [11]int     // and where
	for _, ins := range program {
		if ins.Symbol() != "" {
			function = ins.Symbol()
			stack, at = [11]bool{asm.RFP: true}, [11]int{}
		}
		deepen := func(offset int) { frames[function] = max(frames[function], -offset) }
		op := ins.OpCode
		switch class := op.Class(); {
		case class.IsStore() && stack[ins.Dst]:
			deepen(at[ins.Dst] + int(ins.Offset))
		case class == asm.LdXClass && stack[ins.Src]:
			deepen(at[ins.Src] + int(ins.Offset))
		}
		switch {
		case op.Class().IsALU() && op.ALUOp() == asm.Mov && op.Source() == asm.RegSource:
			stack[ins.Dst], at[ins.Dst] = stack[ins.Src], at[ins.Src]
		case op.Class().IsALU() && op.ALUOp() == asm.Add && op.Source() == asm.ImmSource && stack[ins.Dst]:
			at[ins.Dst] += int(ins.Constant)
			deepen(at[ins.Dst])
		case op.Class().IsALU() || op.Class().IsLoad():
			stack[ins.Dst] = false
		case ins.IsFunctionCall():
			calls[function] = append(calls[function], ins.Reference())
		}
	}
	var depth func(function string, callers []string) (int, []string)
	depth = func(function string, callers []string) (int, []string) {
		if slices.Contains(callers, function) {
			t.Fatalf("%s calls itself", function)
		}
		most, way := 0, []string(nil)
		for _, called := range calls[function] {
			if n, w := depth(called, append(callers, function)); n > most {
				most, way = n, w
			}
		}
		own := (max(frames[function], 1) + stackUnit - 1) / stackUnit * stackUnit
		return own + most, append([]string{function}, way...)
	}
	return depth(program[0].Symbol(), nil)
}
