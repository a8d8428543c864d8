package wireshark_test

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"text/tabwriter"
	"time"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
	captured "github.com/gopacket/gopacket"
	linktype "github.com/gopacket/gopacket/layers"
	"github.com/gopacket/gopacket/pcapgo"

	"github.com/sockcap/sockcap/pcapng"
)

// traffic is many small records: connections that ask and answer by turns,
// each in 100 bytes. The same dissector gets them on both sides: by port in
// TCP, by path in ours.
type traffic struct {
	name  string
	path  string
	port  uint16
	turns [2]string // what the client and the server say, each time
}

func speedTraffic() []traffic {
	value := strings.Repeat("v", 64)
	return []traffic{
		{"redis", "/run/redis/redis.sock", 6379, [2]string{
			"*3\r\n$3\r\nSET\r\n$9\r\nkey:00042\r\n$64\r\n" + value + "\r\n", // 103 bytes
			"$91\r\n" + value + value[:27] + "\r\n",
		}},
		{"unknown", "/run/app/app.sock", 40998, [2]string{
			"ask " + value + value[:32], "say " + value + value[:32],
		}},
	}
}

// ours gives the traffic as sockcap captures it: n data records of so many
// connections, written by our own writer with all that it writes.
func (tr traffic) ours(t testing.TB, n, connections int) []byte {
	t.Helper()
	var file bytes.Buffer
	w, err := pcapng.NewWriter(&file, pcapng.Options{})
	if err != nil {
		t.Fatal(err)
	}
	var all []*conversation
	at := epoch
	write := func(c *conversation) {
		for i := range c.packets {
			c.packets[i].Time, c.packets[i].NetNS = at, 4026531840
			if err := w.WritePacket(&c.packets[i]); err != nil {
				t.Fatal(err)
			}
			at = at.Add(50 * time.Microsecond)
		}
		c.packets = c.packets[:0]
	}
	for id := range connections {
		c := converse(tr.path, uint64(id+1)).open()
		write(c)
		all = append(all, c)
	}
	for i := range n {
		turn := i / connections % 2
		c := all[i%connections]
		c.send([]pcapng.Role{client, server}[turn], []byte(tr.turns[turn]), large)
		c.packets[0].Message, c.packets[0].MessageLen = uint64(i+1), uint32(len(tr.turns[turn]))
		write(c)
	}
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	return file.Bytes()
}

// plain gives the same bytes at the same times as tcpdump would capture them
// on a network: Ethernet, IPv4 and TCP, n segments with payload.
func (tr traffic) plain(t testing.TB, n, connections int) []byte {
	t.Helper()
	var file bytes.Buffer
	w, err := pcapgo.NewNgWriter(&file, linktype.LinkTypeEthernet)
	if err != nil {
		t.Fatal(err)
	}
	mac := net.HardwareAddr{2, 0, 0, 0, 0, 1}
	buffer := gopacket.NewSerializeBuffer()
	at := epoch
	next := make([][2]uint32, connections) // the seq of either side
	segment := func(id, turn int, tcp layers.TCP, payload string) {
		ip := layers.IPv4{Version: 4, TTL: 64, Protocol: layers.IPProtocolTCP,
			SrcIP: net.IP{10, 0, 0, 1}, DstIP: net.IP{10, 0, 0, 2}}
		tcp.SrcPort, tcp.DstPort, tcp.Window = layers.TCPPort(50_000+id), layers.TCPPort(tr.port), 65535
		if turn == 1 {
			ip.SrcIP, ip.DstIP, tcp.SrcPort, tcp.DstPort = ip.DstIP, ip.SrcIP, tcp.DstPort, tcp.SrcPort
		}
		tcp.Seq = next[id][turn]
		if tcp.ACK {
			tcp.Ack = next[id][1-turn]
		}
		if err := tcp.SetNetworkLayerForChecksum(&ip); err != nil {
			t.Fatal(err)
		}
		eth := layers.Ethernet{SrcMAC: mac, DstMAC: mac, EthernetType: layers.EthernetTypeIPv4}
		if err := gopacket.SerializeLayers(buffer, gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true},
			&eth, &ip, &tcp, gopacket.Payload(payload)); err != nil {
			t.Fatal(err)
		}
		b := buffer.Bytes()
		if err := w.WritePacket(captured.CaptureInfo{Timestamp: at, CaptureLength: len(b), Length: len(b)}, b); err != nil {
			t.Fatal(err)
		}
		at = at.Add(50 * time.Microsecond)
		next[id][turn] += uint32(len(payload))
		if tcp.SYN {
			next[id][turn]++
		}
	}
	for id := range connections {
		segment(id, 0, layers.TCP{SYN: true}, "")
		segment(id, 1, layers.TCP{SYN: true, ACK: true}, "")
	}
	for i := range n {
		turn := i / connections % 2
		segment(i%connections, turn, layers.TCP{PSH: true, ACK: true}, tr.turns[turn])
	}
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	return file.Bytes()
}

// usage is what one run of tshark took.
type usage struct {
	cpu, wall time.Duration // user and system time; until it ended
	memory    int64         // the most that was resident, in bytes
}

