package wireshark_test

import (
	"encoding/hex"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sockcap/sockcap/pcapng"
)

// contract is the table of fields that the record has in Wireshark: names and
// types are fixed for ever.
var contract = map[string]string{
	"version": "UINT32", "tid": "UINT32", "pid": "UINT32", "uid": "UINT32", "gid": "UINT32",
	"peer.pid": "UINT32", "peer.tid": "UINT32", "peer.uid": "UINT32", "peer.gid": "UINT32",
	"reader.pid": "UINT32", "cred.pid": "UINT32", "cred.uid": "UINT32", "cred.gid": "UINT32",
	"errno": "UINT32", "netns": "UINT32", "stream": "UINT32", "fd.count": "UINT32", "fd.num": "UINT32",
	"inode": "UINT64", "peer.inode": "UINT64", "connid": "UINT64", "offset": "UINT64",
	"message": "UINT64", "lost": "UINT64", "skipped": "UINT64",
	"len": "UINT32", "caplen": "UINT32", "message.len": "UINT32",
	"event": "STRING", "type": "STRING", "role": "STRING", "stamp": "STRING", "uncertain": "STRING",
	"fd.kind": "STRING", "comm": "STRING", "thread": "STRING", "path": "STRING", "peer.comm": "STRING",
	"reader.comm": "STRING", "fd.name": "STRING", "exe": "STRING", "cgroup": "STRING",
	"container": "STRING", "pod": "STRING", "unit": "STRING",
	"secid": "UINT32", "state": "STRING", "holder.pid": "UINT32", "holder.uid": "UINT32", "holder.gid": "UINT32", "holder.comm": "STRING",
	"container.name": "STRING", "ns.pid": "UINT32", "cmdline": "STRING", "peer.exe": "STRING", "peer.cgroup": "STRING",
	"peer.container": "STRING", "peer.container.name": "STRING", "peer.unit": "STRING", "peer.pod": "STRING",
	"truncated": "BOOLEAN", "latency": "DOUBLE", "data": "BYTES",
}

func TestFieldsAreTheContract(t *testing.T) {
	t.Parallel()
	s := newShark(t)
	got := map[string]string{}
	fields, errs := s.start(t, "-G", "fields")
	if strings.Contains(errs, "Lua") {
		t.Errorf("stderr:\n%s", errs)
	}
	for line := range strings.Lines(fields) {
		f := strings.Split(line, "\t")
		if f[0] != "F" || f[4] != "sockcap" || strings.HasPrefix(f[2], "sockcap.expert.") {
			continue
		}
		got[strings.TrimPrefix(f[2], "sockcap.")] = strings.TrimPrefix(f[3], "FT_")
	}
	if d := cmp.Diff(contract, got); d != "" {
		t.Errorf("fields (-contract +sockcap.lua):\n%s", d)
	}
}

