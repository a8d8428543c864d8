package pcapng

import (
	"bytes"
	"fmt"
	"io"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/gopacket/layers"
	"github.com/google/gopacket/pcapgo"
)

// samplePackets are for readers that are not ours.
func samplePackets() []*Packet {
	cut, second, late, huge := typical(), typical(), typical(), typical()
	cut.Time, cut.Data, cut.DropCount, cut.Lost = epoch.Add(1), cut.Data[:17], 101, 4096
	second.Time, second.Host, second.Sender.Comm = epoch.Add(time.Second), 1, "a b"
	late.Time = epoch.Add(-time.Second)
	huge.Time, huge.Data = second.Time.Add(1), bytes.Repeat([]byte("x"), MaxPayload)
	huge.Len, huge.Exe = MaxPayload, strings.Repeat("/long", 1000)
	return []*Packet{typical(), cut, second, late, huge, full()}
}

// TestGopacket: the original gopacket, another program than the one we write
// with, reads the same.
func TestGopacket(t *testing.T) {
	want := samplePackets()
	r, err := pcapgo.NewNgReader(bytes.NewReader(encode(t, Options{}, want...)), pcapgo.DefaultNgReaderOptions)
	if err != nil {
		t.Fatal(err)
	}
	if r.LinkType() != layers.LinkType(LinkType) {
		t.Errorf("link type %d, want %d", r.LinkType(), LinkType)
	}
	last := epoch
	for i, p := range want {
		data, info, err := r.ReadPacketData()
		if err != nil {
			t.Fatalf("packet %d: %v", i, err)
		}
		if p.Time.After(last) {
			last = p.Time
		}
		if !info.Timestamp.Equal(last) || info.InterfaceIndex != p.Host {
			t.Errorf("packet %d: %v on interface %d, want %v on %d", i, info.Timestamp, info.InterfaceIndex, last, p.Host)
		}
		missing := int(p.Len) - len(p.Data)
		if info.CaptureLength != len(data) || info.Length != len(data)+missing || !bytes.HasSuffix(data, p.Data) {
			t.Errorf("packet %d: %d of %d bytes captured, want %d missing", i, len(data), info.Length, missing)
		}
	}
	if _, _, err := r.ReadPacketData(); err != io.EOF {
		t.Errorf("after the last packet: %v", err)
	}
}

// TestTshark: tshark sees time, lengths, drop count, link type and comments.
func TestTshark(t *testing.T) {
	want := samplePackets()
	name := filepath.Join(t.TempDir(), "sample.pcapng")
	if err := os.WriteFile(name, encode(t, Options{Host: "alpha"}, want...), 0o600); err != nil {
		t.Fatal(err)
	}
	out := output(t, "tshark", "-r", name, "-T", "fields", "-E", "separator=|", "-E", "aggregator=;",
		"-e", "frame.encap_type", "-e", "frame.interface_id", "-e", "frame.time_epoch", "-e", "frame.cap_len", "-e", "frame.len",
		"-e", "frame.drop_count", "-e", "frame.comment")
	got := strings.Split(strings.TrimSpace(out), "\n")
	if len(got) != len(want) {
		t.Fatalf("%d packets, want %d:\n%s", len(got), len(want), out)
	}
	last := epoch
	for i, p := range want[:5] { // the last one has backslashes, which versions of tshark print differently
		own := p.Clone()
		if last.After(p.Time) {
			own.OwnTime = p.Time
		} else {
			last = p.Time
		}
		captured := len(record(own))
		comments := string(AppendComment(nil, p))
		if anomaly := AppendAnomaly(nil, p); len(anomaly) > 0 {
			comments += ";" + string(anomaly)
		}
		drops := ""
		if p.DropCount > 0 {
			drops = fmt.Sprint(p.DropCount)
		}
		want := fmt.Sprintf("45|%d|%d.%09d|%d|%d|%s|%s", p.Host, last.Unix(), last.Nanosecond(),
			captured, captured-len(p.Data)+int(p.Len), drops, comments)
		if got[i] != want {
			t.Errorf("packet %d:\ngot  %s\nwant %s", i, got[i], want)
		}
	}
}

