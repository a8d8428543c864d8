package snapshot

import (
	"encoding/binary"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/mdlayher/netlink"
	"github.com/mdlayher/netlink/nltest"

	"github.com/sockcap/sockcap/pcapng"
)

// message is a struct unix_diag_msg with attributes.
func message(t testing.TB, kind, state uint8, inode uint32, attributes ...netlink.Attribute) []byte {
	t.Helper()
	b := []byte{1, kind, state, 0}
	b = binary.NativeEndian.AppendUint32(b, inode)
	b = append(b, make([]byte, 8)...)
	rest, err := netlink.MarshalAttributes(attributes)
	if err != nil {
		t.Fatal(err)
	}
	return append(b, rest...)
}

func words(v ...uint32) []byte {
	var b []byte
	for _, n := range v {
		b = binary.NativeEndian.AppendUint32(b, n)
	}
	return b
}

// listener is one with everything that the kernel tells of it.
func listener(t testing.TB) []byte {
	return message(t, 1, 10, 7101,
		netlink.Attribute{Type: attributeName, Data: []byte("/run/x.sock\x00")},
		netlink.Attribute{Type: attributeVFS, Data: words(4099, 254<<20|3)},
		netlink.Attribute{Type: attributeIcons, Data: words(7102, 0, 7103)},
		netlink.Attribute{Type: attributeQueues, Data: words(3, 128)},
		netlink.Attribute{Type: attributeMemory, Data: words(11, 12, 13, 14, 15, 16, 17, 18, 19)},
		netlink.Attribute{Type: attributeShutdown, Data: []byte{1}},
		netlink.Attribute{Type: attributeUID, Data: words(1000)},
		netlink.Attribute{Type: 99, Data: []byte("what later kernels tell")},
	)
}

func TestDecode(t *testing.T) {
	for _, c := range []struct {
		name    string
		message []byte
		want    Socket
	}{
		{"listener", listener(t), Socket{
			Inode: 7101, Type: pcapng.Stream, State: Listening, Address: "/run/x.sock", Device: 254<<20 | 3, File: 4099,
			Pending: []uint64{7102, 0, 7103}, Received: 3, Sent: 128, Memory: Memory{11, 12, 13, 14}, Shutdown: 1, UID: 1000,
		}},
		{"no attributes", message(t, 5, 7, 101), Socket{Inode: 101, Type: pcapng.SeqPacket, State: Unconnected, UID: pcapng.Unknown}},
		{"peer is gone", message(t, 2, 1, 101, netlink.Attribute{Type: attributePeer, Data: words(0)}),
			Socket{Inode: 101, Type: pcapng.Datagram, State: Established, Connected: true, UID: pcapng.Unknown}},
		{"short lists", message(t, 1, 1, 101, netlink.Attribute{Type: attributeVFS, Data: words(1)}, netlink.Attribute{Type: attributeQueues, Data: words(1)},
			netlink.Attribute{Type: attributeMemory, Data: words(1, 2, 3)}, netlink.Attribute{Type: attributeIcons, Data: []byte{1, 2, 3}}),
			Socket{Inode: 101, Type: pcapng.Stream, State: Established, UID: pcapng.Unknown}},
	} {
		got, err := decode(c.message)
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		if diff := cmp.Diff(c.want, *got, cmp.Transformer("", func(n []uint64) []uint64 { return append([]uint64{}, n...) })); diff != "" {
			t.Errorf("%s: -want +got\n%s", c.name, diff)
		}
	}
	for _, bad := range [][]byte{nil, make([]byte, messageLen-1), append(make([]byte, messageLen), 1, 2, 3),
		append(make([]byte, messageLen), 200, 0, 0, 0), append(make([]byte, messageLen), 3, 0, 0, 0),
		message(t, 1, 1, 1, netlink.Attribute{Type: attributePeer, Data: []byte{1}})} {
		if s, err := decode(bad); err == nil {
			t.Errorf("%x: %+v, want an error", bad, s)
		}
	}
}

