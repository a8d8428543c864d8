package wireshark_test

import (
	"net"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
)

// The script sits in the plugin folder also when Wireshark reads a network's
// capture: ports that a dissector of Wireshark's has stay its, and bytes on the
// ports that are ours are nobody's.
func TestNetworkTrafficIsLeftAlone(t *testing.T) {
	t.Parallel()
	var records [][]byte
	var lens []uint32
	add := func(transport gopacket.SerializableLayer, payload []byte) {
		ip := &layers.IPv4{Version: 4, TTL: 64, SrcIP: net.IPv4(10, 0, 0, 1), DstIP: net.IPv4(10, 0, 0, 2)}
		switch l := transport.(type) {
		case *layers.TCP:
			ip.Protocol = layers.IPProtocolTCP
			l.SetNetworkLayerForChecksum(ip)
		case *layers.UDP:
			ip.Protocol = layers.IPProtocolUDP
			l.SetNetworkLayerForChecksum(ip)
		}
		b := gopacket.NewSerializeBuffer()
		if err := gopacket.SerializeLayers(b, gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true},
			ip, transport, gopacket.Payload(payload)); err != nil {
			t.Fatal(err)
		}
		records = append(records, append([]byte(nil), b.Bytes()...))
		lens = append(lens, uint32(len(b.Bytes())))
	}
	payloads := [][]byte{httpRequest("/"), []byte("<13>Jan  2 03:04:05 host me[5]: a line"), noise(24), []byte(`{"a": 1}`)}
	for port := 40000; port < 65536; port += 500 { // among them those of SAP, ENIP, HCrt, EOBI, and ours
		for _, p := range []int{port, port + 318, port + 1} {
			for i, payload := range payloads {
				add(&layers.TCP{SrcPort: layers.TCPPort(33000 + i), DstPort: layers.TCPPort(p % 65536), PSH: true, Seq: 1, Window: 9}, payload)
				add(&layers.UDP{SrcPort: layers.UDPPort(33000 + i), DstPort: layers.UDPPort(p % 65536)}, payload)
			}
		}
	}
	file := captureFile(records, lens, epoch)
	file[36] = 101 // the link type: IP
	s := newShark(t)
	s.write(t, "network.pcapng", file)
	show := func(args ...string) []string {
		return strings.Split(s.run(t, append([]string{"-r", s.path("network.pcapng"), "-T", "fields", "-e", "frame.number",
			"-e", "frame.protocols", "-e", "tcp.dstport", "-e", "udp.dstport"}, args...)...), "\n")
	}
	got := show()
	s.write(t, "sockcap.lua", nil)
	if d := cmp.Diff(show(), got); d != "" {
		t.Errorf("with the script (-without +with):\n%s", d)
	}
	if all := strings.Join(got, "\n"); !strings.Contains(all, ":enip") || !strings.Contains(all, ":http") {
		t.Errorf("neither ENIP nor HTTP:\n%.2000s", all)
	}
}
