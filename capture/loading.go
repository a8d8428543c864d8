package capture

import (
	"errors"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"

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

// loadPrograms makes the maps that are not there yet, then loads the programs,
// on each CPU one at a time: what takes long is the kernel's verifier.
func (s *stock) loadPrograms(types *btf.Cache) error {
	if err := s.makeMaps(types, isLate); err != nil {
		return err
	}
	names := longestFirst(s.spec.Programs)
	loaded := make([]*ebpf.Program, len(names))
	errs := make([]error, len(names))
	queue := make(chan int, len(names))
	for i := range names {
		queue <- i
	}
	close(queue)
	var failed atomic.Bool // then none of the rest is tried
	var all sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		all.Go(func() {
			for i := range queue {
				if failed.Load() {
					return
				}
				if loaded[i], errs[i] = s.loadProgram(names[i], types); errs[i] != nil {
					failed.Store(true)
				}
			}
		})
	}
	all.Wait()
	s.coll.Programs = make(map[string]*ebpf.Program)
	for i, p := range loaded {
		if p != nil {
			s.coll.Programs[names[i]] = p
		}
	}
	if i := slices.IndexFunc(errs, func(err error) bool { return err != nil }); i >= 0 {
		return errs[i]
	}
	return nil
}

// longestFirst gives the programs' names, so that none is long under way when
// all others are in place.
func longestFirst(programs map[string]*ebpf.ProgramSpec) []string {
	return slices.SortedFunc(maps.Keys(programs), func(a, b string) int {
		return len(programs[b].Instructions) - len(programs[a].Instructions)
	})
}

// loadProgram loads one of the programs.
func (s *stock) loadProgram(name string, types *btf.Cache) (*ebpf.Program, error) {
	alone := *s.spec
	alone.Programs = map[string]*ebpf.ProgramSpec{name: s.spec.Programs[name]}
	alone.Maps, alone.Variables = make(map[string]*ebpf.MapSpec), nil
	used := make(map[string]*ebpf.Map)
	for _, ins := range s.spec.Programs[name].Instructions {
		if ref := ins.Reference(); ins.IsLoadFromMap() {
			alone.Maps[ref], used[ref] = s.spec.Maps[ref], s.coll.Maps[ref]
		}
	}
	coll, err := ebpf.NewCollectionWithOptions(&alone, ebpf.CollectionOptions{Cache: types, MapReplacements: used})
	if err != nil {
		return nil, err
	}
	defer coll.Close() // its own handles of the maps
	return coll.DetachProgram(name), nil
}
