package capture

import (
	"cmp"
	"maps"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/btf"
	"github.com/cilium/ebpf/ringbuf"
	"github.com/cilium/ebpf/rlimit"

	"github.com/sockcap/sockcap/bpf"
)

// A stock is what a hook set is made from: our programs as they were compiled,
// and those of their maps that are the same whatever is found of the kernel,
// which are in it already.
type stock struct {
	spec *ebpf.CollectionSpec
	coll *ebpf.Collection // maps
	ring *ringbuf.Reader  // of the one that is the ring buffer
}

// ringMap is the ring buffer.
const ringMap = "ring"

// newStock makes one; its ring buffer, which takes as long as all other maps
// together, beside them.
func newStock(o *Options, types *btf.Cache) (*stock, error) {
	spec, err := bpf.Object()
	if err != nil {
		return nil, err
	}
	spec.Maps[ringMap].MaxEntries = uint32(o.BufferSize)
	o.Family.makeRoom(spec)
	if err := rlimit.RemoveMemlock(); err != nil {
		return nil, &Error{Op: "raise memlock limit", Err: err}
	}
	s := &stock{spec: spec, coll: &ebpf.Collection{Maps: make(map[string]*ebpf.Map), Variables: make(map[string]*ebpf.Variable)}}
	var ring *ebpf.Map
	var errRing error
	var all sync.WaitGroup
	all.Go(func() {
		if ring, errRing = ebpf.NewMap(spec.Maps[ringMap]); errRing == nil {
			s.ring, errRing = ringbuf.NewReader(ring)
		}
	})
	errMaps := s.makeMaps(types, isEarly)
	all.Wait()
	if ring != nil {
		s.coll.Maps[ringMap] = ring
	}
	if err := cmp.Or(errRing, errMaps); err != nil {
		s.close()
		return nil, err
	}
	return s, nil
}

// makeMaps makes those of the maps that are wanted, and their variables.
func (s *stock) makeMaps(types *btf.Cache, wanted func(name string) bool) error {
	some := *s.spec
	some.Programs = nil
	some.Maps = maps.Clone(some.Maps)
	maps.DeleteFunc(some.Maps, func(name string, _ *ebpf.MapSpec) bool { return !wanted(name) })
	some.Variables = maps.Clone(some.Variables)
	maps.DeleteFunc(some.Variables, func(_ string, v *ebpf.VariableSpec) bool { return !wanted(v.SectionName) })
	coll, err := ebpf.NewCollectionWithOptions(&some, ebpf.CollectionOptions{Cache: types})
	if err != nil {
		return err
	}
	maps.Copy(s.coll.Maps, coll.Maps)
	maps.Copy(s.coll.Variables, coll.Variables)
	return nil
}

// isLate says whether a map is not made ahead: variables, among which are the
// knobs, and what the filter needs room for or not.
func isLate(name string) bool {
	return strings.HasPrefix(name, ".") || name == endsMap || name == hopesMap
}

func isEarly(name string) bool { return !isLate(name) && name != ringMap }

// close closes what is there of it.
func (s *stock) close() {
	if s.ring != nil {
		s.ring.Close()
	}
	s.coll.Close()
}

// stocks makes a stock for each who asks, for the first one ahead.
type stocks struct {
	first func() (*stock, error)
	later func() (*stock, error)
	taken atomic.Bool
}

// stockUp begins to make the first.
func stockUp(stock func() (*stock, error)) *stocks {
	s := &stocks{first: sync.OnceValues(stock), later: stock}
	go s.first()
	return s
}

// take gives one, which is the caller's.
func (s *stocks) take() (*stock, error) {
	if s.taken.Swap(true) {
		return s.later()
	}
	return s.first()
}

// close closes the first, if nobody has taken it.
func (s *stocks) close() {
	if s.taken.Swap(true) {
		return
	}
	if first, err := s.first(); err == nil {
		first.close()
	}
}
