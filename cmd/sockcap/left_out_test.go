package main

import "testing"

// TestLeftOut: a connection that is met goes on to be left out, however many come
// after it; of those that are gone only the last are remembered.
func TestLeftOut(t *testing.T) {
	var l leftOut
	if l.has(1) {
		t.Error("nothing is left out yet")
	}
	l.add(1)
	for n := uint64(2); n < 5*maxLeftOut; n++ {
		l.add(n)
		if !l.has(1) || !l.has(n) {
			t.Fatalf("of 1 and %d: %v, %v", n, l.has(1), l.has(n))
		}
		if most := len(l.young) + len(l.old); most > 2*maxLeftOut+1 {
			t.Fatalf("%d are remembered", most)
		}
	}
	if l.has(2) {
		t.Error("one that was not met again is still remembered")
	}
}
