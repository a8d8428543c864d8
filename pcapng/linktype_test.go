package pcapng

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/gopacket/layers"
	"github.com/google/gopacket/pcapgo"
)

func TestLinkTypeNames(t *testing.T) {
	for n, name := range map[int]string{147: "USER0", 150: "USER3", 162: "USER15", 101: "RAW"} {
		if got := LinkTypeName(n); got != name {
			t.Errorf("link type %d is %q, want %q", n, got, name)
		}
		for _, s := range []string{name, strings.ToLower(name)} {
			if got, ok := ParseLinkType(s); got != n || !ok {
				t.Errorf("%q is %d, %v, want %d", s, got, ok, n)
			}
		}
	}
	for _, n := range []int{146, 163, 0, -1} {
		if name := LinkTypeName(n); strings.Contains(name, "USER") {
			t.Errorf("link type %d is %q", n, name)
		}
	}
	for _, name := range []string{"", "USER", "USER16", "USER00", "USER01", "147", "EN10MB", "USER-1"} {
		if got, ok := ParseLinkType(name); ok {
			t.Errorf("%q is %d", name, got)
		}
	}
}

// TestLinkTypes: files of every link type for private use are written and
// read, on all of their interfaces.
func TestLinkTypes(t *testing.T) {
	want := []*Packet{small(1), small(2)}
	want[1].Host = 1
	for linkType := LinkType; linkType <= LinkTypeLast; linkType++ {
		file := encode(t, Options{LinkType: linkType}, want...)
		r, err := NewReader(bytes.NewReader(file))
		if err != nil {
			t.Fatal(err)
		}
		if got := r.LinkType(); got != linkType {
			t.Errorf("link type %d, want %d", got, linkType)
		}
		got, err := decode(file)
		if d := diff(want, got); d != "" || err != nil {
			t.Errorf("link type %d: %v\n-written +read:\n%s", linkType, err, d)
		}
		other, err := pcapgo.NewNgReader(bytes.NewReader(file), pcapgo.NgReaderOptions{WantMixedLinkType: true})
		if err != nil {
			t.Fatal(err)
		}
		for i := range want {
			if _, _, err := other.ReadPacketData(); err != nil {
				t.Fatal(err)
			}
			if in, err := other.Interface(i); err != nil || in.LinkType != layers.LinkType(linkType) {
				t.Errorf("interface %d has link type %d, want %d (%v)", i, in.LinkType, linkType, err)
			}
		}
	}
	for _, linkType := range []int{1, 100, 146, 163, -147, 147 + 65536} {
		if _, err := NewWriter(new(bytes.Buffer), Options{LinkType: linkType}); !errors.Is(err, ErrLinkType) {
			t.Errorf("a writer for link type %d: %v", linkType, err)
		}
	}
}

// TestFrames: what another program reads of blocks that hold no records.
func TestFrames(t *testing.T) {
	var file bytes.Buffer
	w, err := NewWriter(&file, Options{LinkType: LinkTypeRaw})
	if err != nil {
		t.Fatal(err)
	}
	if err := w.WritePacket(small(1)); !errors.Is(err, ErrLinkType) {
		t.Errorf("a record in a file of IP packets: %v", err)
	}
	frames := []Frame{
		{Time: epoch, Data: []byte("seven.."), Comments: [][]byte{[]byte("one"), []byte("second")}},
		{Time: epoch.Add(-time.Second), Host: 2, DropCount: 101},
		{Time: epoch.Add(1), Data: make([]byte, MaxRecord), Comments: [][]byte{bytes.Repeat([]byte("x"), 1<<17)}},
	}
	for i := range frames {
		if err := w.WriteFrame(&frames[i]); err != nil {
			t.Fatal(err)
		}
	}
	for _, bad := range []Frame{{Host: -1}, {Host: maxInterfaces}, {Data: make([]byte, MaxRecord+1)}} {
		if err := w.WriteFrame(&bad); !errors.Is(err, ErrPacket) {
			t.Errorf("a frame of host %d, %d bytes: %v", bad.Host, len(bad.Data), err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	r, err := pcapgo.NewNgReader(bytes.NewReader(file.Bytes()), pcapgo.DefaultNgReaderOptions)
	if err != nil {
		t.Fatal(err)
	}
	if r.LinkType() != layers.LinkTypeRaw {
		t.Errorf("link type %v", r.LinkType())
	}
	for i, f := range frames {
		data, info, err := r.ReadPacketData()
		if err != nil {
			t.Fatalf("frame %d: %v", i, err)
		}
		at := f.Time
		if i == 1 {
			at = epoch // never back
		}
		if !bytes.Equal(data, f.Data) || info.Length != len(data) || !info.Timestamp.Equal(at) || info.InterfaceIndex != f.Host {
			t.Errorf("frame %d: %d of %d bytes, %v on %d", i, len(data), info.Length, info.Timestamp, info.InterfaceIndex)
		}
	}
}

// TestForeignLinkType: a file of -y RAW says why it is none of ours.
func TestForeignLinkType(t *testing.T) {
	var file bytes.Buffer
	w, err := NewWriter(&file, Options{LinkType: LinkTypeRaw})
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	_, err = NewReader(&file)
	const want = "link type 101 (RAW), IP packets as sockcap -y RAW writes them for other programs: sockcap itself cannot read them back"
	if !errors.Is(err, ErrLinkType) || !strings.HasSuffix(err.Error(), want) {
		t.Errorf("got %v, want %s", err, want)
	}
}
