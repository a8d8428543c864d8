package pcapng

import (
	"encoding/binary"
	"encoding/hex"
	"errors"
	"reflect"
	"strings"
	"testing"
)

// record is the whole record of p.
func record(p *Packet) []byte { return append(AppendRecordHeader(nil, p), p.Data...) }

// inRecord is p without what stands outside of its record.
func inRecord(p *Packet) *Packet {
	q := p.Clone()
	q.Time, q.DropCount, q.Host = (&Packet{}).Time, 0, 0
	return q
}

// TestHeaderFits: names as long as can be are cut so far that header and
// payload are a legal record, the important ones last; nothing is cut that
// need not be.
func TestHeaderFits(t *testing.T) {
	long := strings.Repeat("x", 1<<16)
	fill := func(size, fds int) func(*Packet) {
		return func(p *Packet) {
			p.Data = make([]byte, size)
			p.Len = uint32(size)
			p.FDs = make([]FD, fds)
			for i := range p.FDs {
				p.FDs[i] = FD{Num: uint32(i), Kind: FDFile, Name: "/usr/share/some/file"}
			}
			p.FDCount = uint32(fds)
		}
	}
	for _, test := range []struct {
		name   string
		change func(*Packet)
		whole  func(*Packet) []string // names that must not be cut
	}{
		{"cgroup and exe", func(p *Packet) {
			fill(MaxPayload, 2)(p)
			p.Cgroup, p.Exe = long, long
		}, func(p *Packet) []string {
			return []string{p.Sender.Comm, p.Sender.Thread, p.Path, p.Peer.Comm, p.Reader.Comm, p.Container}
		}},
		{"arguments and the peer's", func(p *Packet) {
			fill(MaxPayload, 0)(p)
			p.Cmdline, p.PeerPlace.Exe = long[:1024], long[:4096]
		}, func(p *Packet) []string {
			return []string{p.Exe, p.Cgroup, p.Container, p.ContainerName, p.PeerPlace.Cgroup, p.PeerPlace.Container}
		}},
		{"every name", func(p *Packet) {
			fill(MaxPayload, 0)(p)
			p.Sender.Comm, p.Sender.Thread, p.Path, p.Peer.Comm, p.Peer.Thread = long, long, long, long, long
			p.Exe, p.Cgroup, p.Container, p.Pod, p.Unit = long, long, long, long, long
			p.ContainerName, p.Cmdline = long, long
			p.PeerPlace = Place{long, long, long, long, long, long}
			p.Reader = &Endpoint{Comm: long}
		}, func(p *Packet) []string { return nil }},
		{"as many descriptors as can be, beside a full payload", fill(MaxPayload, 253), func(p *Packet) []string {
			return []string{p.Sender.Comm, p.Path, p.Exe, p.Cgroup}
		}},
		{"more holders than there is room for", func(p *Packet) {
			fill(MaxPayload, 3)(p)
			for i := range 300 {
				p.Holders = append(p.Holders, Holder{PID: uint32(i), Comm: "a process"})
			}
		}, func(p *Packet) []string { return []string{p.Sender.Comm, p.Path, p.Exe, p.Cgroup} }},
		{"a name that no length can say", func(p *Packet) { p.Exe = long[:65536] }, func(p *Packet) []string {
			return []string{p.Sender.Comm, p.Path, p.Container}
		}},
	} {
		p := full()
		test.change(p)
		before := p.Clone()
		rec := record(p)
		if len(rec) > MaxRecord {
			t.Errorf("%s: record of %d bytes", test.name, len(rec))
		}
		var got Packet
		if err := DecodeRecord(&got, rec, int(p.Len)+len(rec)-len(p.Data)); err != nil {
			t.Errorf("%s: %v", test.name, err)
			continue
		}
		for i, want := range test.whole(p) {
			if test.whole(&got)[i] != want {
				t.Errorf("%s: name %d was cut: %q", test.name, i, test.whole(&got)[i])
			}
		}
		if len(rec) < MaxRecord-96 && // a name that is cut to nothing has no option
			len(p.Data) == MaxPayload {
			t.Errorf("%s: record of %d bytes, more was cut than need be", test.name, len(rec))
		}
		if got.FDCount != p.FDCount {
			t.Errorf("%s: %d descriptors, want %d", test.name, got.FDCount, p.FDCount)
		}
		if !reflect.DeepEqual(before, p) {
			t.Errorf("%s: encoding changed the packet", test.name)
		}
	}
}

// TestHeaderOfMuch: a payload beyond all bounds does not harm the header.
func TestHeaderOfMuch(t *testing.T) {
	p := full()
	want := AppendRecordHeader(nil, p)
	for _, n := range []int{MaxRecord - 1, MaxRecord, 2 * MaxRecord} {
		p.Data, p.Len = make([]byte, n), 4099
		if got := AppendRecordHeader(nil, p); len(got) != len(want) {
			t.Errorf("header of %d bytes, want %d", len(got), len(want))
		}
	}
}

