package pcapng

import (
	"bytes"
	"encoding/hex"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"
)

// exampleFile is the file that FORMAT.md shows.
func exampleFile(t *testing.T) []byte {
	t.Helper()
	var file bytes.Buffer
	w, err := NewWriter(&file, Options{})
	if err != nil {
		t.Fatal(err)
	}
	err = w.WritePacket(&Packet{
		Time: epoch, Event: EventData, Type: Stream, Role: RoleClient, Stamp: StampRead, Truncated: true,
		Sender: Endpoint{PID: 27806, TID: 27810, UID: 1000, GID: 1000, Inode: 48123, Comm: "docker"},
		Peer:   Endpoint{PID: 2434, TID: 2434, Inode: 48124, Comm: "dockerd"},
		Path:   "/run/docker.sock", ConnID: 7, Offset: 4179, Message: 12, Len: 23, MessageLen: 23,
		Lost: 80, DropCount: 1, Latency: 41 * time.Microsecond, Data: []byte("HEAD /_ping"),
	})
	if err != nil {
		t.Fatal(err)
	}
	err = w.WriteStats(Stats{Start: epoch, End: epoch.Add(time.Second), Received: 2, Accepted: 2, IfDropped: 1})
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return file.Bytes()
}

// TestFormatExample: the bytes in FORMAT.md are those that the writer writes.
func TestFormatExample(t *testing.T) {
	text, err := os.ReadFile("FORMAT.md")
	if err != nil {
		t.Fatal(err)
	}
	line := regexp.MustCompile(`(?m)^    ([0-9a-f]{4})  ((?:[0-9a-f]{2} ?)+?)(?:  .*)?$`)
	var got []byte
	for _, m := range line.FindAllSubmatch(text, -1) {
		b, err := hex.DecodeString(strings.ReplaceAll(string(m[2]), " ", ""))
		if err != nil {
			t.Fatal(err)
		}
		if at, _ := hex.DecodeString(string(m[1])); len(got) != int(at[0])<<8|int(at[1]) {
			t.Errorf("line %q is not at %#x", m[0], len(got))
		}
		got = append(got, b...)
	}
	want := exampleFile(t)
	if !bytes.Equal(got, want) {
		t.Errorf("FORMAT.md has\n%sthe writer writes\n%s", hex.Dump(got), hex.Dump(want))
	}
}
