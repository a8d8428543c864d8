package pcapng

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"math"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
	"time"
)

// small is a packet whose record is easily told from others by its number.
func small(n int) *Packet {
	return &Packet{
		Time: epoch.Add(time.Duration(n) * time.Second), Event: EventData, Message: uint64(n), Len: 3, Data: []byte("abc"),
	}
}

// TestForeignFile: what other programs make of our packets: either byte order,
// several sections and interfaces, other resolutions, blocks and options that
// we do not know.
func TestForeignFile(t *testing.T) {
	second := []byte{1 << 7} // 2^-0
	rec := func(n int) []byte { return record(small(n)) }
	size := len(rec(0))
	for _, f := range []file{{order: binary.LittleEndian}, {order: binary.BigEndian}} {
		seconds := uint64(epoch.Unix())
		f.section(0, option{1, []byte("comment")}, option{2, []byte("x86")}, option{3, []byte("Linux")}, option{4, []byte("editcap")})
		f.block(0xbad, []byte("what nobody knows"))
		f.iface(147, option{2, []byte("one")}, option{3, []byte("first")}, option{9, []byte{9}}, option{2988, []byte("x")})
		f.iface(147) // 10^-6
		f.packet(1, seconds*1e6+7, rec(1), size)
		f.packet(0, nanos(epoch), rec(2), size, option{1, []byte("comment")}, option{2, []byte{0, 0, 0, 0}}, option{4, f.u64(101)})
		f.iface(147, option{9, second}, option{14, f.u64(1000)})
		f.packet(2, seconds-1000, rec(3), size)
		f.block(5, slices.Concat(f.order.AppendUint32(nil, 1), f.stamp(8)), option{4, f.u64(1)}, option{2, f.stamp(seconds*1e6 + 1)})
		f.block(5, slices.Concat(f.order.AppendUint32(nil, 1), f.stamp(9)), option{4, f.u64(4)}, option{5, f.u64(5)},
			option{6, f.u64(6)}, option{7, f.u64(7)}, option{8, f.u64(8)}, option{3, f.stamp(seconds*1e6 + 2)}, option{1, []byte("all well")})
		f.section(2, option{4, []byte("other")})
		f.iface(147, option{9, []byte{10}})
		f.packet(0, seconds*1e10+19, rec(4), size)

		r, err := NewReader(iotest.OneByteReader(bytes.NewReader(f.bytes)))
		if err != nil {
			t.Fatal(err)
		}
		if want := (Section{Hardware: "x86", OS: "Linux", Application: "editcap"}); r.Section() != want {
			t.Errorf("section %+v, want %+v", r.Section(), want)
		}
		if n := len(r.Interfaces()); n != 1 {
			t.Errorf("%d interfaces before the first packet, want 1", n)
		}
		whole := epoch.Truncate(time.Second)
		want := []*Packet{small(1), small(2), small(3), small(4)}
		want[0].Time, want[0].Host = whole.Add(7*time.Microsecond), 1
		want[1].Time, want[1].DropCount = epoch, 101
		want[2].Time, want[2].Host = whole, 2
		want[3].Time, want[3].Host = whole.Add(1), 3
		var got []*Packet
		for p, err := range r.Packets() {
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, p.Clone())
		}
		if d := diff(want, got); d != "" {
			t.Errorf("%v: -written +read:\n%s", f.order, d)
		}
		stats := &Stats{Host: 1, End: whole.Add(2 * time.Microsecond), Received: 4, IfDropped: 5, Accepted: 6, OSDropped: 7, Comment: "all well"}
		if d := diff([]Interface{{Name: "one", Description: "first"}, {Stats: stats}, {}, {}}, r.Interfaces()); d != "" {
			t.Errorf("%v: -written +read:\n%s", f.order, d)
		}
	}
}

