package capture

import (
	"encoding/binary"
	"errors"

	"github.com/cilium/ebpf"

	"github.com/sockcap/sockcap/bpf"
)

// nameTable tells the kernel side which of the filter's paths a bound name
// matches: by the name's number, in memory that both share. A name keeps its
// place for as long as the capture runs. Of a name that finds no room the
// kernel side knows nothing, and what is sent there is filtered here.
type nameTable struct {
	seed    uint64
	memory  *ebpf.Memory
	epoch   *ebpf.Variable
	changes uint32
	used    [bpf.NameSets]uint8
	judged  map[uint64]judgedName
	refused uint64
}

// judgedName is a name with its verdict.
type judgedName struct {
	at     int64      // where that is
	paths  uint64     // that it matches, by bit
	socket bpf.Socket // the first that had it
}

// The layout of struct named: its number, the verdict.
const (
	namedSize   = 16
	verdictAt   = 8
	nameSetSize = bpf.NameWays * namedSize
)

func newNameTable(progs *programs) (*nameTable, error) {
	t := &nameTable{seed: progs.filter.seed, epoch: progs.coll.Variables["filter_epoch"], judged: make(map[uint64]judgedName)}
	var err error
	if t.memory, err = progs.coll.Maps["names"].Memory(); err != nil {
		return nil, err
	}
	if t.epoch == nil {
		return nil, errors.New("no filter_epoch in the object")
	}
	return t, nil
}

// number is the kernel side's for a socket's name, 0 if it has none.
func (t *nameTable) number(s *bpf.Socket) uint64 {
	return bpf.NameOf(t.seed, s.Address[:s.AddressLen], s.File, s.Device)
}

// knows reports whether a name was judged.
func (t *nameTable) knows(name uint64) bool {
	_, ok := t.judged[name]
	return ok
}

// judge sets the verdict on the name of a socket: the paths that it matches, by
// bit.
func (t *nameTable) judge(name, paths uint64, s *bpf.Socket) error {
	n, known := t.judged[name]
	if !known {
		set := name % bpf.NameSets
		if t.used[set] == bpf.NameWays {
			t.refused++
			return nil
		}
		n = judgedName{at: int64(set)*nameSetSize + int64(t.used[set])*namedSize, socket: *s}
		t.used[set]++
	}
	n.paths = paths
	t.judged[name] = n
	if err := t.write(n.at+verdictAt, paths|bpf.NameJudged); err != nil {
		return err
	}
	if !known {
		if err := t.write(n.at, name); err != nil {
			return err
		}
	}
	t.changes++
	return t.epoch.Set(t.changes)
}

func (t *nameTable) write(at int64, word uint64) error {
	var b [8]byte
	binary.NativeEndian.PutUint64(b[:], word)
	_, err := t.memory.WriteAt(b[:], at)
	return err
}
