package layer

import (
	"bytes"
	"errors"
	"io"
	"os"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
	"github.com/google/gopacket/pcapgo"

	"github.com/sockcap/sockcap/pcapng"
)

// record is a packet as one.
func record(p *pcapng.Packet) []byte { return append(pcapng.AppendRecordHeader(nil, p), p.Data...) }

func sample() *pcapng.Packet {
	return &pcapng.Packet{
		Event: pcapng.EventData, Type: pcapng.Stream, Role: pcapng.RoleClient, Path: "/run/docker.sock",
		Sender: pcapng.Endpoint{PID: 27806, TID: 27806, Comm: "docker"}, Peer: pcapng.Endpoint{PID: 2434, Comm: "dockerd"},
		ConnID: 7, Len: 7, MessageLen: 7, FDCount: 1, FDs: []pcapng.FD{{Num: 5, Kind: pcapng.FDFile, Name: "/etc/motd"}},
		Reader: &pcapng.Endpoint{PID: 1, Comm: "init"}, Cred: &pcapng.Cred{PID: 1}, Data: []byte("seven.."),
	}
}

// goldens are the captures that the reader reads too.
var goldens = []string{"../../testdata/capture/http.pcapng", "../../testdata/capture/odd.pcapng"}

// TestGoldens: the layer has what pcapng.Reader reads, in each of the ways in
// which gopacket decodes.
func TestGoldens(t *testing.T) {
	for _, name := range goldens {
		file, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		ours, err := pcapng.NewReader(bytes.NewReader(file))
		if err != nil {
			t.Fatal(err)
		}
		theirs, err := pcapgo.NewNgReader(bytes.NewReader(file), pcapgo.DefaultNgReaderOptions)
		if err != nil {
			t.Fatal(err)
		}
		var s Sockcap
		var payload gopacket.Payload
		parser := gopacket.NewDecodingLayerParser(LayerTypeSockcap, &s, &payload)
		source := gopacket.NewPacketSource(theirs, LayerTypeSockcap)
		n := 0
		for want, err := range ours.Packets() {
			if err != nil {
				t.Fatal(err)
			}
			packet, err := source.NextPacket()
			if err != nil {
				t.Fatal(err)
			}
			check(t, packet, want)
			var found []gopacket.LayerType
			if err := parser.DecodeLayers(packet.Data(), &found); err != nil {
				t.Fatal(err)
			}
			types := []gopacket.LayerType{LayerTypeSockcap}
			if len(want.Data) > 0 {
				types = append(types, gopacket.LayerTypePayload)
			}
			if d := cmp.Diff(types, found); d != "" || parser.Truncated != want.Truncated {
				t.Errorf("parser: truncated %v, layers (-want +got):\n%s", parser.Truncated, d)
			}
			if d := cmp.Diff(packet.Layer(LayerTypeSockcap), &s, cmpopts.EquateEmpty()); d != "" {
				t.Errorf("-packet's +parser's:\n%s", d)
			}
			n++
		}
		if _, err := source.NextPacket(); err != io.EOF || n < 7 {
			t.Errorf("%s: after %d packets: %v", name, n, err)
		}
	}
}

// check compares a decoded packet with what it should be.
func check(t *testing.T, packet gopacket.Packet, want *pcapng.Packet) {
	t.Helper()
	if e := packet.ErrorLayer(); e != nil {
		t.Fatal(e.Error())
	}
	s, ok := packet.Layer(LayerTypeSockcap).(*Sockcap)
	if !ok || s.LayerType().String() != "Sockcap" {
		t.Fatalf("layers %v", packet.Layers())
	}
	got := s.Packet
	got.Time, got.Host, got.DropCount = packet.Metadata().Timestamp.UTC(), packet.Metadata().InterfaceIndex, want.DropCount
	if d := cmp.Diff(*want, got, cmpopts.EquateEmpty()); d != "" {
		t.Errorf("-reader's +layer's:\n%s", d)
	}
	if packet.Metadata().Truncated != want.Truncated {
		t.Errorf("truncated %v, want %v", packet.Metadata().Truncated, want.Truncated)
	}
	if !bytes.Equal(s.LayerPayload(), want.Data) || !bytes.Equal(append(bytes.Clone(s.LayerContents()), want.Data...), packet.Data()) {
		t.Errorf("contents of %d bytes and payload of %d, record of %d", len(s.LayerContents()), len(s.LayerPayload()), len(packet.Data()))
	}
	if app := packet.ApplicationLayer(); (app != nil) != (len(want.Data) > 0) || app != nil && !bytes.Equal(app.Payload(), want.Data) {
		t.Errorf("payload %v, want %q", app, want.Data)
	}
}