// TestTimestamps: every resolution that pcapng has gives the right time.
func TestTimestamps(t *testing.T) {
	for _, test := range []struct {
		resolution byte
		ticks      uint64
		want       time.Time // zero: refused
	}{
		{0, 1795501775, time.Unix(1795501775, 0)},
		{3, 1795501775_824, time.Unix(1795501775, 824_000_000)},
		{9, math.MaxInt64, time.Time{}},
		{9, math.MaxUint64, time.Time{}},
		{9, 9223372035_999_999_999, time.Unix(9223372035, 999_999_999)},
		{12, 1795501_824_123_456_789, time.Unix(1795501, 824_123_456)},
		{19, math.MaxUint64, time.Unix(1, 844_674_407)},
		{20, 0, time.Time{}},
		{0x7f, 0, time.Time{}},
		{0x80, 1795501775, time.Unix(1795501775, 0)},
		{0x80, math.MaxUint64, time.Time{}},
		{0x80 | 30, 1795501775<<30 | 1<<29, time.Unix(1795501775, 500_000_000)},
		{0x80 | 63, math.MaxUint64, time.Unix(1, 999_999_999)},
		{0x80 | 64, 0, time.Time{}},
	} {
		f := file{order: binary.LittleEndian}
		f.section(0).iface(147, option{9, []byte{test.resolution}}).packet(0, test.ticks, record(small(1)), len(record(small(1))))
		packets, err := decode(f.bytes)
		switch {
		case test.want.IsZero() && !errors.Is(err, ErrDamaged):
			t.Errorf("resolution %#x, %d: %v, want damaged", test.resolution, test.ticks, err)
		case !test.want.IsZero() && err != nil:
			t.Errorf("resolution %#x, %d: %v", test.resolution, test.ticks, err)
		case err == nil && !packets[0].Time.Equal(test.want):
			t.Errorf("resolution %#x, %d: %v, want %v", test.resolution, test.ticks, packets[0].Time, test.want)
		}
	}
}

// TestTexts: what a file says of its hosts is remembered within bounds, however
// often it says more.
func TestTexts(t *testing.T) {
	long := bytes.Repeat([]byte("x"), 60_000)
	f := file{order: binary.LittleEndian}
	f.section(0).iface(147)
	for range 2 * maxTexts / len(long) {
		f.block(blockStats, make([]byte, 12), option{optionComment, long}) // takes the place of the one before
	}
	if _, err := decode(f.bytes); err != nil {
		t.Errorf("statistics again and again: %v", err)
	}
	f = file{order: binary.LittleEndian}
	f.section(0)
	for range maxTexts/len(long)/2 + 1 {
		f.iface(147, option{optionName, long}, option{optionDescription, long})
	}
	if _, err := decode(f.bytes); !errors.Is(err, ErrDamaged) {
		t.Errorf("hosts with long names: %v, want %v", err, ErrDamaged)
	}
}

// TestCutOff: wherever a file ends, all packets that are in it whole come out
// of it, and it is said where it broke off, or nothing if between blocks.
func TestCutOff(t *testing.T) {
	var bounds []int // of blocks
	whole := encode(t, Options{}, small(1), full(), small(20))
	for at := 0; at < len(whole); at += int(binary.LittleEndian.Uint32(whole[at+4:])) {
		bounds = append(bounds, at)
	}
	if len(bounds) != 5 {
		t.Fatalf("%d blocks", len(bounds))
	}
	bounds = append(bounds, len(whole))
	for n := range whole {
		packets, err := decode(whole[:n])
		i, between := slices.BinarySearch(bounds, n)
		if !between {
			i--
		}
		if want := max(i-2, 0); len(packets) != want {
			t.Fatalf("%d of %d bytes: %d packets, want %d", n, len(whole), len(packets), want)
		}
		if between && n > 0 {
			if err != nil {
				t.Fatalf("%d of %d bytes: %v", n, len(whole), err)
			}
			continue
		}
		var typed *Error
		if !errors.Is(err, ErrCutOff) || !errors.As(err, &typed) || typed.Offset != int64(bounds[i]) {
			t.Fatalf("%d of %d bytes: %v, want cut off at %d", n, len(whole), err, bounds[i])
		}
	}
}

// TestCutOffCompressed: so it is if the file was compressed, where what breaks
// off is inside the compressed data, even between blocks.
func TestCutOffCompressed(t *testing.T) {
	whole := encode(t, Options{}, small(1))
	r, err := NewReader(io.MultiReader(bytes.NewReader(whole), iotest.ErrReader(io.ErrUnexpectedEOF)))
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, err = range r.Packets() {
		if err == nil {
			n++
		}
	}
	if n != 1 || !errors.Is(err, ErrCutOff) {
		t.Errorf("%d packets and %v, want 1 and cut off", n, err)
	}
}

// TestReadError: what the reader below fails with is in the chain.
func TestReadError(t *testing.T) {
	whole := encode(t, Options{}, small(1))
	mine := errors.New("mine")
	for n := range len(whole) + 1 {
		r, err := NewReader(io.MultiReader(bytes.NewReader(whole[:n]), iotest.ErrReader(mine)))
		if err == nil {
			for _, err = range r.Packets() {
			}
		}
		if !errors.Is(err, mine) {
			t.Fatalf("after %d bytes: %v", n, err)
		}
	}
}

