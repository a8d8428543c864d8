package pcapng

import (
	"bytes"
	"io"
	"testing"
)

// typical is the kind of packet that nearly all are.
func typical() *Packet {
	data := []byte("GET /v1.47/containers/json HTTP/1.1\r\nHost: api.moby.localhost\r\n")
	return &Packet{
		Time: epoch, Event: EventData, Type: Stream, Role: RoleClient,
		Sender: Endpoint{PID: 27806, TID: 27810, UID: 1000, GID: 1000, Inode: 48123, Comm: "docker"},
		Peer:   Endpoint{PID: 2434, TID: 2434, Inode: 48124, Comm: "dockerd"},
		Path:   "/run/docker.sock", ConnID: 7, Offset: 80, Message: 4099,
		Len: uint32(len(data)), MessageLen: uint32(len(data)), Data: data,
	}
}

// identified is a typical packet of processes that are known well.
func identified() *Packet {
	p := typical()
	p.Exe, p.Cgroup, p.Unit = "/usr/bin/docker", "/user.slice/user-1000.slice/session-1.scope", "session-1.scope"
	p.Cmdline = "docker\x00ps\x00--all\x00--format\x00{{.Names}}"
	p.PeerPlace = Place{Exe: "/usr/bin/dockerd", Cgroup: "/system.slice/docker.service", Unit: "docker.service"}
	p.NetNS = 4026531840
	p.Reader, p.Latency = &Endpoint{PID: p.Peer.PID, TID: p.Peer.TID, Comm: p.Peer.Comm}, 12345
	return p
}

func BenchmarkWritePacket(b *testing.B) {
	for name, p := range map[string]*Packet{"typical": typical(), "identified": identified()} {
		b.Run(name, func(b *testing.B) {
			w, err := NewWriter(io.Discard, Options{})
			if err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			for b.Loop() {
				if err := w.WritePacket(p); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkDecodeRecord(b *testing.B) {
	p := typical()
	rec := append(AppendRecordHeader(nil, p), p.Data...)
	b.ReportAllocs()
	for b.Loop() {
		if err := DecodeRecord(p, rec, len(rec)); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkRead(b *testing.B) {
	p, q := typical(), typical()
	q.Sender, q.Peer, q.Role = p.Peer, p.Sender, RoleServer
	packets := make([]*Packet, 0, 4096)
	for range cap(packets) / 2 {
		packets = append(packets, p, q)
	}
	file := encode(b, Options{}, packets...)
	b.ReportAllocs()
	for n := 0; b.Loop(); {
		r, err := NewReader(bytes.NewReader(file))
		if err != nil {
			b.Fatal(err)
		}
		for _, err := range r.Packets() {
			if n++; err != nil {
				b.Fatal(err)
			}
		}
		b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(n), "ns/packet")
	}
}

// BenchmarkStages measures the parts of BenchmarkWritePacket, the floor of
// which is to copy as many bytes.
func BenchmarkStages(b *testing.B) {
	for name, p := range map[string]*Packet{"typical": typical(), "identified": identified()} {
		var names recent
		block := appendPacket(nil, p, names.of(p), epoch.UnixNano(), noTime)
		var dst []byte
		for _, stage := range []struct {
			name string
			run  func()
		}{
			{"copy", func() { dst = append(dst[:0], block...) }},
			{"record header", func() { dst = AppendRecordHeader(dst[:0], p) }},
			{"comment", func() { dst = AppendComment(dst[:0], p) }},
			{"names", func() { names.of(p) }},
			{"block", func() { dst = appendPacket(dst[:0], p, names.of(p), epoch.UnixNano(), noTime) }},
		} {
			b.Run(name+"/"+stage.name, func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					stage.run()
				}
			})
		}
	}
}
