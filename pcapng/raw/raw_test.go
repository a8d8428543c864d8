package raw

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sockcap/sockcap/pcapng"
)

// lines is what becomes of packets, each packet's on a line.
func lines(t *testing.T, packets ...pcapng.Packet) []string {
	t.Helper()
	file, _ := encode(t, packets...)
	var got []string
	for _, f := range read(t, file) {
		got = append(got, f.String())
	}
	return got
}

// TestConversations: what each kind of connection looks like on the wire.
func TestConversations(t *testing.T) {
	for _, c := range []struct {
		name string
		make func(c *talk)
		want []string
	}{
		{"from connect to close", func(c *talk) {
			c.event(pcapng.EventConnect, client)
			c.event(pcapng.EventAccept, server)
			c.send(client, []byte("seven.."), 7)
			c.send(server, make([]byte, maxSegment+1), large)
			c.send(client, []byte("x"), 1)
			c.close()
		}, []string{
			"> 80 S 0 len 0 docker connect", "< 80 S 0 ack 1 len 0", "> 80 1 ack 1 len 0 docker connect",
			"> 80 P 1 ack 1 len 7 docker",
			"< 80 1 ack 8 len 65475 dockerd", "< 80 P 65476 ack 8 len 1 dockerd",
			"> 80 P 8 ack 65477 len 1 docker",
			"> 80 F 9 ack 65477 len 0 docker close", "< 80 F 65477 ack 10 len 0 dockerd close",
		}},
		{"a stream that begins, without its connect", func(c *talk) {
			c.send(server, []byte("hello"), 5)
			c.event(pcapng.EventConnect, client)
			c.send(client, []byte("world!"), 3)
		}, []string{
			"> 80 S 0 len 0", "< 80 S 0 ack 1 len 0", "> 80 1 ack 1 len 0",
			"< 80 P 1 ack 1 len 5 dockerd", "> 80 P 1 ack 6 len 3 docker", "> 80 P 4 ack 6 len 3 docker",
		}},
		{"a stream that begins with a gap", func(c *talk) {
			c.lose(client, 100)
			p := c.send(client, []byte("hello"), 5)
			p.Lost, p.Skipped, p.DropCount = 99, 1, 7
		}, []string{
			"> 80 S 0 len 0", "< 80 S 0 ack 1 len 0", "> 80 1 ack 1 len 0",
			"> 80 P 101 ack 1 len 5 drop 7 docker (lost before: 99 bytes; not captured before: 7 packets)",
		}},
		{"mid-stream", func(c *talk) {
			c.lose(client, 77_000_321)
			c.lose(server, 1<<32-5)
			c.send(client, []byte("hello"), 5)
			c.send(server, []byte("hello, too"), 10)
			c.send(client, []byte("hello"), 5)
			c.close()
		}, []string{
			"> 80 P 77000322 len 5 docker", "< 80 P 4294967292 ack 77000327 len 10 dockerd",
			"> 80 P 77000327 ack 6 len 5 docker",
			"> 80 F 77000332 ack 6 len 0 docker close", "< 80 F 6 ack 77000333 len 0 dockerd close",
		}},
		{"a socket that existed before", func(c *talk) {
			c.event(pcapng.EventSnapshot, client)
			c.send(client, []byte("hello"), 5)
			c.send(server, []byte("hello"), 5)
		}, []string{"> 80 P 1 len 5 docker", "< 80 P 1 ack 6 len 5 dockerd"}},
		{"gaps", func(c *talk) {
			c.send(client, []byte("hello"), 5)
			c.lose(client, 1000)
			c.send(client, []byte("hello"), 5).Lost = 1000
			cut := c.send(client, make([]byte, 100), 100)
			cut.Truncated, cut.Data = true, cut.Data[:17]
			none := c.send(client, make([]byte, 7), 7)
			none.Data = nil
			c.send(server, []byte("hello"), 5)
			c.lose(client, 50)
			c.event(pcapng.EventLost, client).Lost = 50
		}, []string{
			"> 80 S 0 len 0", "< 80 S 0 ack 1 len 0", "> 80 1 ack 1 len 0",
			"> 80 P 1 ack 1 len 5 docker", "> 80 P 1006 ack 1 len 5 docker (lost before: 1000 bytes)",
			"> 80 P 1011 ack 1 len 17 docker (truncated: 17 of 100 bytes captured)",
			"> 80 1118 ack 1 len 0 docker (not captured: 7 bytes)", "< 80 P 1 ack 1118 len 5 dockerd",
			"> 80 1168 ack 6 len 0 docker lost (lost before: 50 bytes)",
		}},
		{"what is cut is not acknowledged, but ends", func(c *talk) {
			cut := c.send(client, make([]byte, 100), 100)
			cut.Data = cut.Data[:17]
			c.send(server, []byte("hello"), 5)
			c.event(pcapng.EventClose, client)
			c.send(server, []byte("x"), 1)
		}, []string{
			"> 80 S 0 len 0", "< 80 S 0 ack 1 len 0", "> 80 1 ack 1 len 0",
			"> 80 P 1 ack 1 len 17 docker (truncated: 17 of 100 bytes captured)", "< 80 P 1 ack 18 len 5 dockerd",
			"> 80 F 101 ack 6 len 0 docker close", "< 80 P 6 ack 102 len 1 dockerd",
		}},
		{"a gap that no sequence number tells", func(c *talk) {
			c.send(client, []byte("hello"), 5)
			c.lose(client, 1<<32)
			c.send(client, []byte("hello"), 5).Lost = 1 << 32
			c.send(client, []byte("hello"), 5)
			c.send(server, []byte("hello"), 5)
			c.close()
		}, []string{
			"> 80 S 0 len 0", "< 80 S 0 ack 1 len 0", "> 80 1 ack 1 len 0",
			"> 80 P 1 ack 1 len 5 docker", "< 80 1 ack 6 len 0",
			"> 80 P 268435462 ack 1 len 5 docker (lost before: 4294967296 bytes; gap before of 4294967296 bytes, shown as 268435456)",
			"< 80 1 ack 268435467 len 0",
			"> 80 P 268435467 ack 1 len 5 docker", "< 80 P 1 ack 268435472 len 5 dockerd",
			"> 80 F 268435472 ack 6 len 0 docker close", "< 80 F 6 ack 268435473 len 0 dockerd close",
		}},
		{"one side alone for long", func(c *talk) {
			c.event(pcapng.EventConnect, client)
			for range 3 {
				c.lose(client, maxGap-1)
				c.send(client, []byte("x"), 1)
			}
		}, []string{
			"> 80 S 0 len 0 docker connect", "< 80 S 0 ack 1 len 0", "> 80 1 ack 1 len 0 docker connect",
			"> 80 P 268435456 ack 1 len 1 docker",
			"< 80 1 ack 268435457 len 0", "> 80 P 536870912 ack 1 len 1 docker",
			"< 80 1 ack 536870913 len 0", "> 80 P 805306368 ack 1 len 1 docker",
		}},
		{"closed before its last bytes were read", func(c *talk) {
			c.event(pcapng.EventConnect, client)
			c.send(client, []byte("hello"), 5)
			c.event(pcapng.EventClose, client).Offset = 12
			c.send(server, []byte("hello"), 5)
			c.send(client, []byte("seven.."), 7)
			c.event(pcapng.EventClose, server)
			c.event(pcapng.EventClose, server)
		}, []string{
			"> 80 S 0 len 0 docker connect", "< 80 S 0 ack 1 len 0", "> 80 1 ack 1 len 0 docker connect",
			"> 80 P 1 ack 1 len 5 docker", "< 80 P 1 ack 6 len 5 dockerd",
			"> 80 P 6 ack 6 len 7 docker", "> 80 F 13 ack 6 len 0 docker close", "< 80 F 6 ack 14 len 0 dockerd close",
		}},
		{"closed before bytes that never came", func(c *talk) {
			c.send(client, []byte("hello"), 5)
			c.event(pcapng.EventClose, client).Offset = 12
			c.event(pcapng.EventClose, server)
		}, []string{
			"> 80 S 0 len 0", "< 80 S 0 ack 1 len 0", "> 80 1 ack 1 len 0", "> 80 P 1 ack 1 len 5 docker",
			"< 80 F 1 ack 6 len 0 dockerd close", "> 80 F 13 ack 2 len 0 docker close",
		}},
		{"closed, nothing known of what it sent", func(c *talk) {
			c.event(pcapng.EventConnect, client)
			c.send(server, []byte("one"), 3)
			c.event(pcapng.EventClose, server).Offset = 0
			c.send(server, []byte("two"), 3)
			c.event(pcapng.EventClose, client)
		}, []string{
			"> 80 S 0 len 0 docker connect", "< 80 S 0 ack 1 len 0", "> 80 1 ack 1 len 0 docker connect",
			"< 80 P 1 ack 1 len 3 dockerd", "< 80 P 4 ack 1 len 3 dockerd",
			"< 80 F 7 ack 1 len 0 dockerd close", "> 80 F 1 ack 8 len 0 docker close",
		}},
		{"acknowledging after its FIN", func(c *talk) {
			c.send(client, []byte("hello"), 5)
			c.event(pcapng.EventClose, client)
			c.lose(server, maxUnacked)
			c.send(server, []byte("x"), 1)
			c.lose(server, 1)
			c.send(server, []byte("x"), 1)
		}, []string{
			"> 80 S 0 len 0", "< 80 S 0 ack 1 len 0", "> 80 1 ack 1 len 0",
			"> 80 P 1 ack 1 len 5 docker", "> 80 F 6 ack 1 len 0 docker close",
			"< 80 P 268435457 ack 7 len 1 dockerd", "> 80 7 ack 268435458 len 0", "< 80 P 268435459 ack 7 len 1 dockerd",
		}},
		{"refused, then not", func(c *talk) {
			c.event(pcapng.EventRefused, client).Errno = 111
			c.event(pcapng.EventConnect, client)
			c.event(pcapng.EventRefused, client).Errno = 32
		}, []string{
			"> 80 S 0 len 0 docker refused errno=111", "< 80 R 0 ack 1 len 0 docker refused errno=111",
			"> 80 S 0 len 0 docker connect", "< 80 S 0 ack 1 len 0", "> 80 1 ack 1 len 0 docker connect",
			"< 80 R 1 ack 1 len 0 docker refused errno=32",
		}},
		{"sides known by their inodes alone", func(c *talk) {
			c.send(client, []byte("hello"), 5).Role = 0
			c.send(server, []byte("hello"), 5).Role = 0
		}, []string{
			"> 80 S 0 len 0", "< 80 S 0 ack 1 len 0", "> 80 1 ack 1 len 0",
			"> 80 P 1 ack 1 len 5 docker", "< 80 P 1 ack 6 len 5 dockerd",
		}},
		{"no place in a stream", func(c *talk) {
			p := c.send(client, []byte("hello"), 5)
			p.Role, p.Sender.Inode = 0, 0
			c.send(server, []byte("hello"), 5).ConnID = 0
		}, []string{
			"> 0 udp 5 docker (bytes of a stream, connection or direction unknown)",
			"< 0 udp 5 dockerd (bytes of a stream, connection or direction unknown)",
		}},
		{"datagrams", func(c *talk) {
			c.kind = pcapng.Datagram
			c.datagram(client, nil)
			c.datagram(server, make([]byte, maxUDP))
			c.datagram(client, make([]byte, maxUDP+1)).DropCount = 1
			c.datagram(client, make([]byte, large)).More = true
			p := c.datagram(client, make([]byte, large))
			p.More, p.Continued = true, true
			c.datagram(client, make([]byte, 7)).Continued = true
			cut := c.datagram(client, make([]byte, 100))
			cut.Data = cut.Data[:17]
			c.event(pcapng.EventConnect, client)
		}, []string{
			"> 0 udp 0 docker", "< 0 udp 65527 dockerd",
			"> 0 udp 65528 drop 1 docker (not captured before: 1 packet)",
			"> 0 udp 258048 docker (the first part of one datagram)",
			"> 0 udp 258048 docker (a middle part of one datagram)", "> 0 udp 7 docker (the last part of one datagram)",
			"> 0 udp 17 docker (truncated: 17 of 100 bytes captured)",
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			k := converse("/run/docker.sock", 7)
			c.make(k)
			if d := cmp.Diff(c.want, lines(t, k.packets...)); d != "" {
				t.Errorf("(-want +got):\n%s", d)
			}
		})
	}
}

