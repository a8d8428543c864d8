package bpf

import (
	"reflect"
	"testing"

	"github.com/cilium/ebpf/btf"
)

// TestLayout ties event.h to its mirror in Go: every field of every struct, by
// the BTF of the object itself.
func TestLayout(t *testing.T) {
	spec, err := loadSockcap()
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name string
		size int
		typ  reflect.Type
	}{
		{"task_id", 52, reflect.TypeFor[Task]()},
		{"data_event", dataSize, reflect.TypeFor[Data]()},
		{"socket_event", socketSize, reflect.TypeFor[Socket]()},
		{"unit_event", unitSize, reflect.TypeFor[Unit]()},
		{"reader_event", readerSize, reflect.TypeFor[Reader]()},
		{"read_event", readSize, reflect.TypeFor[Read]()},
		{"doubt_event", doubtSize, reflect.TypeFor[Doubt]()},
		{"life_event", lifeSize, reflect.TypeFor[Life]()},
		{"sent_event", sentSize, reflect.TypeFor[Sent]()},
		{"passed_event", passedSize, reflect.TypeFor[Passed]()},
		{"process_event", processSize, reflect.TypeFor[ProcessHead]()},
	} {
		var s *btf.Struct
		if err := spec.Types.TypeByName(c.name, &s); err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		if int(s.Size) != c.size || int(c.typ.Size()) < c.size {
			t.Errorf("%s: %d bytes in event.h, %d in decode.go", c.name, s.Size, c.size)
		}
		if len(s.Members) != c.typ.NumField() {
			t.Errorf("%s: %d members in event.h, %d in decode.go", c.name, len(s.Members), c.typ.NumField())
			continue
		}
		for i, m := range s.Members {
			f := c.typ.Field(i)
			size, err := btf.Sizeof(m.Type)
			if err != nil {
				t.Fatal(err)
			}
			if !sameName(m.Name, f.Name) || m.Offset.Bytes() != uint32(f.Offset) || size != int(f.Type.Size()) {
				t.Errorf("%s: %s at %d of %d bytes; %s at %d of %d bytes", c.name,
					f.Name, f.Offset, f.Type.Size(), m.Name, m.Offset.Bytes(), size)
			}
		}
	}
}

// sameName compares reader_pid with ReaderPid.
func sameName(c, goName string) bool {
	i := 0
	for j := 0; j < len(c); j++ {
		if c[j] == '_' {
			continue
		}
		if i >= len(goName) || lower(c[j]) != lower(goName[i]) {
			return false
		}
		i++
	}
	return i == len(goName)
}

func lower(b byte) byte {
	if 'A' <= b && b <= 'Z' {
		return b + 'a' - 'A'
	}
	return b
}

// TestDecodeFields puts a different byte at every place and looks for it where
// the layout says that it is.
func TestDecodeFields(t *testing.T) {
	kinds := []Kind{KindData, KindSocket, KindQueued, KindCanceled, KindConsumed, KindReader, KindDoubt, KindLife, KindPassed, KindSent}
	for _, kind := range kinds {
		record := make([]byte, 4096)
		for i := range record {
			record[i] = byte(i*7 + 3)
		}
		record[0] = byte(kind)
		record[4], record[5], record[6], record[7] = 100, 0, 0, 0 // Data.Size
		if kind == KindSocket || kind == KindLife {
			record[3] = 77 // AddressLen
		}
		var e Event
		if err := Decode(&e, record); err != nil {
			t.Fatal(err)
		}
		var got reflect.Value
		switch kind {
		case KindData:
			got = reflect.ValueOf(e.Data)
			if len(e.Payload) != 100 || e.Payload[0] != record[dataSize] {
				t.Errorf("payload of %d bytes, want 100 from %d on", len(e.Payload), dataSize)
			}
		case KindSocket:
			got = reflect.ValueOf(e.Socket)
		case KindConsumed:
			got = reflect.ValueOf(e.Read)
		case KindReader:
			got = reflect.ValueOf(e.Reader)
		case KindDoubt:
			got = reflect.ValueOf(e.Doubt)
		case KindLife:
			got = reflect.ValueOf(e.Life)
		case KindSent:
			got = reflect.ValueOf(e.Sent)
		case KindPassed:
			got = reflect.ValueOf(e.Passed)
			if len(e.Names) != len(record)-passedSize || e.Names[0] != record[passedSize] {
				t.Errorf("names of %d bytes, want the rest from %d on", len(e.Names), passedSize)
			}
		default:
			got = reflect.ValueOf(e.Unit)
		}
		checkFields(t, got, record, 0)
	}
}

func checkFields(t *testing.T, v reflect.Value, record []byte, base uintptr) {
	t.Helper()
	for i := range v.NumField() {
		f, at := v.Field(i), base+v.Type().Field(i).Offset
		switch {
		case f.Kind() == reflect.Struct:
			checkFields(t, f, record, at)
		case f.CanUint():
			var want uint64
			for b := int(f.Type().Size()) - 1; b >= 0; b-- {
				want = want<<8 | uint64(record[int(at)+b])
			}
			if f.Uint() != want {
				t.Errorf("%s.%s = %#x, want %#x", v.Type(), v.Type().Field(i).Name, f.Uint(), want)
			}
		case f.Kind() == reflect.Array:
			for b := range f.Len() {
				if got := byte(f.Index(b).Uint()); got != record[int(at)+b] {
					t.Errorf("%s.%s[%d] = %#x, want %#x", v.Type(), v.Type().Field(i).Name, b, got, record[int(at)+b])
				}
			}
		}
	}
}

// FuzzDecode: no record makes the decoder panic or read beyond it.
func FuzzDecode(f *testing.F) {
	for kind := range byte(14) {
		f.Add([]byte{kind})
		f.Add(append([]byte{kind}, make([]byte, 300)...))
	}
	f.Fuzz(func(t *testing.T, record []byte) {
		var e Event
		if err := Decode(&e, record); err != nil {
			return
		}
		if e.Kind == KindData && int(e.Data.Size) != len(e.Payload) {
			t.Fatalf("%d bytes of payload, want %d", len(e.Payload), e.Data.Size)
		}
		for _, n := range []uint8{e.Socket.AddressLen, e.Life.AddressLen} {
			if n > AddressLen {
				t.Fatalf("address of %d bytes", n)
			}
		}
	})
}
