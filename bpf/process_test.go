package bpf

import (
	"encoding/binary"
	"errors"
	"reflect"
	"testing"
)

// processRecord is a struct process_event with a different byte at every place,
// and names of these lengths behind it.
func processRecord(names string, exe, group, args uint16) []byte {
	r := make([]byte, processSize, processSize+len(names))
	for i := range r {
		r[i] = byte(i*7 + 3)
	}
	r[0] = byte(KindProcess)
	r[1], r[2] = 0, 0 // flags
	binary.LittleEndian.PutUint16(r[40:], exe)
	binary.LittleEndian.PutUint16(r[42:], group)
	binary.LittleEndian.PutUint16(r[44:], args)
	return append(r, names...)
}

func TestDecodeProcess(t *testing.T) {
	r := processRecord("cat\x00bin\x00c.service\x00x.slice\x00cat\x00a b\x00and what is not told", 8, 18, 8)
	var e Event
	if err := Decode(&e, r); err != nil {
		t.Fatal(err)
	}
	checkFields(t, reflect.ValueOf(e.Process.ProcessHead), r, 0)
	for what, c := range map[string]struct{ got, want string }{
		"exe":    {e.Process.Exe(), "/bin/cat"},
		"cgroup": {e.Process.Cgroup(), "/x.slice/c.service"},
		"args":   {string(e.Process.Args), "cat\x00a b\x00"},
	} {
		if c.got != c.want {
			t.Errorf("%s: %q, want %q", what, c.got, c.want)
		}
	}
	for n := range len(r) {
		err := Decode(&e, r[:n])
		var wrong *Error
		if want := processSize + 34; n < want && !errors.As(err, &wrong) {
			t.Errorf("%d of %d bytes: %v, want an error", n, len(r), err)
		} else if n >= want && err != nil {
			t.Errorf("%d of %d bytes: %v", n, len(r), err)
		}
	}
}

// TestDecodeProcessWithout: one that has no program, and is in the root of all
// control groups.
func TestDecodeProcessWithout(t *testing.T) {
	var e Event
	if err := Decode(&e, processRecord("", 0, 0, 0)); err != nil {
		t.Fatal(err)
	}
	if exe, group := e.Process.Exe(), e.Process.Cgroup(); exe != "" || group != "/" {
		t.Errorf("exe %q, cgroup %q, want none and the root", exe, group)
	}
}