// TestUDPChecksums: sums that are long, and those that come out as 0.
func TestUDPChecksums(t *testing.T) {
	c := converse("/run/x", 1)
	c.kind = pcapng.Datagram
	for _, n := range []int{1, 2, 17, maxUDP, maxUDP + 1, 131072, 131101, large} {
		c.datagram(client, bytes.Repeat([]byte{0xff}, n))
		c.datagram(server, noise(n))
	}
	for i := range 1 << 16 {
		c.datagram(client, []byte{byte(i >> 8), byte(i)})
	}
	file, _ := encode(t, c.packets...)
	if got := len(read(t, file)); got != len(c.packets) {
		t.Errorf("%d packets, want %d", got, len(c.packets))
	}
}

// TestConnectionsDoNotMix: however close the ids, and whatever else they
// share, no two connections have the same addresses and ports.
func TestConnectionsDoNotMix(t *testing.T) {
	var packets []pcapng.Packet
	ids := []uint64{1, 2, 1 << 14, 1 << 16, 1 << 32, 1 << 62, 1<<62 + 1, math.MaxUint64}
	for _, id := range ids {
		for _, host := range []int{0, 1} {
			c := converse("/run/docker.sock", id)
			c.event(pcapng.EventConnect, client).Host = host
			c.send(server, []byte("hello"), 5).Host = host
			packets = append(packets, c.packets...)
		}
	}
	refused := converse("/run/docker.sock", 0)
	for range 3 {
		refused.event(pcapng.EventRefused, client)
	}
	file, _ := encode(t, append(packets, refused.packets...)...)
	seen := map[string]int{}
	for _, f := range read(t, file) {
		ends := []string{f.from.String(), f.to.String()}
		slices.Sort(ends)
		seen[strings.Join(ends, " ")]++
	}
	if len(seen) != 2*len(ids)+3 {
		t.Errorf("%d conversations, want %d", len(seen), 2*len(ids)+3)
	}
	for ends, n := range seen {
		if n != 4 && n != 2 {
			t.Errorf("%s: %d packets", ends, n)
		}
	}
}