// TestHeaderUncut: as long as the payload leaves room, all of a crowd of
// descriptors is written.
func TestHeaderUncut(t *testing.T) {
	p := full()
	p.FDs = nil
	for i := range 253 {
		p.FDs = append(p.FDs, FD{Num: uint32(i), Kind: FDSocket, Name: strings.Repeat("s", i)})
	}
	p.FDCount = 253
	var got Packet
	rec := record(p)
	if err := DecodeRecord(&got, rec, len(rec)-len(p.Data)+int(p.Len)); err != nil {
		t.Fatal(err)
	}
	if d := diff(inRecord(p), &got); d != "" {
		t.Errorf("-written +read:\n%s", d)
	}
}

// TestTruncated: a packet that has fewer bytes than it stands for is
// truncated, whoever cut it.
func TestTruncated(t *testing.T) {
	p := typical()
	p.Data = p.Data[:7]
	rec := record(p)
	if rec[7]&flagTruncated == 0 {
		t.Error("flag truncated is not set on a short payload")
	}
	whole := record(typical())
	var got Packet
	if err := DecodeRecord(&got, whole[:len(whole)-1], len(whole)); err != nil {
		t.Fatal(err)
	}
	if !got.Truncated {
		t.Error("a record that lost a byte on its way is not truncated")
	}
}

// TestUnknownBits: bits that have no place in the flags do not become others.
func TestUnknownBits(t *testing.T) {
	rec := record(&Packet{Uncertain: 0xff, Stamp: 0xfe})
	if rec[6] != 0 || rec[7] != 0x46 {
		t.Errorf("flags % x, want 00 46", rec[6:8])
	}
}

// TestDecodeRecordBad: what is no record is refused, and the reason is said.
func TestDecodeRecordBad(t *testing.T) {
	plain := func() []byte { return record(&Packet{Event: EventData, Len: 7, Data: []byte("7 bytes")}) }
	change := func(at int, bytes ...byte) []byte {
		rec := plain()
		copy(rec[at:], bytes)
		return rec
	}
	option := func(kind uint16, size int) []byte {
		rec := AppendRecordHeader(nil, &Packet{})
		rec = append(appendOptionHead(rec, kind, size), make([]byte, size)...)
		binary.BigEndian.PutUint16(rec[2:], uint16(len(rec)))
		return rec
	}
	cut := func(kind uint16, size int, n int) []byte {
		rec := option(kind, size)
		rec = rec[:len(rec)-n]
		binary.BigEndian.PutUint16(rec[2:], uint16(len(rec)))
		return rec
	}
	late := option(optOwnTime, 8)
	late[92] = 0x80
	for _, test := range []struct {
		name string
		rec  []byte
		is   error
		want string
	}{
		{"nothing", nil, ErrDamaged, "record of 0 bytes, its header has at least 88"},
		{"half a header", plain()[:87], ErrDamaged, "record of 87 bytes, its header has at least 88"},
		{"version 2", change(0, 2), ErrVersion, "unknown version 2 of the record: this sockcap reads version 1"},
		{"version 2, short", []byte{2}, ErrVersion, "unknown version 2 of the record: this sockcap reads version 1"},
		{"version 0", change(0, 0), ErrVersion, "unknown version 0 of the record: this sockcap reads version 1"},
		{"header too short", change(2, 0, 87), ErrDamaged, "header of 87 bytes in a record of 95"},
		{"header too long", change(2, 0, 96), ErrDamaged, "header of 96 bytes in a record of 95"},
		{"payload too long", change(80, 0, 0, 0, 6), ErrDamaged, "payload of 7 bytes, length 6"},
		{"length", change(80, 0, 0, 0, 8), ErrDamaged, "original length 95, header and length make 96"},
		{"record too long", append(plain(), make([]byte, MaxRecord)...), ErrDamaged, "record of 262239 bytes, more than 262144"},
		{"half an option", cut(optComm, 4, 5), ErrDamaged, "3 bytes left in the header, too few for an option"},
		{"option too long", cut(optComm, 4, 1), ErrDamaged, "option 1 of 4 bytes, 3 left in the header"},
		{"short errno", option(optErrno, 3), ErrDamaged, "option 11 of 3 bytes, should be 4"},
		{"long lost", option(optLost, 9), ErrDamaged, "option 13 of 9 bytes, should be 8"},
		{"short reader", option(optReader, 7), ErrDamaged, "reader of 7 bytes, should be at least 8"},
		{"short descriptor", option(optFD, 4), ErrDamaged, "passed descriptor of 4 bytes, should be at least 5"},
		{"long state", option(optState, 2), ErrDamaged, "state of 2 bytes, should be 1"},
		{"short holder", option(optHolder, 12), ErrDamaged, "holder of 12 bytes, should be at least 13"},
		{"short credentials", option(optCred, 11), ErrDamaged, "passed credentials of 11 bytes, should be 12"},
		{"far time", late, ErrDamaged, "option 20 is 9223372036854775808 nanoseconds"},
	} {
		err := DecodeRecord(new(Packet), test.rec, len(test.rec))
		var typed *Error
		if !errors.As(err, &typed) || !errors.Is(err, test.is) || !strings.HasSuffix(err.Error(), test.want) {
			t.Errorf("%s: %v, want %s", test.name, err, test.want)
		}
	}
}

