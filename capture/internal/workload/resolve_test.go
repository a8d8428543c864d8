package workload

import (
	"bytes"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sockcap/sockcap/pcapng"
)

// twoWriters is a flow on which two tasks sent three times 40 bytes each, and
// the contents of the sends.
func twoWriters(typ pcapng.SocketType) (*Truth, [][]byte) {
	t := &Truth{Seed: seed, Tasks: []Task{{PID: 1, TID: 1}, {PID: 1, TID: 2}, {PID: 3, TID: 3}},
		Flows: []Flow{{Name: "up", Type: typ, From: 11, To: 12}}}
	var data [][]byte
	for task := range 2 {
		for i := range 3 {
			x := Send{ID: uint64(task)<<32 | uint64(i+1), Task: task, From: 11, Len: 40, Done: 40, Trim: -1, FDs: -1}
			t.Sends = append(t.Sends, x)
			data = append(data, t.Content(&x))
		}
	}
	return t, data
}

func reads(task int, data ...[]byte) []recv {
	r := recv{Sock: 12, Task: task}
	for _, p := range data {
		r.add(p)
	}
	return []recv{r}
}

// TestResolveStream: the order of interleaved writers is found byte by byte.
func TestResolveStream(t *testing.T) {
	truth, d := twoWriters(pcapng.Stream)
	err := truth.resolve(reads(2, slices.Concat(d[0], d[3][:7], d[1], d[3][7:], d[4], d[5], d[2])))
	if err != nil {
		t.Fatal(err)
	}
	want := []Unit{{Send: 0, Len: 40}, {Send: 3, Len: 7}, {Send: 1, Len: 40}, {Send: 3, Off: 7, Len: 33},
		{Send: 4, Len: 40}, {Send: 5, Len: 40}, {Send: 2, Len: 40}}
	if diff := cmp.Diff(want, truth.Flows[0].Units); diff != "" {
		t.Errorf("units (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]uint32{3}, truth.Flows[0].Readers); diff != "" {
		t.Errorf("readers (-want +got):\n%s", diff)
	}
}

// TestResolveMessages: so is that of messages, with their place in the queue.
func TestResolveMessages(t *testing.T) {
	truth, d := twoWriters(pcapng.Datagram)
	if err := truth.resolve(reads(2, d[3], d[0], d[1], d[4], d[5], d[2])); err != nil {
		t.Fatal(err)
	}
	var got []int
	for _, u := range truth.Flows[0].Units {
		got = append(got, u.Send)
	}
	if diff := cmp.Diff([]int{3, 0, 1, 4, 5, 2}, got); diff != "" {
		t.Errorf("sends (-want +got):\n%s", diff)
	}
}

// TestResolveRefuses: readers that did not get what was sent are found.
func TestResolveRefuses(t *testing.T) {
	flipped := func(p []byte) []byte {
		p = bytes.Clone(p)
		p[20] ^= 1
		return p
	}
	for _, typ := range []pcapng.SocketType{pcapng.Stream, pcapng.Datagram} {
		_, d := twoWriters(typ)
		for name, got := range map[string][][]byte{
			"byte changed":     {d[0], flipped(d[1])},
			"swapped":          {d[1], d[0]},
			"twice":            {d[0], d[0]},
			"one lost":         {d[0], d[2]},
			"more than sent":   {d[0], d[1], d[2], d[3], d[4], d[5], d[5]},
			"bytes left out":   {d[0][1:]},
			"of another case":  {content(seed+1, 1, 40)},
			"of another queue": {content(seed, 5<<32|1, 40)},
		} {
			truth, _ := twoWriters(typ)
			if err := truth.resolve(reads(2, got...)); err == nil {
				t.Errorf("type %d, %s: no error", typ, name)
			}
		}
	}
}

// TestResolveShared: two readers must have got every byte once between them.
func TestResolveShared(t *testing.T) {
	for _, typ := range []pcapng.SocketType{pcapng.Stream, pcapng.Datagram} {
		one := func() (*Truth, [][]byte) {
			truth, d := twoWriters(typ)
			truth.Sends = truth.Sends[:3]
			return truth, d
		}
		truth, d := one()
		if err := truth.resolve(append(reads(1, d[1]), reads(2, d[0], d[2])...)); err != nil {
			t.Errorf("type %d: %v", typ, err)
		}
		truth, _ = one()
		if err := truth.resolve(append(reads(1, d[1]), reads(2, d[0])...)); err == nil {
			t.Errorf("type %d, one lost: no error", typ)
		}
		truth, _ = one()
		if err := truth.resolve(append(reads(1, d[1]), reads(2, d[0], d[1])...)); err == nil {
			t.Errorf("type %d, one twice: no error", typ)
		}
	}
}

// TestResolveUnread: what nobody read is what the kernel took.
func TestResolveUnread(t *testing.T) {
	truth, d := twoWriters(pcapng.Stream)
	truth.Sends = truth.Sends[:3]
	truth.Sends[1].Done = 13
	truth.Sends[2].Done = Failed
	if err := truth.resolve(reads(2, d[0][:30])); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]Unit{{Send: 0, Len: 40}, {Send: 1, Len: 13}}, truth.Flows[0].Units); diff != "" {
		t.Errorf("units (-want +got):\n%s", diff)
	}
}

// TestContentTellsTask: no byte of one task is a byte of another.
func TestContentTellsTask(t *testing.T) {
	for task := range uint64(8) {
		for i, b := range content(seed, task<<32|7, 1001) {
			if uint64(b>>tagShift) != task {
				t.Fatalf("byte %d of task %d is %#x", i, task, b)
			}
		}
	}
}