// TestLeftOut: events without a packet are counted, and what was lost before
// them is told of later.
func TestLeftOut(t *testing.T) {
	c := converse("/run/docker.sock", 7)
	c.event(pcapng.EventListen, server).DropCount = 1
	c.send(client, []byte("hello"), 5)
	for _, e := range []pcapng.Event{pcapng.EventAccept, pcapng.EventRead, pcapng.EventShutdown, pcapng.EventSnapshot, 99, 0} {
		c.event(e, server).DropCount = 10
	}
	c.datagram(client, nil)                            // nothing, on a stream
	c.event(pcapng.EventClose, client).DropCount = 100 // its FIN waits
	c.packets[len(c.packets)-1].Offset = 12
	c.send(client, []byte("seven.."), 7).DropCount = 1000
	c.event(pcapng.EventClose, server).Offset = 9
	d := converse("", 8)
	d.kind = pcapng.SeqPacket
	d.event(pcapng.EventClose, client).DropCount = 5
	file, left := encode(t, append(c.packets, d.packets...)...)
	if _, left := encode(t, d.packets...); left.Dropped != 5 {
		t.Errorf("%d packets lost since the last one, want 5", left.Dropped)
	}

	var drops []uint64
	for _, f := range read(t, file) {
		if f.dropCount > 0 {
			drops = append(drops, f.dropCount)
		}
	}
	if d := cmp.Diff([]uint64{1, 1160, 5}, drops); d != "" {
		t.Errorf("drop counts (-want +got):\n%s", d)
	}
	want := LeftOut{}
	want.Events[0] = 2
	for _, e := range []pcapng.Event{pcapng.EventListen, pcapng.EventAccept, pcapng.EventRead, pcapng.EventShutdown, pcapng.EventSnapshot, pcapng.EventData} {
		want.Events[e] = 1
	}
	want.Events[pcapng.EventClose] = 1 // of the pair
	if d := cmp.Diff(want, left); d != "" {
		t.Errorf("left out (-want +got):\n%s", d)
	}
}