// TestTruncated: what is cut by a program that knows nothing of records is
// truncated, wherever in the payload; in the header it is an error.
func TestTruncated(t *testing.T) {
	p := sample()
	whole := record(p)
	for n := range len(whole) {
		packet := gopacket.NewPacket(whole[:n], LayerTypeSockcap, gopacket.Default)
		header := len(whole) - len(p.Data)
		if failed := packet.ErrorLayer() != nil; failed != (n < header) {
			t.Errorf("%d of %d bytes: failed %v", n, len(whole), failed)
		} else if n >= header && !packet.Metadata().Truncated {
			t.Errorf("%d of %d bytes are not truncated", n, len(whole))
		}
	}
	if packet := gopacket.NewPacket(whole, LayerTypeSockcap, gopacket.Default); packet.Metadata().Truncated {
		t.Error("a whole record is truncated")
	}
}

// TestError: an error says what is wrong, as pcapng's.
func TestError(t *testing.T) {
	other := record(sample())
	other[0] = 2
	packet := gopacket.NewPacket(other, LayerTypeSockcap, gopacket.Default)
	failed := packet.ErrorLayer()
	if failed == nil || !errors.Is(failed.Error(), pcapng.ErrVersion) {
		t.Errorf("version 2: %v", failed)
	}
}

// TestLinkType: gopacket's table of link types takes the decoder.
func TestLinkType(t *testing.T) {
	before := layers.LinkTypeMetadata[pcapng.LinkType]
	defer func() { layers.LinkTypeMetadata[pcapng.LinkType] = before }()
	layers.LinkTypeMetadata[pcapng.LinkType] = layers.EnumMetadata{DecodeWith: LayerTypeSockcap, Name: "sockcap"}
	packet := gopacket.NewPacket(record(sample()), layers.LinkType(pcapng.LinkType), gopacket.Default)
	if packet.Layer(LayerTypeSockcap) == nil {
		t.Errorf("layers %v", packet.Layers())
	}
}

// TestParserAllocates nothing on records like the ones before.
func TestParserAllocates(t *testing.T) {
	rec := record(sample())
	var s Sockcap
	var payload gopacket.Payload
	parser := gopacket.NewDecodingLayerParser(LayerTypeSockcap, &s, &payload)
	found := make([]gopacket.LayerType, 0, 2)
	if n := testing.AllocsPerRun(101, func() {
		if err := parser.DecodeLayers(rec, &found); err != nil || len(found) != 2 {
			t.Fatal(err, found)
		}
	}); n != 0 {
		t.Errorf("%v allocations a record", n)
	}
}

// FuzzSockcap: no bytes panic, not even where gopacket is told not to recover,
// and what is decoded is the record.
func FuzzSockcap(f *testing.F) {
	f.Add(record(sample()))
	f.Add(record(&pcapng.Packet{Event: pcapng.EventClose}))
	f.Fuzz(func(t *testing.T, data []byte) {
		packet := gopacket.NewPacket(data, LayerTypeSockcap, gopacket.DecodeOptions{NoCopy: true, SkipDecodeRecovery: true})
		var p pcapng.Packet
		err := pcapng.DecodeRecord(&p, data, pcapng.UnknownLength)
		s, ok := packet.Layer(LayerTypeSockcap).(*Sockcap)
		if ok != (err == nil) {
			t.Fatalf("layer %v, record %v", packet.Layers(), err)
		}
		if !ok {
			return
		}
		if d := cmp.Diff(p, s.Packet); d != "" {
			t.Errorf("-record +layer:\n%s", d)
		}
		if len(s.Contents)+len(s.Payload) != len(data) || packet.Metadata().Truncated != p.Truncated {
			t.Errorf("%d and %d bytes of %d, truncated %v", len(s.Contents), len(s.Payload), len(data), packet.Metadata().Truncated)
		}
	})
}
