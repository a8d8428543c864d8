// Package layer lets programs that use github.com/google/gopacket decode
// captures of sockcap: a layer for the record of link type USER0 (and USER1 to
// USER15), and the payload above it.
//
//	r, err := pcapgo.NewNgReader(file, pcapgo.DefaultNgReaderOptions)
//	...
//	for packet := range gopacket.NewPacketSource(r, layer.LayerTypeSockcap).Packets() {
//		record, ok := packet.Layer(layer.LayerTypeSockcap).(*layer.Sockcap)
//
// gopacket has no decoder for the link type, which is for private use: give
// LayerTypeSockcap in its place, to a PacketSource, to NewPacket or to a
// DecodingLayerParser. A program that has other uses for gopacket's own table of
// link types may put it there:
//
//	layers.LinkTypeMetadata[pcapng.LinkType] = layers.EnumMetadata{DecodeWith: layer.LayerTypeSockcap, Name: "sockcap"}
//
// Where gopacket is not needed, package pcapng reads files by itself, with
// times, drop counts and hosts.
package layer

import (
	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"

	"github.com/sockcap/sockcap/pcapng"
)

// LayerTypeSockcap is the type of Sockcap: 1147, of the numbers that gopacket
// leaves to applications. It is a gopacket.Decoder too.
var LayerTypeSockcap = gopacket.RegisterLayerType(1147, gopacket.LayerTypeMetadata{
	Name: "Sockcap", Decoder: gopacket.DecodeFunc(decodeSockcap),
})

// Sockcap is a record of a capture file: Contents is its header, Payload what
// was sent, which is Packet.Data too. Of Packet, what stands outside of the
// record is not set: Time, which is the packet's in its metadata, Host, the
// interface there, and DropCount.
type Sockcap struct {
	layers.BaseLayer
	Packet pcapng.Packet
}

// LayerType returns LayerTypeSockcap.
func (s *Sockcap) LayerType() gopacket.LayerType { return LayerTypeSockcap }

// CanDecode returns LayerTypeSockcap.
func (s *Sockcap) CanDecode() gopacket.LayerClass { return LayerTypeSockcap }

// NextLayerType returns gopacket.LayerTypePayload: what is spoken on a socket,
// its path may tell.
func (s *Sockcap) NextLayerType() gopacket.LayerType { return gopacket.LayerTypePayload }

// DecodeFromBytes decodes a record. Contents, Payload and Packet.Data are parts
// of data; the strings of the record before are used again where they are the
// same, so that decoding seldom allocates. A record whose payload was cut is
// reported to df as truncated. An error is a [*pcapng.Error].
func (s *Sockcap) DecodeFromBytes(data []byte, df gopacket.DecodeFeedback) error {
	if err := pcapng.DecodeRecord(&s.Packet, data, pcapng.UnknownLength); err != nil {
		return err
	}
	if s.Packet.Truncated {
		df.SetTruncated()
	}
	s.Contents, s.Payload = data[:len(data)-len(s.Packet.Data)], s.Packet.Data
	return nil
}

func decodeSockcap(data []byte, p gopacket.PacketBuilder) error {
	s := new(Sockcap)
	if err := s.DecodeFromBytes(data, p); err != nil {
		return err
	}
	p.AddLayer(s)
	return p.NextDecoder(s.NextLayerType())
}