// TestDamaged: what no writer writes is refused, with its place and reason.
func TestDamaged(t *testing.T) {
	le := binary.LittleEndian
	rec := record(small(1))
	begin := func() *file {
		f := &file{order: le}
		return f.section(0).iface(147) // 28 and 20 bytes
	}
	patched := func(at int, bytes ...byte) []byte {
		f := begin().packet(0, 7, rec, len(rec))
		copy(f.bytes[at:], bytes)
		return f.bytes
	}
	for _, test := range []struct {
		name string
		file []byte
		is   error
		want string
	}{
		{"nothing", nil, ErrCutOff, "block at byte 0: cut off"},
		{"a pcap file", []byte("\xd4\xc3\xb2\xa1\x02\x00\x04\x00"), ErrNotPcapng, "file at byte 0: not a pcapng file: begins with d4 c3 b2 a1"},
		{"a short text", []byte("hi"), ErrNotPcapng, "file at byte 0: not a pcapng file: begins with 68 69"},
		{"byte order", patched(8, 0), ErrDamaged, "section at byte 0: damaged: byte order magic 00 3c 2b 1a"},
		{"pcapng 2.0", patched(12, 2), ErrVersion, "section at byte 0: unknown version 2.0 of pcapng"},
		{"short section", patched(4, 24), ErrDamaged, "block at byte 0: damaged: length 24"},
		{"odd length", patched(32, 21), ErrDamaged, "block at byte 28: damaged: length 21"},
		{"length 0", patched(32, 0), ErrDamaged, "block at byte 28: damaged: length 0"},
		{"second length", patched(44, 24), ErrDamaged, "interface at byte 28: damaged: length 20 before, 24 after it"},
		{"Ethernet", patched(36, 1), ErrLinkType, "interface at byte 28: link type 1, a sockcap file has 147 (USER0) to 162 (USER15)"},
		{"short interface", begin().block(1, []byte{147, 0, 0, 0}).bytes, ErrDamaged, "interface at byte 48: damaged: 4 bytes, too few"},
		{"if_tsresol", begin().iface(147, option{9, []byte{9, 9}}).bytes, ErrDamaged, "interface at byte 48: damaged: if_tsresol of 2 bytes, should be 1"},
		{"if_tsoffset", begin().iface(147, option{14, []byte{9}}).bytes, ErrDamaged, "interface at byte 48: damaged: option 14 of 1 bytes, should be 8"},
		{"far offset", begin().iface(147, option{14, []byte{0, 0, 0, 0, 0, 0, 0, 0x80}}).packet(1, 7, rec, len(rec)).bytes,
			ErrDamaged, "packet at byte 84: damaged: timestamp 7, offset -9223372036854775808"},
		{"no such interface", begin().packet(1, 7, rec, len(rec)).bytes, ErrDamaged, "packet at byte 48: damaged: interface 1, the section has 1"},
		{"an interface of the section before", begin().section(0).packet(0, 7, rec, len(rec)).bytes,
			ErrDamaged, "packet at byte 76: damaged: interface 0, the section has 0"},
		{"short packet", begin().block(6, make([]byte, 16)).bytes, ErrDamaged, "packet at byte 48: damaged: 16 bytes, too few"},
		{"captured length", patched(68, 93), ErrDamaged, "packet at byte 48: damaged: captured length 93, block has 92 bytes"},
		{"captured length of all", patched(68, 0xff, 0xff, 0xff, 0xff), ErrDamaged,
			"packet at byte 48: damaged: captured length 4294967295, block has 92 bytes"},
		{"original length", patched(72, 90), ErrDamaged, "packet at byte 48: damaged: original length 90, header and length make 91"},
		{"record", patched(76, 2), ErrVersion, "packet at byte 48: unknown version 2 of the record: this sockcap reads version 1"},
		{"drop count", begin().packet(0, 7, rec, len(rec), option{4, []byte("1")}).bytes,
			ErrDamaged, "packet at byte 48: damaged: option 4 of 1 bytes, should be 8"},
		{"statistics of nobody", begin().block(5, append([]byte{1}, make([]byte, 11)...)).bytes,
			ErrDamaged, "statistics at byte 48: damaged: interface 1, the section has 1"},
		{"short statistics", begin().block(5, make([]byte, 8)).bytes, ErrDamaged, "statistics at byte 48: damaged: 8 bytes, too few"},
		{"odd statistics", begin().block(5, make([]byte, 12), option{4, make([]byte, 5)}).bytes,
			ErrDamaged, "statistics at byte 48: damaged: option 4 of 5 bytes, should be 8"},
		{"simple packet", begin().block(3, make([]byte, 8)).bytes, ErrDamaged, "packet at byte 48: damaged: not an enhanced packet block"},
		{"half an unknown block", begin().block(0xbad, make([]byte, 8)).bytes[:64], ErrCutOff, "block at byte 48: cut off"},
		{"unknown block's lengths", append(begin().block(0xbad, make([]byte, 8)).bytes[:64], 24, 0, 0, 0),
			ErrDamaged, "block at byte 48: damaged: length 20 before, 24 after it"},
		{"a long block", le.AppendUint32(le.AppendUint32(begin().bytes, 6), 1<<24+4), ErrDamaged, "packet at byte 48: damaged: block of 16777220 bytes"},
	} {
		_, err := decode(test.file)
		if !errors.Is(err, test.is) || err.Error() != test.want {
			t.Errorf("%s: %v, want %s", test.name, err, test.want)
		}
	}
}