// TestWindow: however long one side sends alone, and whatever is missing, it
// stays within the window that the other one has announced: Suricata leaves
// out what does not.
func TestWindow(t *testing.T) {
	c := converse("/run/docker.sock", 7)
	c.event(pcapng.EventConnect, client)
	for i := range uint64(101) {
		c.lose(client, i*maxGap/10)
		c.send(client, make([]byte, large), large)
	}
	file, _ := encode(t, c.packets...)
	var acked, room uint32
	for i, f := range read(t, file) {
		switch last := f.tcp.Seq + uint32(len(f.payload)); {
		case f.tcp.SYN:
			scale := f.tcp.Options[1].OptionData[0]
			room = uint32(f.tcp.Window) << scale
		case f.from.Port() == 80:
			acked = f.tcp.Ack
		case last-acked > room:
			t.Fatalf("packet %d ends at %d, %d is acknowledged, %d bytes are the window", i, last, acked, room)
		}
	}
}

// TestTimes: each packet's time is its record's, to the nanosecond, and none
// goes back.
func TestTimes(t *testing.T) {
	c := converse("/run/docker.sock", 7)
	c.send(client, make([]byte, maxSegment+7), large).Time = epoch
	c.send(server, []byte("early"), 5).Time = epoch.Add(-1)
	c.send(server, []byte("late"), 5).Time = epoch.Add(1)
	file, _ := encode(t, c.packets...)
	for i, f := range read(t, file) {
		want := epoch
		if i == 6 {
			want = epoch.Add(1)
		}
		if !f.at.Equal(want) {
			t.Errorf("packet %d at %v, want %v", i, f.at, want)
		}
	}
}

