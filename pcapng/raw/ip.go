package raw

import (
	"encoding/binary"
	"net"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
)

// addresses are the client's and the server's, from nothing but the connection:
// fd00:N:HOST:c:ID and fd00:N:HOST:5:ID, where the id has 64 bits and N tells
// real ids from numbers that we had to make up. So no two connections share
// one (RFC 4193: fd00::/8 is for private use).
func addresses(k key) (client, server [16]byte) {
	a := [16]byte{0: 0xfd}
	if k.invented {
		a[3] = 1
	}
	binary.BigEndian.PutUint16(a[4:], uint16(k.host))
	binary.BigEndian.PutUint64(a[8:], k.id)
	client, server = a, a
	client[7], server[7] = 0xc, 5
	return client, server
}

// The lengths of what is written around a payload.
const (
	maxPacket  = 65535 // of all but jumbograms, as tools expect
	headersLen = 40 + 20
	maxSegment = maxPacket - headersLen
	maxUDP     = 65535 - 8 // beyond this a datagram is a jumbogram
)

// ip makes IPv6 packets. What it returns is valid until the next one.
type ip struct {
	buffer gopacket.SerializeBuffer
	ip     layers.IPv6
	tcp    layers.TCP
	udp    layers.UDP
}

func newIP() *ip { return &ip{buffer: gopacket.NewSerializeBuffer()} }

// between begins a packet.
func (w *ip) between(protocol layers.IPProtocol, from, to *[16]byte) {
	w.ip = layers.IPv6{Version: 6, HopLimit: 64, NextHeader: protocol, SrcIP: net.IP(from[:]), DstIP: net.IP(to[:])}
}

// segment is a TCP segment; w.tcp has its header.
func (w *ip) segment(from, to *[16]byte, payload []byte) ([]byte, error) {
	w.between(layers.IPProtocolTCP, from, to)
	if err := w.tcp.SetNetworkLayerForChecksum(&w.ip); err != nil {
		return nil, err
	}
	return w.serialize(&w.tcp, payload)
}

// datagram is a UDP datagram, a jumbogram (RFC 2675) where it is too long for
// another one: fragments make no longer packets either, and two datagrams would
// not be one. Wireshark and tcpdump read them; Suricata 7 ignores packets that
// are longer than 64 KiB, but nothing else would tell it more.
func (w *ip) datagram(from, to *[16]byte, fromPort, toPort uint16, payload []byte) ([]byte, error) {
	w.between(layers.IPProtocolUDP, from, to)
	w.udp = layers.UDP{SrcPort: layers.UDPPort(fromPort), DstPort: layers.UDPPort(toPort)}
	if err := w.udp.SetNetworkLayerForChecksum(&w.ip); err != nil {
		return nil, err
	}
	b, err := w.serialize(&w.udp, payload)
	if err != nil {
		return nil, err
	}
	// Two things that layers does not know: a sum of more than 64 KiB may be
	// longer than its 32 bits, and one that comes out as 0 is written as all
	// ones, since 0 means that there is none (RFC 8200, section 8.1).
	udp := b[len(b)-len(payload)-8:]
	if len(payload) > maxUDP {
		binary.BigEndian.PutUint16(udp[6:], 0)
		binary.BigEndian.PutUint16(udp[6:], checksum(from, to, udp))
	}
	if udp[6]|udp[7] == 0 {
		udp[6], udp[7] = 0xff, 0xff
	}
	return b, nil
}

func (w *ip) serialize(transport gopacket.SerializableLayer, payload []byte) ([]byte, error) {
	options := gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true}
	if err := gopacket.SerializeLayers(w.buffer, options, &w.ip, transport, gopacket.Payload(payload)); err != nil {
		return nil, err
	}
	return w.buffer.Bytes(), nil
}

// checksum is that of a UDP datagram of any length (RFC 2675, section 4): the
// one's complement of the sum of the pseudo header and it.
func checksum(from, to *[16]byte, udp []byte) uint16 {
	sum := uint64(layers.IPProtocolUDP) + uint64(len(udp))
	for _, b := range [][]byte{from[:], to[:], udp} {
		for ; len(b) > 1; b = b[2:] {
			sum += uint64(binary.BigEndian.Uint16(b))
		}
		if len(b) == 1 {
			sum += uint64(b[0]) << 8
		}
	}
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	return ^uint16(sum)
}
