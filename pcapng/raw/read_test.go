package raw

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
	"github.com/google/gopacket/pcapgo"
)

// frame is a packet as gopacket reads it, whose checksum is right.
type frame struct {
	at        time.Time
	host      int
	from, to  netip.AddrPort
	tcp       *layers.TCP // or UDP
	payload   []byte
	comments  []string
	dropCount uint64
}

// read reads a file with gopacket, and checks all that is the same for every
// packet: lengths, layers, checksums.
func read(t *testing.T, file []byte) []frame {
	t.Helper()
	r, err := pcapgo.NewNgReader(bytes.NewReader(file), pcapgo.DefaultNgReaderOptions)
	if err != nil {
		t.Fatal(err)
	}
	if r.LinkType() != layers.LinkTypeRaw {
		t.Fatalf("link type %v", r.LinkType())
	}
	options := blockOptions(t, file)
	var all []frame
	for {
		data, info, err := r.ReadPacketData()
		if err == io.EOF {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		f := options[len(all)]
		f.at, f.host = info.Timestamp, info.InterfaceIndex
		if info.CaptureLength != info.Length || len(data) != info.Length {
			t.Errorf("packet %d: %d of %d bytes", len(all), info.CaptureLength, info.Length)
		}
		f.decode(t, data)
		all = append(all, f)
	}
	if len(all) != len(options) {
		t.Errorf("%d packets, %d blocks", len(all), len(options))
	}
	return all
}

func (f *frame) decode(t *testing.T, data []byte) {
	t.Helper()
	p := gopacket.NewPacket(data, layers.LinkTypeRaw, gopacket.Default)
	if fail := p.ErrorLayer(); fail != nil {
		t.Fatalf("gopacket: %v", fail.Error())
	}
	ip, ok := p.NetworkLayer().(*layers.IPv6)
	if !ok || ip.HopLimit == 0 || len(data) != 40+int(ip.Length) && ip.Length != 0 {
		t.Fatalf("no whole IPv6: %v", p)
	}
	transport := data[40:]
	if jumbo := ip.Length == 0; jumbo {
		transport = data[48:]
		option := ip.HopByHop.Options[0]
		if option.OptionType != layers.IPv6HopByHopOptionJumbogram || int(binary.BigEndian.Uint32(option.OptionData)) != len(data)-40 {
			t.Errorf("jumbogram of %d bytes: option %v", len(data), option)
		}
	}
	src, _ := netip.AddrFromSlice(ip.SrcIP)
	dst, _ := netip.AddrFromSlice(ip.DstIP)
	var protocol uint64
	switch l := p.TransportLayer().(type) {
	case *layers.TCP:
		f.tcp, f.payload, protocol = l, l.LayerPayload(), 6
		f.from, f.to = netip.AddrPortFrom(src, uint16(l.SrcPort)), netip.AddrPortFrom(dst, uint16(l.DstPort))
	case *layers.UDP:
		f.payload, protocol = transport[8:], 17
		f.from, f.to = netip.AddrPortFrom(src, uint16(l.SrcPort)), netip.AddrPortFrom(dst, uint16(l.DstPort))
		if want := len(transport); int(l.Length) != want && (l.Length != 0 || want < 65536) || l.Checksum == 0 {
			t.Errorf("UDP of %d bytes: length %d, checksum %d", want, l.Length, l.Checksum)
		}
	default:
		t.Fatalf("neither TCP nor UDP: %v", p)
	}
	if got := onesSum(protocol, data[8:40], transport); got != 0xffff {
		t.Errorf("protocol %d, %d bytes: the sum with its checksum is %#x", protocol, len(transport), got)
	}
}

// onesSum is the one's complement sum (RFC 1071) of pseudo header and packet,
// of all ones if the checksum in it is right.
func onesSum(protocol uint64, addresses, packet []byte) uint64 {
	sum := protocol + uint64(len(packet))
	for i, b := range append(bytes.Clone(addresses), packet...) { // addresses have an even number
		sum += uint64(b) << (8 * (1 - i&1))
	}
	return (sum-1)%0xffff + 1
}

// blockOptions reads what gopacket does not show of Enhanced Packet Blocks.
func blockOptions(t *testing.T, file []byte) []frame {
	t.Helper()
	le := binary.LittleEndian
	var all []frame
	for len(file) > 0 {
		block := file[:le.Uint32(file[4:])]
		file = file[len(block):]
		if le.Uint32(block) != 6 {
			continue
		}
		var f frame
		n := int(le.Uint32(block[20:]))
		for left := block[28+(n+3)&^3 : len(block)-4]; le.Uint16(left) != 0; {
			size := int(le.Uint16(left[2:]))
			switch value := left[4 : 4+size]; le.Uint16(left) {
			case 1:
				f.comments = append(f.comments, string(value))
			case 4:
				f.dropCount = le.Uint64(value)
			default:
				t.Errorf("option %d", le.Uint16(left))
			}
			left = left[4+(size+3)&^3:]
		}
		all = append(all, f)
	}
	return all
}

// String is one line: direction, the server's port (0 where the path says
// nothing), flags, sequence number and acknowledgment,
// length; then drop count and comments, without who and where.
func (f frame) String() string {
	arrow, ports := ">", f.to.Port()
	if f.from.Addr().As16()[7] == 5 {
		arrow, ports = "<", f.from.Port()
	}
	if ports >= firstUnknown && ports < firstUnknown+unknownPorts {
		ports = 0
	}
	var b strings.Builder
	if fmt.Fprintf(&b, "%s %d", arrow, ports); f.tcp == nil {
		fmt.Fprintf(&b, " udp %d", len(f.payload))
	} else {
		for _, flag := range []struct {
			set  bool
			name string
		}{{f.tcp.SYN, "S"}, {f.tcp.FIN, "F"}, {f.tcp.RST, "R"}, {f.tcp.PSH, "P"}} {
			if flag.set {
				b.WriteString(" " + flag.name)
			}
		}
		fmt.Fprintf(&b, " %d", f.tcp.Seq)
		if f.tcp.ACK {
			fmt.Fprintf(&b, " ack %d", f.tcp.Ack)
		}
		fmt.Fprintf(&b, " len %d", len(f.payload))
	}
	if f.dropCount > 0 {
		fmt.Fprintf(&b, " drop %d", f.dropCount)
	}
	for i, c := range f.comments {
		if i > 0 {
			fmt.Fprintf(&b, " (%s)", c)
			continue
		}
		who := strings.Fields(c)[1]
		if _, event, ok := strings.Cut(c, " event="); ok {
			who += " " + event
		}
		b.WriteString(" " + strings.TrimPrefix(who, "comm="))
	}
	return b.String()
}
