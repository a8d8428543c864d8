package raw

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/sockcap/sockcap/pcapng"
)

var epoch = time.Date(2026, time.November, 24, 6, 29, 35, 824_123_456, time.UTC)

// talk makes the packets of a connection, and counts its offsets.
type talk struct {
	path    string
	id      uint64
	kind    pcapng.SocketType
	sent    [2]uint64
	packets []pcapng.Packet
}

func converse(path string, id uint64) *talk { return &talk{path: path, id: id, kind: pcapng.Stream} }

func (c *talk) event(e pcapng.Event, s side) *pcapng.Packet {
	p := pcapng.Packet{
		Event: e, Type: c.kind, Role: pcapng.RoleClient, Path: c.path, ConnID: c.id, Offset: c.sent[s], MessageLen: pcapng.Unknown,
		Sender: pcapng.Endpoint{PID: 27806, Comm: "docker", Inode: 1000 + c.id},
		Peer:   pcapng.Endpoint{PID: 2434, Comm: "dockerd", Inode: 2000 + c.id},
	}
	if s == server {
		p.Role, p.Sender, p.Peer = pcapng.RoleServer, p.Peer, p.Sender
	}
	c.packets = append(c.packets, p)
	return &c.packets[len(c.packets)-1]
}

// send makes records of at most piece bytes.
func (c *talk) send(s side, data []byte, piece int) *pcapng.Packet {
	var p *pcapng.Packet
	for part := range slices.Chunk(data, piece) {
		p = c.event(pcapng.EventData, s)
		p.Data, p.Len = part, uint32(len(part))
		c.sent[s] += uint64(len(part))
	}
	return p
}

// datagram makes one record.
func (c *talk) datagram(s side, data []byte) *pcapng.Packet {
	p := c.event(pcapng.EventData, s)
	p.Data, p.Len = data, uint32(len(data))
	c.sent[s] += uint64(len(data))
	return p
}

// lose counts bytes that no record has.
func (c *talk) lose(s side, n uint64) { c.sent[s] += n }

func (c *talk) close() {
	c.event(pcapng.EventClose, client)
	c.event(pcapng.EventClose, server)
}

const large = pcapng.MaxPayload // of a record

func request(path string) []byte {
	return []byte("GET " + path + " HTTP/1.1\r\nHost: docker\r\n\r\n")
}

func response(body []byte) []byte {
	return append(fmt.Appendf(nil, "HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\nContent-Length: %d\r\n\r\n",
		len(body)), body...)
}

func noise(n int) []byte {
	r, b := rand.New(rand.NewPCG(7, 7)), make([]byte, n)
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	return b
}

// encode is the file of packets, a millisecond apart where they have no time.
func encode(t testing.TB, packets ...pcapng.Packet) ([]byte, LeftOut) {
	t.Helper()
	var file bytes.Buffer
	w, err := NewWriter(&file, pcapng.Options{})
	if err != nil {
		t.Fatal(err)
	}
	for i := range packets {
		p := packets[i]
		if p.Time.IsZero() {
			p.Time = epoch.Add(time.Duration(i) * time.Millisecond)
		}
		if err := w.WritePacket(&p); err != nil {
			t.Fatalf("packet %d: %v", i, err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return file.Bytes(), w.LeftOut()
}