// TestUnknown: options of unknown types are skipped, unknown numbers kept.
func TestUnknown(t *testing.T) {
	p := inRecord(full())
	p.Event, p.Type, p.Role, p.Stamp = 77, 78, 79, 3
	p.FDs[0].Kind = 80
	header := AppendRecordHeader(nil, p)
	header = append(appendOptionHead(header, 0, 3), "any"...)
	header = appendOptionHead(header, 99, 0)
	header = append(appendOptionHead(header, 65535, 5), "thing"...)
	binary.BigEndian.PutUint16(header[2:], uint16(len(header)))
	header[6] |= 0xff // flags that version 1 does not have
	var got Packet
	if err := DecodeRecord(&got, append(header, p.Data...), len(header)+int(p.Len)); err != nil {
		t.Fatal(err)
	}
	if d := diff(p, &got); d != "" {
		t.Errorf("-written +read:\n%s", d)
	}
}

// TestDecodeAllocs: a packet that holds the one before is filled without
// allocating, as those of one connection mostly are.
func TestDecodeAllocs(t *testing.T) {
	there := full()
	back := there.Clone()
	back.Sender, back.Peer = there.Peer, there.Sender
	back.Exe, back.PeerPlace.Exe = there.PeerPlace.Exe, there.Exe
	one, other := record(there), record(back)
	originals := len(one) - len(there.Data) + int(there.Len)
	var p Packet
	n := testing.AllocsPerRun(101, func() {
		for _, rec := range [][]byte{one, other} {
			if err := DecodeRecord(&p, rec, originals); err != nil {
				t.Fatal(err)
			}
		}
	})
	if n != 0 {
		t.Errorf("%v allocations", n)
	}
	if d := diff(inRecord(back), &p); d != "" {
		t.Errorf("-written +read:\n%s", d)
	}
}

// TestRecordBytes: every field and option stands where FORMAT.md says.
func TestRecordBytes(t *testing.T) {
	want := strings.Join([]string{
		"01 01 01ec 05 02 005f", // seqpacket from a server; waiting, more, continued, uncertain, truncated
		"00000065 00000066 00000067 00000068 0000010000000000",
		"000000c9 000000ca 000000cb 000000cc 0000020000000000",
		"0004000000000000 0008000000000000 0010000000000000",
		"00001003 80000000",
		"0001 0003 612062",
		"0002 0003 611b74",
		"0003 000b 400061627374726163740a",
		"0004 0005 70c3a46572",
		"0005 0001 ff",
		"0006 000a 2f7573722f62696e2f61",
		"0007 0017 2f73797374656d2e736c6963652f612e73657276696365",
		"0008 0006 633066666565",
		"0009 0003 706f64",
		"000a 0009 612e73657276696365",
		"000b 0004 0000006f",
		"000c 0004 f0000000",
		"000d 0008 0020000000000000",
		"000e 0008 0040000000000000",
		"000f 000e 0000012d 0000012e 726561646572",
		"0010 0008 000000000012d687",
		"0011 0004 00000003",
		"0012 000e 00000005 01 2f6574632f6d6f7464",
		"0012 0005 ffffffff 06",
		"0013 000c 00000191 00000192 00000193",
		"0015 0006 612077656207",
		"0016 0004 00000007",
		"0017 0006 61002d6200ff",
		"0018 000a 2f7573722f62696e2f70",
		"0019 0017 2f73797374656d2e736c6963652f702e73657276696365",
		"001a 0006 666163616465",
		"001b 0002 700a",
		"001c 0009 702e73657276696365",
		"001d 0004 6e732f70",
		"001e 0004 000001f5",
		"0020 0001 04",
		"0021 0010 01 000001f5 000001f6 000001f7 6f6e65",
		"0021 000e 02 000001f8 ffffffff ffffffff 1b",
		"0014 0008 18eae75a612f4040",
	}, "")
	if got := hex.EncodeToString(AppendRecordHeader(nil, full())); got != strings.ReplaceAll(want, " ", "") {
		t.Errorf("\ngot  %s\nwant %s", got, strings.ReplaceAll(want, " ", ""))
	}
}