// TestBadOptions: an option that reaches beyond its block.
func TestBadOptions(t *testing.T) {
	f := file{order: binary.BigEndian}
	f.section(0).iface(147)
	f.block(5, append(make([]byte, 12), 0, 1, 0, 5, 'h', 'e', 'l', 'l'))
	_, err := decode(f.bytes)
	if want := "statistics at byte 48: damaged: option 1 of 5 bytes, 4 left in the block"; err == nil || err.Error() != want {
		t.Errorf("%v, want %s", err, want)
	}
}

// TestEndOfOptions: what comes after it is no option.
func TestEndOfOptions(t *testing.T) {
	f := file{order: binary.LittleEndian}
	p := small(1)
	f.section(0).iface(147, option{9, []byte{9}})
	f.packet(0, nanos(p.Time), record(p), len(record(p)), option{0, nil}, option{4, f.u64(7)})
	packets, err := decode(f.bytes)
	if err != nil {
		t.Fatal(err)
	}
	if d := diff([]*Packet{p}, packets); d != "" {
		t.Errorf("-written +read:\n%s", d)
	}
}

// TestBoundedMemory: lengths that a file only claims cost nothing.
func TestBoundedMemory(t *testing.T) {
	le := binary.LittleEndian
	begin := (&file{order: le}).section(0).iface(147).bytes
	for _, claim := range [][]byte{
		le.AppendUint32(le.AppendUint32(nil, blockPacket), maxBlockLen),
		le.AppendUint32(le.AppendUint32(nil, blockInterface), maxBlockLen),
		le.AppendUint32(le.AppendUint32(nil, blockPacket), math.MaxUint32-3),
		le.AppendUint32(le.AppendUint32(nil, 0xbad), math.MaxUint32-3),
	} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, err := decode(slices.Concat(begin, claim))
		runtime.ReadMemStats(&after)
		if err == nil {
			t.Errorf("% x: no error", claim)
		}
		if n := after.TotalAlloc - before.TotalAlloc; n > 1<<20 {
			t.Errorf("% x: %d bytes allocated", claim, n)
		}
	}
}

// TestLongBlocks: an unknown block may be of any length, and a comment of
// others too.
func TestLongBlocks(t *testing.T) {
	f := file{order: binary.LittleEndian}
	p := small(1)
	rec := record(p)
	comment := option{1, []byte(strings.Repeat("c", math.MaxUint16))}
	f.section(0).iface(147, option{9, []byte{9}}, comment).block(0xbad, make([]byte, maxBlockLen+4))
	f.packet(0, nanos(p.Time), rec, len(rec), comment, comment, comment)
	packets, err := decode(f.bytes)
	if err != nil {
		t.Fatal(err)
	}
	if d := diff([]*Packet{p}, packets); d != "" {
		t.Errorf("-written +read:\n%s", d)
	}
}

// TestBreak: a second Packets goes on where the first was left; after the end
// and after an error there is nothing more.
func TestBreak(t *testing.T) {
	whole := encode(t, Options{}, small(1), small(2), small(3))
	r, err := NewReader(iotest.DataErrReader(bytes.NewReader(whole[:len(whole)-1])))
	if err != nil {
		t.Fatal(err)
	}
	var got []uint64
	for range 5 {
		for p, err := range r.Packets() {
			if err != nil {
				got = append(got, 99)
				continue
			}
			got = append(got, p.Message)
			break
		}
	}
	if want := []uint64{1, 2, 99}; !slices.Equal(got, want) {
		t.Errorf("%d, want %d", got, want)
	}
}

// TestLive: a packet is there as soon as its block is, before more comes.
func TestLive(t *testing.T) {
	in, out := io.Pipe()
	seen := make(chan int)
	go func() {
		w, err := NewWriter(out, Options{})
		for n := 0; err == nil && n < 7; n++ {
			if err = errors.Join(w.WritePacket(small(n)), w.Flush()); err == nil && <-seen != n {
				err = errors.New("another packet was seen than was written")
			}
		}
		out.CloseWithError(err) // io.EOF if that is nil
	}()
	r, err := NewReader(in)
	if err != nil {
		t.Fatal(err)
	}
	for p, err := range r.Packets() {
		if err != nil {
			t.Fatal(err)
		}
		seen <- int(p.Message)
	}
}
