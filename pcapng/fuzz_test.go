package pcapng

import (
	"bytes"
	"encoding/binary"
	"errors"
	"testing"
	"testing/iotest"
)

// FuzzDecodeRecord: no record panics; what a good one says does not depend on
// the packet before it, and survives writing.
func FuzzDecodeRecord(f *testing.F) {
	for _, p := range []*Packet{typical(), full(), {Event: EventClose}} {
		f.Add(record(p), len(record(p))-len(p.Data)+int(p.Len))
	}
	f.Fuzz(func(t *testing.T, rec []byte, originalLen int) {
		var p Packet
		if err := DecodeRecord(&p, rec, originalLen); err != nil {
			checkError(t, err, -1, -1)
			return
		}
		dirty := full()
		dirty.Time, dirty.Host, dirty.DropCount = p.Time, p.Host, p.DropCount
		if err := DecodeRecord(dirty, rec, originalLen); err != nil {
			t.Fatal(err)
		}
		if d := diff(&p, dirty); d != "" {
			t.Errorf("-into an empty packet +into a used one:\n%s", d)
		}
		again := record(&p)
		if len(again) > len(rec) {
			t.Errorf("written again it has %d bytes, %d before", len(again), len(rec))
		}
		var q Packet
		headerLen := len(again) - len(p.Data)
		if err := DecodeRecord(&q, again, int(originalLen32(headerLen, p.Len))); err != nil {
			t.Fatal(err)
		}
		if d := diff(&p, &q); d != "" {
			t.Errorf("-read +written and read:\n%s", d)
		}
	})
}

// originalLen32 is a second writing of FORMAT.md's original length.
func originalLen32(headerLen int, length uint32) uint32 {
	if n := int64(headerLen) + int64(length); n < 1<<32 {
		return uint32(n)
	}
	return 1<<32 - 1
}

// FuzzReader: no file panics; what is read does not depend on how it comes,
// and survives writing.
func FuzzReader(f *testing.F) {
	f.Add(encode(f, Options{}, small(1), typical(), full()))
	big := file{order: binary.BigEndian}
	rec := record(small(1))
	big.section(0, option{4, []byte("x")}).iface(147, option{9, []byte{0x8a}}).packet(0, 7, rec, len(rec), option{4, big.u64(1)})
	f.Add(big.block(0xbad, nil).section(2).iface(147, option{14, big.u64(7)}).packet(0, 7, rec, len(rec)).bytes)
	f.Fuzz(func(t *testing.T, file []byte) {
		want, err := decode(file)
		if err != nil {
			checkError(t, err, 0, int64(len(file)))
		}
		slow, slowErr := readAll(iotest.OneByteReader(bytes.NewReader(file)))
		if d := diff(want, slow); d != "" || (err == nil) != (slowErr == nil) || err != nil && err.Error() != slowErr.Error() {
			t.Errorf("%v, byte by byte %v\n%s", err, slowErr, d)
		}
		for _, p := range want {
			if len(p.Data) > MaxPayload || p.Host > 7 {
				return // not for our writer, or for little time
			}
		}
		got, err := decode(encode(t, Options{}, want...))
		if err != nil {
			t.Fatal(err)
		}
		for i, p := range got {
			p.Time, p.OwnTime = want[i].Time, want[i].OwnTime // TestOrder
		}
		if d := diff(want, got); d != "" {
			t.Errorf("-read +written and read:\n%s", d)
		}
	})
}

// checkError checks that an error is one of ours, with an offset within
// bounds.
func checkError(t *testing.T, err error, least, most int64) {
	t.Helper()
	var typed *Error
	if !errors.As(err, &typed) || typed.Offset < least || typed.Offset > most {
		t.Errorf("%T %v", err, err)
	}
	for _, known := range []error{ErrCutOff, ErrDamaged, ErrVersion, ErrLinkType, ErrNotPcapng} {
		if errors.Is(err, known) {
			return
		}
	}
	t.Errorf("none of the errors that are promised: %v", err)
}