// want is what Wireshark must show for p: the contract in Go, written from
// DESIGN 1.5, not from the dissector.
func want(p *pcapng.Packet) map[string][]string {
	w := map[string][]string{}
	set := func(name string, known bool, v any) {
		if known {
			w["sockcap."+name] = append(w["sockcap."+name], fmt.Sprint(v))
		}
	}
	data := p.Event == pcapng.EventData
	set("version", true, 1)
	set("event", true, []string{"", "data", "read", "connect", "accept", "listen", "shutdown", "close",
		"refused", "snapshot", "lost"}[p.Event])
	set("type", true, map[pcapng.SocketType]string{1: "stream", 2: "dgram", 5: "seqpacket"}[p.Type])
	set("role", p.Role != 0, map[pcapng.Role]string{1: "client", 2: "server"}[p.Role])
	set("stamp", data || p.Stamp != 0, []string{"queued", "read", "waiting"}[p.Stamp])
	set("uncertain", p.Uncertain&pcapng.UncertainSender != 0, "sender")
	set("uncertain", p.Uncertain&pcapng.UncertainOrder != 0, "order")
	set("truncated", p.Truncated || len(p.Data) < int(p.Len), 1)
	for prefix, e := range map[string]pcapng.Endpoint{"": p.Sender, "peer.": p.Peer} {
		set(prefix+"pid", e.PID != 0, e.PID)
		set(prefix+"tid", e.TID != 0, e.TID)
		set(prefix+"uid", e.UID != pcapng.Unknown, e.UID)
		set(prefix+"gid", e.GID != pcapng.Unknown, e.GID)
		set(prefix+"inode", e.Inode != 0, e.Inode)
		set(prefix+"comm", e.Comm != "", e.Comm)
	}
	set("thread", p.Sender.Thread != "", p.Sender.Thread)
	set("path", p.Path != "", p.Path)
	set("connid", p.ConnID != 0, p.ConnID)
	set("offset", data || p.Offset != 0, p.Offset)
	set("message", p.Message != 0, p.Message)
	set("len", data || p.Len != 0, p.Len)
	set("caplen", data || len(p.Data) != 0, len(p.Data))
	set("message.len", p.MessageLen != pcapng.Unknown, p.MessageLen)
	set("lost", p.Lost != 0, p.Lost)
	set("skipped", p.Skipped != 0, p.Skipped)
	if r := p.Reader; r != nil {
		set("reader.pid", r.PID != 0, r.PID)
		set("reader.comm", r.Comm != "", r.Comm)
	}
	set("latency", p.Latency != 0, p.Latency.Seconds())
	set("errno", p.Errno != 0, p.Errno)
	set("netns", p.NetNS != 0, p.NetNS)
	set("fd.count", p.FDCount != 0, p.FDCount)
	for _, fd := range p.FDs {
		set("fd.num", fd.Num != pcapng.Unknown, fd.Num)
		set("fd.kind", true, []string{"other", "file", "pipe", "socket", "memfd", "device", "pidfd"}[fd.Kind])
		set("fd.name", fd.Name != "", fd.Name)
	}
	if c := p.Cred; c != nil {
		set("cred.pid", true, c.PID)
		set("cred.uid", true, c.UID)
		set("cred.gid", true, c.GID)
	}
	set("secid", p.SecID != 0, p.SecID)
	set("state", p.State != 0, []string{"", "listening", "connected", "unconnected", "connecting", "disconnected"}[p.State])
	for _, h := range p.Holders {
		set("holder.pid", true, h.PID)
		set("holder.uid", h.UID != pcapng.Unknown, h.UID)
		set("holder.gid", h.GID != pcapng.Unknown, h.GID)
		set("holder.comm", h.Comm != "", h.Comm)
	}
	set("exe", p.Exe != "", p.Exe)
	set("cgroup", p.Cgroup != "", p.Cgroup)
	set("container", p.Container != "", p.Container)
	set("pod", p.Pod != "", p.Pod)
	set("unit", p.Unit != "", p.Unit)
	set("container.name", p.ContainerName != "", p.ContainerName)
	set("ns.pid", p.NSPID != 0, p.NSPID)
	set("cmdline", p.Cmdline != "", strings.ReplaceAll(p.Cmdline, "\x00", " "))
	set("peer.exe", p.PeerPlace.Exe != "", p.PeerPlace.Exe)
	set("peer.cgroup", p.PeerPlace.Cgroup != "", p.PeerPlace.Cgroup)
	set("peer.container", p.PeerPlace.Container != "", p.PeerPlace.Container)
	set("peer.container.name", p.PeerPlace.ContainerName != "", p.PeerPlace.ContainerName)
	set("peer.unit", p.PeerPlace.Unit != "", p.PeerPlace.Unit)
	set("peer.pod", p.PeerPlace.Pod != "", p.PeerPlace.Pod)
	set("data", len(p.Data) != 0, hex.EncodeToString(p.Data))
	return w
}

// full is a packet with everything known.
func full() pcapng.Packet {
	return pcapng.Packet{
		Event: pcapng.EventData, Type: pcapng.Stream, Role: pcapng.RoleClient, Stamp: pcapng.StampRead,
		Uncertain: pcapng.UncertainSender | pcapng.UncertainOrder, Truncated: true, Continued: true, More: true,
		OwnTime: epoch.Add(time.Nanosecond),
		Sender: pcapng.Endpoint{PID: 27806, TID: 27807, UID: 1000, GID: 100, Inode: 1<<63 + 5,
			Comm: "docker", Thread: "worker"},
		Peer: pcapng.Endpoint{PID: 2434, TID: 2435, UID: 0, GID: 0, Inode: 77, Comm: "dockerd", Thread: "accept"},
		Path: "/run/app.sock", ConnID: 1<<64 - 2, Offset: 1<<40 + 3, Message: 1 << 33, Len: 5, MessageLen: 4099,
		Lost: 1<<53 + 1, Skipped: 1<<53 + 3,
		Reader:  &pcapng.Endpoint{PID: 2440, TID: 2441, Comm: "reader"},
		Latency: 1500 * time.Microsecond, Errno: 111, NetNS: 4026531840, FDCount: 3,
		FDs: []pcapng.FD{{Num: 9, Kind: pcapng.FDFile, Name: "/etc/passwd"}, {Num: pcapng.Unknown, Kind: pcapng.FDPidfd},
			{Num: 0, Kind: pcapng.FDOther, Name: "anon_inode:[eventfd]"}},
		Cred: &pcapng.Cred{PID: 27806, UID: 0, GID: pcapng.Unknown}, SecID: 1<<31 + 7, State: pcapng.StateConnected,
		Holders: []pcapng.Holder{{PID: 27806, UID: 1000, GID: 100, Comm: "docker"}, {PID: 27811, UID: pcapng.Unknown, GID: pcapng.Unknown},
			{Peer: true, PID: 2434, UID: 0, GID: 0, Comm: "dockerd"}},
		Exe: "/usr/bin/docker", Cgroup: `/system.slice/dev-disk\x2dby.service`, Container: "0123456789ab", Pod: "web-0",
		Unit: "docker.service", ContainerName: "web", NSPID: 7, Cmdline: "docker\x00run\x00a b",
		PeerPlace: pcapng.Place{
			Exe: "/usr/sbin/dockerd", Cgroup: "/init.scope", Container: "ba9876543210", ContainerName: "db", Pod: "shop/db-0", Unit: "init.scope",
		},
		Data: []byte{0, 1, 255},
	}
}

