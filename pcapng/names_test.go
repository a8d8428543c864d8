package pcapng

import (
	"bytes"
	"reflect"
	"strings"
	"testing"
)

// checkNames checks that what was written before does not show in p's block,
// and that this has the header and the comment that p has by itself.
func checkNames(t *testing.T, r *recent, p *Packet) {
	t.Helper()
	block := func(r *recent) []byte { return appendPacket(nil, p, r.of(p), nanoseconds(p.Time), ownTime(p)) }
	got := block(r)
	if want := block(new(recent)); !bytes.Equal(got, want) {
		t.Errorf("after others:\n%q\nwant\n%q", got, want)
	}
	const head = 28 // of the block, before the record
	rec := record(p)
	comment := min(head+(len(rec)+3)&^3+4, len(got))
	if !bytes.HasPrefix(got[head:], rec) || !bytes.HasPrefix(got[comment:], AppendComment(nil, p)) {
		t.Errorf("%q\nis not made of\n%q and\n%q", got, rec, AppendComment(nil, p))
	}
}

// TestNamesOfEachField: whichever field of a packet is another than in the one
// before, the new one is written.
func TestNamesOfEachField(t *testing.T) {
	bare := func() *Packet { return &Packet{Len: 1, Reader: &Endpoint{}, Cred: &Cred{}} }
	for _, first := range []func() *Packet{full, bare, typical, identified} {
		for i := range len(fields(first())) {
			var r recent
			p := first()
			checkNames(t, &r, p)
			change(fields(p)[i], "x", 1)
			checkNames(t, &r, p)
		}
	}
}

// TestNamesKept: the names of many directions are kept, but not without bound.
func TestNamesKept(t *testing.T) {
	var r recent
	p := typical()
	for _, size := range []int{0, maxWrittenSize / 2, maxWrittenSize, 0, maxHeaderLen, 0} {
		p.Cmdline = strings.Repeat("x", size)
		for p.ConnID = range maxWritten {
			for _, p.Role = range []Role{RoleClient, RoleServer} {
				checkNames(t, &r, p)
			}
		}
	}
	for i, w := range r.at {
		if w == nil || cap(w.bytes) > 2*maxWrittenSize {
			t.Fatalf("place %d has %+v", i, w)
		}
	}
	first := r.of(p)
	if r.of(p) != first {
		t.Error("the same names are written again")
	}
}

// FuzzNames: after any packets, one is written as if it were the first. Each
// three bytes change a field, and where the packet finds what was written.
func FuzzNames(f *testing.F) {
	f.Add([]byte("\x00\x01\x02\x10\x01\x02\x00\x01\x02"), "x")
	f.Add([]byte("\x10ab\x11ab\x12ab\x13ab\x14ab\x10ab"), strings.Repeat("y", maxWrittenSize))
	f.Fuzz(func(t *testing.T, steps []byte, text string) {
		for _, p := range []*Packet{full(), identified()} {
			var r recent
			for steps := steps; len(steps) >= 3; steps = steps[3:] {
				all := fields(p)
				change(all[int(steps[0])%len(all)], text[:min(len(text), int(steps[1])<<5)], uint64(steps[1]))
				p.ConnID = uint64(steps[2]) << 9
				p.Data, p.Len = p.Data[:min(len(p.Data), int(p.Len))], max(p.Len, 1)
				checkNames(t, &r, p)
			}
		}
	})
}

// change changes a field, to text or by the bits of a number.
func change(field reflect.Value, text string, bits uint64) {
	switch field.Kind() {
	case reflect.String:
		field.SetString(text)
	case reflect.Bool:
		field.SetBool(!field.Bool())
	case reflect.Int, reflect.Int64:
		field.SetInt(field.Int() ^ int64(bits))
	default:
		field.SetUint(field.Uint() ^ bits)
	}
}

// fields are all fields of p that hold a name, a number or a truth.
func fields(p *Packet) (all []reflect.Value) {
	var walk func(reflect.Value)
	walk = func(v reflect.Value) {
		switch v.Kind() {
		case reflect.Pointer:
			if !v.IsNil() {
				walk(v.Elem())
			}
		case reflect.Slice:
			for i := range v.Len() {
				walk(v.Index(i))
			}
		case reflect.Struct:
			for i := range v.NumField() {
				if v.Type().Field(i).IsExported() { // not those of a time
					walk(v.Field(i))
				}
			}
		default:
			all = append(all, v)
		}
	}
	walk(reflect.ValueOf(p).Elem())
	return all
}