func TestAddress(t *testing.T) {
	long := "/" + strings.Repeat("x", 107)
	for _, c := range []struct{ address, want string }{
		{"", ""},
		{"/run/docker.sock\x00", "/run/docker.sock"},
		{"/run/docker.sock", "/run/docker.sock"},
		{"/run/x\x00garbage behind the name", "/run/x"},
		{long, long},
		{"relative", "relative"},
		{"./dot\x00", "./dot"},
		{"@file\x00", "./@file"},
		{"@\x00", "./@"},
		{"./@file\x00", "./@file"},
		{"\x00", "@"},
		{"\x00name", "@name"},
		{"\x00name\x00", "@name\x00"},
		{"\x00a\x00b\x00\x00", "@a\x00b\x00\x00"},
		{"\x00@twice", "@@twice"},
		{"\x00/like/a/file", "@/like/a/file"},
		{"\xff\xfe\n\x1b[31m", "\xff\xfe\n\x1b[31m"},
		{"/a\n\x1b[2J\xff\x00", "/a\n\x1b[2J\xff"},
		{"\x0000a4f", "@00a4f"}, // as the kernel binds by itself
	} {
		if got := Address([]byte(c.address)); got != c.want {
			t.Errorf("Address(%q) = %q, want %q", c.address, got, c.want)
		}
	}
}

// TestAsk: what is asked, and that errors name what they are about.
func TestAsk(t *testing.T) {
	var asked []netlink.Message
	reply := func(code int, messages ...[]byte) *netlink.Conn {
		return nltest.Dial(func(m []netlink.Message) ([]netlink.Message, error) {
			if m == nil {
				return nil, nil
			}
			asked = append(asked, m...)
			if code != 0 {
				return nltest.Error(code, m)
			}
			var all []netlink.Message
			for _, data := range messages {
				all = append(all, netlink.Message{Header: netlink.Header{Type: 20}, Data: data})
			}
			return nltest.Multipart(append(all, netlink.Message{}))
		})
	}
	var inodes []uint64
	note := func(s *Socket) { inodes = append(inodes, s.Inode) }
	if err := ask(reply(0, listener(t), message(t, 1, 1, 101)), 1<<Listening, showAll, note); err != nil || cmp.Diff(inodes, []uint64{7101, 101}) != "" {
		t.Errorf("found %d, error %v", inodes, err)
	}
	want := "\x01\x00\x00\x00\x00\x04\x00\x00\x00\x00\x00\x00\xff\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"
	if binary.NativeEndian.Uint16([]byte{1, 0}) == 1 && string(asked[0].Data) != want {
		t.Errorf("asked %x, want %x", asked[0].Data, want)
	}
	for _, c := range []struct {
		conn *netlink.Conn
		want string
	}{
		{reply(2), "ask sock_diag: "}, {reply(1), "ask sock_diag: "}, {reply(0, []byte{1}), "decode sock_diag: message is too short"},
	} {
		if err := ask(c.conn, allStates, showAll, note); err == nil || !strings.HasPrefix(err.Error(), c.want) {
			t.Errorf("error %v, want %s", err, c.want)
		}
	}
}

func FuzzDecode(f *testing.F) {
	f.Add(listener(f))
	f.Add(message(f, 2, 1, 101, netlink.Attribute{Type: attributePeer, Data: words(0)}))
	f.Add(append(make([]byte, messageLen), 200, 0, 0, 0))
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := decode(b)
		if err != nil {
			return
		}
		if len(s.Address) > len(b)+2 || 4*len(s.Pending) > len(b) {
			t.Errorf("%+v is more than %d bytes hold", s, len(b))
		}
		one := Snapshot{Sockets: []*Socket{s}}
		for _, l := range one.Links() {
			if l.Client != s && l.Server != s {
				t.Errorf("link %+v of %+v", l, s)
			}
		}
	})
}
