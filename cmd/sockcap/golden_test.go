package main

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/sockcap/sockcap/pcapng"
)

// TestGoldens: the captures in testdata/capture are what the writer makes of
// the literal packets, and the reader gives those back.
func TestGoldens(t *testing.T) {
	for name, packets := range map[string][]pcapng.Packet{"http": httpPackets(), "odd": oddPackets()} {
		file := filepath.Join("../../testdata/capture", name+".pcapng")
		got := encode(t, packets)
		if *update {
			if err := os.WriteFile(file, got, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, want) {
			t.Errorf("%s is not what the writer makes of its packets now: see go test -update", file)
		}
		if d := cmp.Diff(packets, decode(t, want), cmpopts.EquateEmpty()); d != "" {
			t.Errorf("%s (-sent +read):\n%s", file, d)
		}
	}
}

// encode is the capture file of packets, as the command writes it on a machine
// that is always the same.
func encode(t *testing.T, packets []pcapng.Packet) []byte {
	t.Helper()
	var file bytes.Buffer
	w, err := pcapng.NewWriter(&file, pcapng.Options{})
	if err != nil {
		t.Fatal(err)
	}
	for i := range packets {
		if err := w.WritePacket(&packets[i]); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return file.Bytes()
}

func decode(t *testing.T, file []byte) []pcapng.Packet {
	t.Helper()
	r, err := pcapng.NewReader(bytes.NewReader(file))
	if err != nil {
		t.Fatal(err)
	}
	var packets []pcapng.Packet
	for p, err := range r.Packets() {
		if err != nil {
			t.Fatal(err)
		}
		packets = append(packets, *p.Clone())
	}
	return packets
}