// TestForgotten: beyond what a Writer knows, connections go on without their
// past, and it does not grow.
func TestForgotten(t *testing.T) {
	var file bytes.Buffer
	w, err := NewWriter(&file, pcapng.Options{})
	if err != nil {
		t.Fatal(err)
	}
	w.conversations.limit = 2
	one := converse("/run/x", 1)
	one.send(client, []byte("hello"), 5)
	one.send(server, []byte("hello"), 5)
	one.send(client, []byte("hello"), 5)
	others := converse("/run/x", 2)
	for id := range uint64(4) {
		others.id = 2 + id
		others.event(pcapng.EventConnect, client)
	}
	for _, p := range slices.Concat(one.packets[:2], others.packets, one.packets[2:]) {
		p.Time = epoch
		if err := w.WritePacket(&p); err != nil {
			t.Fatal(err)
		}
		if n := len(w.conversations.young) + len(w.conversations.old); n > 4 {
			t.Fatalf("%d connections are remembered", n)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	all := read(t, file.Bytes())
	if got, want := all[len(all)-1].String(), "> 0 P 6 len 5 docker"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

// TestErrors: what the file below refuses.
func TestErrors(t *testing.T) {
	full := errors.New("full")
	w, err := NewWriter(writer(func([]byte) (int, error) { return 0, full }), pcapng.Options{})
	if err != nil {
		t.Fatal(err)
	}
	c := converse("/run/docker.sock", 7)
	for _, p := range []*pcapng.Packet{
		{Host: -1, Event: pcapng.EventData, Type: pcapng.Datagram},
		{Event: pcapng.EventData, Type: pcapng.Datagram, Data: make([]byte, pcapng.MaxRecord)},
	} {
		if err := w.WritePacket(p); !errors.Is(err, pcapng.ErrPacket) {
			t.Errorf("host %d, %d bytes: %v", p.Host, len(p.Data), err)
		}
	}
	if err := w.WritePacket(c.send(client, make([]byte, large), large)); !errors.Is(err, full) {
		t.Errorf("writing to what is full: %v", err)
	}
	if err := w.Close(); !errors.Is(err, full) {
		t.Errorf("closing what is full: %v", err)
	}
}

type writer func([]byte) (int, error)

func (w writer) Write(p []byte) (int, error) { return w(p) }

// FuzzWriter: nothing that a capture file may say makes a packet that cannot
// be read, or a panic.
func FuzzWriter(f *testing.F) {
	c := converse("/run/docker.sock", 7)
	c.event(pcapng.EventConnect, client)
	c.send(client, []byte("seven.."), 7)
	c.lose(server, 1<<63)
	c.send(server, []byte("hello"), 5)
	c.close()
	c.kind = pcapng.Datagram
	c.datagram(client, []byte("hello"))
	f.Add(records(f, c.packets...))
	f.Fuzz(func(t *testing.T, file []byte) {
		r, err := pcapng.NewReader(bytes.NewReader(file))
		if err != nil {
			return
		}
		var out bytes.Buffer
		w, err := NewWriter(&out, pcapng.Options{})
		if err != nil {
			t.Fatal(err)
		}
		for p, err := range r.Packets() {
			if err != nil || p.Host > 7 {
				break
			}
			if err := w.WritePacket(p); err != nil && !errors.Is(err, pcapng.ErrPacket) {
				t.Fatal(err)
			}
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		read(t, out.Bytes())
	})
}

// records is the file of records of packets.
func records(t testing.TB, packets ...pcapng.Packet) []byte {
	t.Helper()
	var file bytes.Buffer
	w, err := pcapng.NewWriter(&file, pcapng.Options{})
	if err != nil {
		t.Fatal(err)
	}
	for i := range packets {
		p := packets[i]
		p.Time = epoch.Add(time.Duration(i) * time.Millisecond)
		if err := w.WritePacket(&p); err != nil {
			t.Fatal(fmt.Errorf("packet %d: %w", i, err))
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return file.Bytes()
}
