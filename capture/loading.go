package capture

import (
	"errors"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"sync"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/btf"
)

// probe tells early that a set can't be had here, as far as little work shows.
func probe(set string, types *btf.Cache) error {
	if set == hooksKprobe {
		return probeKprobe()
	}
	if set != hooksFentry {
		return nil
	}
	coll, err := ebpf.NewCollectionWithOptions(&ebpf.CollectionSpec{Programs: map[string]*ebpf.ProgramSpec{"probe": {
		Name: "probe", Type: ebpf.Tracing, AttachType: ebpf.AttachTraceFEntry, AttachTo: "unix_stream_sendmsg", License: "GPL",
		Instructions: asm.Instructions{asm.Mov.Imm(asm.R0, 0), asm.Return()},
	}}}, ebpf.CollectionOptions{Cache: types})
	if err != nil {
		return &Error{Op: "load programs", Name: set, Err: err}
	}
	coll.Close()
	return nil
}

// probeKprobe looks for either of the ways to make one.
func probeKprobe() error {
	_, err := os.Stat("/sys/bus/event_source/devices/kprobe")
	if !errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if dir, err := tracefs(); err == nil {
		if _, err := os.Stat(filepath.Join(dir, "kprobe_events")); !errors.Is(err, fs.ErrNotExist) {
			return nil
		}
	}
	return &Error{Op: "attach", Name: hooksKprobe, Err: err}
}

// loaders is how many programs the kernel verifies at a time.
const loaders = 2

// loadPrograms makes the maps, then loads the programs, several at a time: what
// takes long is the kernel's verifier.
func loadPrograms(spec *ebpf.CollectionSpec, types *btf.Cache) (*ebpf.Collection, error) {
	programs := spec.Programs
	spec.Programs = nil
	coll, err := ebpf.NewCollectionWithOptions(spec, ebpf.CollectionOptions{Cache: types})
	spec.Programs = programs
	if err != nil {
		return nil, err
	}
	var parts [loaders]*ebpf.Collection
	var errs [loaders]error
	var all sync.WaitGroup
	for i, names := range shares(programs) {
		all.Go(func() {
			part := *spec
			part.Programs = make(map[string]*ebpf.ProgramSpec)
			for _, name := range names {
				part.Programs[name] = programs[name]
			}
			parts[i], errs[i] = ebpf.NewCollectionWithOptions(&part, ebpf.CollectionOptions{Cache: types, MapReplacements: coll.Maps})
		})
	}
	all.Wait()
	for _, part := range parts {
		if part == nil {
			continue
		}
		for name := range part.Programs {
			coll.Programs[name] = part.DetachProgram(name)
		}
		part.Close() // its handles of the maps
	}
	if i := slices.IndexFunc(errs[:], func(err error) bool { return err != nil }); i >= 0 {
		coll.Close()
		return nil, errs[i]
	}
	return coll, nil
}

// shares divides the programs, the longest first.
func shares(programs map[string]*ebpf.ProgramSpec) [loaders][]string {
	names := slices.SortedFunc(maps.Keys(programs), func(a, b string) int {
		return len(programs[b].Instructions) - len(programs[a].Instructions)
	})
	var all [loaders][]string
	for i, name := range names {
		all[i%loaders] = append(all[i%loaders], name)
	}
	return all
}