// TestCapinfos: capinfos finds the file in order, headers and statistics too.
func TestCapinfos(t *testing.T) {
	var b bytes.Buffer
	w, err := NewWriter(&b, Options{Hardware: "x86_64", OS: "Linux 6.12", Application: "sockcap 1.0", Host: "alpha", Hooks: "fentry"})
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range samplePackets() {
		if err := w.WritePacket(p); err != nil {
			t.Fatal(err)
		}
	}
	comment := strings.Repeat("lost ", math.MaxUint16/5+1)
	if err := w.WriteStats(Stats{Start: epoch, End: epoch.Add(time.Minute), Received: 101, Comment: comment}); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(t.TempDir(), "sample.pcapng")
	if err := os.WriteFile(name, b.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	var got []string
	for line := range strings.Lines(output(t, "capinfos", name)) {
		got = append(got, strings.Join(strings.Fields(line), " "))
	}
	for _, want := range []string{
		"File type: Wireshark/... - pcapng",
		"File encapsulation: USER 0",
		"File timestamp precision: nanoseconds (9)",
		"Number of packets: 6",
		"Strict time order: True",
		"Capture hardware: x86_64",
		"Capture oper-sys: Linux 6.12",
		"Capture application: sockcap 1.0",
		"Number of interfaces in file: 2",
		"Description = Unix sockets of alpha (fentry)",
		"Capture length = 262144",
		"Number of stat entries = 1",
	} {
		if !slices.Contains(got, want) {
			t.Errorf("no line %q in\n%s", want, strings.Join(got, "\n"))
		}
	}
}

// TestEditcap: what editcap and mergecap make of our files is still one: cut
// packets are truncated, and hosts told apart.
func TestEditcap(t *testing.T) {
	name := func(n string) string { return filepath.Join(t.TempDir(), n) }
	one, two, cut, merged := name("one"), name("two"), name("cut"), name("merged")
	packets := samplePackets()[:3]
	packets[2].Host = 0
	for _, f := range []struct {
		name    string
		packets []*Packet
	}{{one, packets[:2]}, {two, packets[2:]}} {
		if err := os.WriteFile(f.name, encode(t, Options{Host: filepath.Base(f.name)}, f.packets...), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	length := len(AppendRecordHeader(nil, packets[1])) + 7
	output(t, "editcap", "-s", fmt.Sprint(length), one, cut)
	output(t, "mergecap", "-I", "none", "-w", merged, cut, two)
	file, err := os.Open(merged)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	r, err := NewReader(file)
	if err != nil {
		t.Fatal(err)
	}
	var got []*Packet
	for p, err := range r.Packets() {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, p.Clone())
	}
	for _, p := range packets[:2] {
		p.Truncated, p.Data = true, p.Data[:length-len(AppendRecordHeader(nil, p))]
		p.Host = r.hostOf("one")
	}
	packets[2].Host = r.hostOf("two")
	if d := diff(packets, got); d != "" {
		t.Errorf("-written +merged and read:\n%s", d)
	}
}

// hostOf is the last interface that is described as of a host.
func (r *Reader) hostOf(host string) int {
	for i, h := range slices.Backward(r.Interfaces()) {
		if strings.Contains(h.Description, "of "+host) {
			return i
		}
	}
	return -1
}

// output runs a program of Wireshark's, which must be there.
func output(t *testing.T, name string, args ...string) string {
	t.Helper()
	var complaint bytes.Buffer
	cmd := exec.Command(name, args...)
	cmd.Env = append(os.Environ(), "HOME="+t.TempDir(), "LC_ALL=C.UTF-8")
	cmd.Stderr = &complaint
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s: %v\n%s", name, err, &complaint)
	}
	return string(out)
}