// bare is a packet with nothing known that may be unknown.
func bare() pcapng.Packet {
	none := pcapng.Endpoint{UID: pcapng.Unknown, GID: pcapng.Unknown}
	return pcapng.Packet{Event: pcapng.EventData, Type: pcapng.Datagram, Sender: none, Peer: none, MessageLen: pcapng.Unknown}
}

func random(r *rand.Rand) pcapng.Packet {
	coin := func() bool { return r.IntN(2) == 0 }
	p := full()
	p.Event = pcapng.Event(1 + r.IntN(10))
	p.Type = []pcapng.SocketType{pcapng.Stream, pcapng.Datagram, pcapng.SeqPacket}[r.IntN(3)]
	p.Role, p.Stamp = pcapng.Role(r.IntN(3)), pcapng.Stamp(r.IntN(3))
	p.Uncertain, p.Truncated = pcapng.Uncertain(r.IntN(4)), coin()
	p.ConnID, p.Offset = uint64(r.IntN(7)), r.Uint64()>>r.IntN(64)
	p.Sender.PID, p.Sender.UID, p.Peer.Inode = r.Uint32()>>r.IntN(32), r.Uint32()>>r.IntN(32), r.Uint64()>>r.IntN(64)
	p.Data = make([]byte, r.IntN(101))
	for i := range p.Data {
		p.Data[i] = byte(r.Uint32())
	}
	p.Len = uint32(len(p.Data) + r.IntN(2))
	for i := range p.FDs {
		p.FDs[i].Kind = pcapng.FDKind(r.IntN(7))
	}
	for _, v := range []*string{&p.Path, &p.Sender.Comm, &p.Peer.Comm, &p.Exe, &p.Unit, &p.Pod, &p.Sender.Thread,
		&p.Cmdline, &p.ContainerName, &p.PeerPlace.Exe, &p.PeerPlace.Container} {
		if coin() {
			*v = ""
		}
	}
	if coin() {
		p.Cred, p.Reader, p.FDs, p.Errno, p.Lost, p.SecID = nil, nil, nil, 0, 0, 0
		p.State, p.Holders = pcapng.State(r.IntN(6)), nil
	}
	return p
}

func TestEveryFieldIsWhatGoEncoded(t *testing.T) {
	t.Parallel()
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	packets := []pcapng.Packet{full(), bare()}
	same := converse("/run/app.sock", 3)
	same.send(client, []byte("one and two"), 5) // records with the same options
	packets = append(packets, same.packets...)
	for len(packets) < 101 {
		packets = append(packets, random(r))
	}
	s := newShark(t)
	s.capture(t, "fields.pcapng", packets...)
	for _, pass := range [][]string{{}, {"-2"}} {
		got := s.fields(t, "fields.pcapng", "sockcap.", pass...)
		if len(got) != len(packets) {
			t.Fatalf("%q: %d records, want %d", pass, len(got), len(packets))
		}
		for i := range packets {
			g := got[i]
			normalize(g)
			delete(g, "sockcap.stream") // not in the record
			if d := cmp.Diff(want(&packets[i]), g); d != "" {
				t.Errorf("record %d, %q (-Go +Wireshark):\n%s", i+1, pass, d)
			}
		}
	}
}

// normalize undoes tshark's ways of writing, which differ by version, and takes
// the experts out.
func normalize(fields map[string][]string) {
	for name, values := range fields {
		switch {
		case strings.HasPrefix(name, "sockcap.expert."):
			delete(fields, name)
		case name == "sockcap.data":
			values[0] = strings.ReplaceAll(values[0], ":", "")
		case name == "sockcap.latency":
			if f, err := strconv.ParseFloat(values[0], 64); err == nil {
				values[0] = fmt.Sprint(f)
			}
		case name == "sockcap.truncated" && strings.EqualFold(values[0], "true"):
			values[0] = "1"
		}
	}
}

// A field that no filter and no view asks for is not made, one that any asks
// for is: a few at a time, without a visible tree.
func TestFieldsByThemselves(t *testing.T) {
	t.Parallel()
	s := newShark(t)
	p := full()
	s.capture(t, "full.pcapng", p)
	expected := want(&p)
	expected["sockcap.stream"] = []string{"0"}
	names := slices.Sorted(maps.Keys(expected))
	if len(names) != len(contract) {
		t.Fatalf("%d of %d fields are in the full packet", len(names), len(contract))
	}
	for some := range slices.Chunk(names, 7) {
		if filter := strings.Join(some, " && "); s.count(t, "full.pcapng", filter) != 1 {
			t.Errorf("%s: no record has them all", filter)
		}
	}
}
