package pcapng

import (
	"fmt"
	"reflect"
	"strings"
	"testing"
)

// TestWords: every number of FORMAT.md has its word, the others themselves.
func TestWords(t *testing.T) {
	list := func(word func(int) fmt.Stringer, n int) string {
		var words []string
		for i := range n {
			words = append(words, word(i).String())
		}
		return strings.Join(words, " ")
	}
	for _, test := range []struct{ got, want string }{
		{list(func(i int) fmt.Stringer { return Event(i) }, 12),
			"0 data read connect accept listen shutdown close refused snapshot lost 11"},
		{list(func(i int) fmt.Stringer { return SocketType(i) }, 7), "0 stream dgram 3 4 seqpacket 6"},
		{list(func(i int) fmt.Stringer { return Role(i) }, 4), "unknown client server 3"},
		{list(func(i int) fmt.Stringer { return Stamp(i) }, 4), "queued read waiting 3"},
		{list(func(i int) fmt.Stringer { return FDKind(i) }, 8), "other file pipe socket memfd device pidfd 7"},
		{list(func(i int) fmt.Stringer { return State(i) }, 7), "0 listening connected unconnected connecting disconnected 6"},
		{fmt.Sprint(Uncertain(0).Words(), UncertainSender.Words(), UncertainOrder.Words(), Uncertain(3).Words()),
			"[] [sender] [order] [sender order]"},
	} {
		if test.got != test.want {
			t.Errorf("%s, want %s", test.got, test.want)
		}
	}
}

// TestClone: a clone is equal, and stays so when the packet is used again.
func TestClone(t *testing.T) {
	p := full()
	q := p.Clone()
	if !reflect.DeepEqual(p, q) {
		t.Errorf("-packet +clone:\n%s", diff(p, q))
	}
	p.Data[0], p.FDs[0].Num, p.Reader.PID, p.Cred.PID, p.Holders[0].PID = 'X', 0, 0, 0, 0
	if !reflect.DeepEqual(q, full()) {
		t.Errorf("-clone before +after:\n%s", diff(full(), q))
	}
	if empty := new(Packet).Clone(); !reflect.DeepEqual(empty, new(Packet)) {
		t.Errorf("clone of an empty packet: %+v", empty)
	}
}
