package capture

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/btf"

	"github.com/sockcap/sockcap/bpf"
	"github.com/sockcap/sockcap/capture/filter"
)

// kernelFilter is what the kernel side tests of Options.Paths and
// Options.Filter before it copies a byte.
type kernelFilter struct {
	steps []step
	bits  map[*filter.Path]int // places in a verdict on a name; 0 is that of Options.Paths
	keep  asm.Instructions     // nil: never says no
	hope  asm.Instructions
	from  asm.Instructions
	read  asm.Instructions // from asks for it
	seed  uint64           // of the names' numbers
}

// maxSteps bounds what the verifiers have to follow. Of a longer expression the
// kernel side tests nothing.
const maxSteps = 256

func newKernelFilter(o *Options) (*kernelFilter, error) {
	if len(o.Paths) == 0 && o.Filter.All() {
		return &kernelFilter{}, nil
	}
	types, err := bpf.Types()
	if err != nil {
		return nil, err
	}
	fields, err := fieldOffsets(types)
	if err != nil {
		return nil, err
	}
	return lowerFilter(o, fields), nil
}

// lowerFilter makes the filter's functions, which find the fields of structs
// at these offsets.
func lowerFilter(o *Options, fields map[string]int16) *kernelFilter {
	f := &kernelFilter{bits: make(map[*filter.Path]int)}
	o.Filter.EachPath(func(p *filter.Path) { f.bits[p] = len(f.bits) + 1 })
	tests := o.Filter.Tests()
	if len(tests) > maxSteps {
		tests = nil
	}
	f.addPaths(o.Paths, len(tests) > 0)
	first := len(f.steps)
	at := func(i int) int {
		if i < 0 {
			return i
		}
		return first + i
	}
	for _, t := range tests {
		s := step{Condition: t.Condition, text: t.Condition.String(), yes: at(t.Yes), no: at(t.No), unknown: at(t.Unknown)}
		if t.Condition.Field == filter.FieldPath {
			s.bit = f.bits[t.Condition.Path]
		}
		f.steps = append(f.steps, s)
	}
	if len(f.steps) > 0 {
		f.keep = lower(keepFunction, f.steps, fields)
		f.hope = lower(hopeFunction, f.steps, fields)
		if f.from = lower(senderFunction, f.steps, fields); f.from == nil {
			f.from, f.read = lowerTasks(f.steps, fields)
		}
	}
	return f
}

// set sets the programs' knobs.
func (f *kernelFilter) set(k *bpf.Knobs) {
	f.seed = rand.Uint64()
	k.NameSeed = f.seed
	k.Filtering = f.keep != nil
	k.FiltersSockets = f.hope != nil
	k.FiltersSenders = f.from != nil
	k.FiltersReaders = f.read != nil
	k.AsksReaders = slices.ContainsFunc(f.steps, asksReader)
	k.AsksIDs, k.AsksComms = slices.ContainsFunc(f.steps, asksIDs), slices.ContainsFunc(f.steps, asksComm)
	k.FiltersNames = f.names()
}

// addPaths adds the step of Options.Paths; more says that others follow.
func (f *kernelFilter) addPaths(names []string, more bool) {
	if len(names) == 0 {
		return
	}
	next := filter.Keep
	if more {
		next = 1
	}
	s := step{text: "path " + strings.Join(names, " or "), yes: next, no: filter.Drop, unknown: next}
	s.Field = filter.FieldPath
	f.steps = append(f.steps, s)
}

// names reports whether verdicts on names are wanted.
func (f *kernelFilter) names() bool {
	for _, s := range f.steps {
		if s.Field == filter.FieldPath {
			return true
		}
	}
	return false
}

// functions gives the functions that may say no, by their names.
func (f *kernelFilter) functions() map[string]asm.Instructions {
	all := map[string]asm.Instructions{keepFunction: f.keep, hopeFunction: f.hope, senderFunction: f.from, readerFunction: f.read}
	maps.DeleteFunc(all, func(_ string, code asm.Instructions) bool { return code == nil })
	return all
}

// The maps that only the filter's functions need.
const (
	endsMap  = "ends"
	hopesMap = "hopes"
)

// install puts the functions in the place of their stubs, and gives the maps
// that only they need the room to work, or none.
func (f *kernelFilter) install(spec *ebpf.CollectionSpec) error {
	for function, code := range f.functions() {
		for name, p := range spec.Programs {
			var err error
			if p.Instructions, err = replaceFunction(p.Instructions, function, code); err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
		}
	}
	if f.keep == nil {
		spec.Maps[endsMap].MaxEntries = 1
	}
	if f.hope == nil {
		spec.Maps[hopesMap].MaxEntries = 1
	}
	return nil
}

// replaceFunction gives a program with another body of a function, if it calls
// it.
func replaceFunction(program asm.Instructions, function string, body asm.Instructions) (asm.Instructions, error) {
	from := -1
	to := len(program)
	for i, ins := range program {
		switch {
		case ins.Symbol() == function:
			from = i
		case from >= 0 && ins.Symbol() != "":
			to = i
		}
		if to < len(program) {
			break
		}
	}
	if from < 0 {
		return program, nil
	}
	if btf.FuncMetadata(&program[from]) == nil {
		return nil, fmt.Errorf("%s is no function", function)
	}
	all := append(asm.Instructions{}, program[:from]...)
	for i, ins := range body {
		if i == 0 {
			ins = ins.WithMetadata(program[from].Metadata)
		}
		all = append(all, ins)
	}
	return append(all, program[to:]...), nil
}
