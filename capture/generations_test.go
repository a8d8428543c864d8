package capture

import (
	"math/rand/v2"
	"testing"
	"time"
)

// TestShortcut: whatever happens to the map, a shortcut gives what the map
// does, and keeps from being forgotten what is asked for.
func TestShortcut(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	var s shortcut[int, int]
	short, plain := newGenerations[int, int](5), newGenerations[int, int](5)
	for i := range 100_000 {
		k := random.IntN(12)
		switch random.IntN(20) {
		case 0:
			short.put(k, i)
			plain.put(k, i)
		case 1:
			short.remove(k)
			plain.remove(k)
		case 2:
			short.age()
			plain.age()
		default:
			got, ok := s.get(short, k, uint64(k%7))
			if want, known := plain.get(k); got != want || ok != known {
				t.Fatalf("step %d: %d is %d %t, want %d %t", i, k, got, ok, want, known)
			}
		}
	}
}
