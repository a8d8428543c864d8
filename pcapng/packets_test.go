package pcapng

import (
	"bytes"
	"io"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// epoch is when every packet of the tests begins to count.
var epoch = time.Date(2026, time.November, 24, 6, 29, 35, 824_123_456, time.UTC)

// full is a packet with something in every field, no two alike.
func full() *Packet {
	return &Packet{
		Time: epoch.Add(7 * time.Second), OwnTime: epoch.Add(time.Second),
		Event: EventData, Type: SeqPacket, Role: RoleServer, Stamp: StampWaiting,
		Uncertain: UncertainSender | UncertainOrder, Truncated: true, Continued: true, More: true,
		Sender: Endpoint{PID: 101, TID: 102, UID: 103, GID: 104, Inode: 1 << 40, Comm: "a b", Thread: "a\x1bt"},
		Peer:   Endpoint{PID: 201, TID: 202, UID: 203, GID: 204, Inode: 1 << 41, Comm: "päer", Thread: "\xff"},
		Path:   "@\x00abstract\n", ConnID: 1 << 50, Offset: 1 << 51, Message: 1 << 52,
		Len: 4099, MessageLen: 1 << 31, Lost: 1 << 53, Skipped: 1 << 54, DropCount: 1 << 55,
		Reader: &Endpoint{PID: 301, TID: 302, Comm: "reader"}, Latency: 1234567 * time.Nanosecond,
		Errno: 111, NetNS: 4026531840, FDCount: 3,
		FDs:  []FD{{Num: 5, Kind: FDFile, Name: "/etc/motd"}, {Num: Unknown, Kind: FDPidfd}},
		Cred: &Cred{PID: 401, UID: 402, GID: 403}, SecID: 501, State: StateConnecting,
		Holders: []Holder{{PID: 501, UID: 502, GID: 503, Comm: "one"}, {Peer: true, PID: 504, UID: Unknown, GID: Unknown, Comm: "\x1b"}},
		Exe:     "/usr/bin/a", Cgroup: "/system.slice/a.service", Container: "c0ffee", Pod: "pod", Unit: "a.service",
		ContainerName: "a web\x07", NSPID: 7, Cmdline: "a\x00-b\x00\xff",
		PeerPlace: Place{
			Exe: "/usr/bin/p", Cgroup: "/system.slice/p.service", Container: "facade", ContainerName: "p\n", Pod: "ns/p", Unit: "p.service",
		},
		Data: []byte("seventeen bytes.."),
	}
}

// encode is the capture file of packets.
func encode(t testing.TB, o Options, packets ...*Packet) []byte {
	t.Helper()
	var file bytes.Buffer
	w, err := NewWriter(&file, o)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range packets {
		if err := w.WritePacket(p); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return file.Bytes()
}

// decode is the packets of a capture file, and how reading it ended.
func decode(file []byte) (packets []*Packet, err error) { return readAll(bytes.NewReader(file)) }

func readAll(in io.Reader) (packets []*Packet, err error) {
	r, err := NewReader(in)
	if err != nil {
		return nil, err
	}
	for p, err := range r.Packets() {
		if err != nil {
			return packets, err
		}
		packets = append(packets, p.Clone())
	}
	return packets, nil
}

// diff compares what was written with what was read.
func diff(want, got any) string { return cmp.Diff(want, got, cmpopts.EquateEmpty()) }
