package capture

import "testing"

// TestManyWriters: ten tasks write one stream in parts; the parts
// of a send keep one number.
func TestManyWriters(t *testing.T) {
	s := newSockets()
	a := s.of(1)
	var first [10]uint64
	for round := range 3 {
		for i := range first {
			n := s.message(a, uint64(100+i))
			if round == 0 {
				first[i] = n
			} else if n != first[i] {
				t.Fatalf("send %d is %d, then %d", i, first[i], n)
			}
		}
	}
}
