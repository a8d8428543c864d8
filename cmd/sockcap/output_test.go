package main

import (
	"testing"
	"time"
)

// DESIGN 2.3: no more than 100 ms from the send to the output. Package capture
// orders packets for half of that.
func TestDelayBudget(t *testing.T) {
	if maxDelay >= 50*time.Millisecond {
		t.Errorf("a packet may stay in a buffer for %v", maxDelay)
	}
}
