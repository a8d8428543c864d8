package capture

import (
	"sync/atomic"
	"testing"

	"github.com/cilium/ebpf"
)

// TestStocks: what is made ahead is given once, to whoever asks first, and is
// closed if nobody does.
func TestStocks(t *testing.T) {
	var made atomic.Uint32
	s := stockUp(func() (*stock, error) {
		made.Add(1)
		return &stock{}, nil
	})
	first, _ := s.take()
	second, _ := s.take()
	if first == nil || second == nil || first == second || made.Load() != 2 {
		t.Errorf("%p and %p of %d", first, second, made.Load())
	}
}

// TestStocksClose: a map that was made ahead is closed unless it was taken.
func TestStocksClose(t *testing.T) {
	for _, take := range []bool{false, true} {
		m, err := ebpf.NewMap(&ebpf.MapSpec{Type: ebpf.Array, KeySize: 4, ValueSize: 4, MaxEntries: 1})
		if err != nil {
			t.Fatal(err)
		}
		s := stockUp(func() (*stock, error) { return &stock{coll: &ebpf.Collection{Maps: map[string]*ebpf.Map{"m": m}}}, nil })
		if take {
			if _, err := s.take(); err != nil {
				t.Fatal(err)
			}
		}
		s.close()
		if err := m.Put(uint32(0), uint32(1)); (err == nil) != take {
			t.Errorf("taken %v: %v", take, err)
		}
		m.Close()
	}
}