// measure runs tshark, with the dissector or without.
func (s *shark) measure(t testing.TB, dissector bool, args ...string) usage {
	t.Helper()
	cmd := s.command(dissector, args...)
	var errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = nil, &errs
	begun := time.Now()
	if err := cmd.Run(); err != nil || strings.Contains(errs.String(), "Lua") {
		t.Fatalf("tshark %q: %v\n%s", args, err, errs.Bytes())
	}
	state := cmd.ProcessState
	return usage{state.UserTime() + state.SystemTime(), time.Since(begun), state.SysUsage().(*syscall.Rusage).Maxrss << 10}
}

// compare runs tshark over the plain file and over ours, either of them first
// by turns, and appends what that took.
func (s *shark) compare(t testing.TB, plain, ours []usage) ([]usage, []usage) {
	t.Helper()
	first := len(plain)%2 == 1
	for _, mine := range []bool{first, !first} {
		if mine {
			ours = append(ours, s.measure(t, true, "-r", s.path("ours.pcapng")))
		} else {
			plain = append(plain, s.measure(t, false, "-r", s.path("plain.pcapng")))
		}
	}
	return plain, ours
}

// spread is the least, the middle and the most of a measure.
func spread(of []usage, measure func(usage) float64) (low, middle, high float64) {
	var all []float64
	for _, u := range of {
		all = append(all, measure(u))
	}
	slices.Sort(all)
	return all[0], all[len(all)/2], all[len(all)-1]
}

func cpu(u usage) float64  { return u.cpu.Seconds() }
func wall(u usage) float64 { return u.wall.Seconds() }

// writeTable shows what the runs took, for people.
func writeTable(out io.Writer, plain, ours []usage) {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "user+sys (s)\tmin\tmedian\tmax\twall (s)\tmin\tmedian\tmax\tmemory (MiB)\t")
	for i, of := range [][]usage{plain, ours} {
		fmt.Fprint(w, []string{"plain TCP", "sockcap"}[i])
		for j, measure := range []func(usage) float64{cpu, wall} {
			low, middle, high := spread(of, measure)
			if j == 1 {
				fmt.Fprint(w, "\t")
			}
			fmt.Fprintf(w, "\t%.2f\t%.2f\t%.2f", low, middle, high)
		}
		_, memory, _ := spread(of, func(u usage) float64 { return float64(u.memory) / (1 << 20) })
		fmt.Fprintf(w, "\t%.0f\t\n", memory)
	}
	fmt.Fprint(w, "ratio")
	for j, measure := range []func(usage) float64{cpu, wall} {
		low1, middle1, _ := spread(plain, measure)
		low2, middle2, _ := spread(ours, measure)
		if j == 1 {
			fmt.Fprint(w, "\t")
		}
		fmt.Fprintf(w, "\t%.2f\t%.2f\t", low2/low1, middle2/middle1)
	}
	fmt.Fprintln(w, "\t\t")
	w.Flush()
}

// speedFiles writes the traffic as ours.pcapng and plain.pcapng.
func (s *shark) speedFiles(t testing.TB, tr traffic, n, connections int) {
	t.Helper()
	s.write(t, "plain.pcapng", tr.plain(t, n, connections))
	s.write(t, "ours.pcapng", tr.ours(t, n, connections))
}

// What BenchmarkTshark compares is the same work for the dissectors above TCP.
func TestSpeedFilesAreAlike(t *testing.T) {
	t.Parallel()
	for _, tr := range speedTraffic() {
		s := newShark(t)
		s.speedFiles(t, tr, 707, 7)
		filter := map[string]string{"redis": `frame.protocols contains "resp"`, "unknown": "data && tcp"}[tr.name]
		for _, name := range []string{"plain.pcapng", "ours.pcapng"} {
			if n := s.count(t, name, filter); n != 707 {
				t.Errorf("%s, %s: %d records, want 707", tr.name, name, n)
			}
			s.quiet(t, name)
		}
	}
}

// BenchmarkTshark compares tshark's time on small records of 50 connections
// with its time on the same bytes as plain TCP, and gives the ratio of the
// least processor times. SOCKCAP_RECORDS is how many, 200,000 by default.
func BenchmarkTshark(b *testing.B) {
	n := 200_000
	if text := os.Getenv("SOCKCAP_RECORDS"); text != "" {
		var err error
		if n, err = strconv.Atoi(text); err != nil {
			b.Fatal(err)
		}
	}
	for _, tr := range speedTraffic() {
		b.Run(tr.name, func(b *testing.B) {
			s := newShark(b)
			s.speedFiles(b, tr, n, 50)
			var plain, ours []usage
			for b.Loop() {
				plain, ours = s.compare(b, plain, ours)
			}
			low1, _, _ := spread(plain, cpu)
			low2, _, _ := spread(ours, cpu)
			b.ReportMetric(low2/low1, "ratio")
			var table bytes.Buffer
			writeTable(&table, plain, ours)
			b.Logf("%s, %d records\n%s", s.version(b), n, table.String())
		})
	}
}
