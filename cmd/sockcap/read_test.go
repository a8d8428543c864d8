package main

import (
	"bytes"
	"encoding/binary"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// readBack runs sockcap -r on a file of these bytes.
func readBack(t *testing.T, file []byte) (stdout, stderr string, status int) {
	t.Helper()
	dir := t.TempDir()
	name := filepath.Join(dir, "in.pcapng")
	if err := os.WriteFile(name, file, 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := os.Create(filepath.Join(dir, "out.txt"))
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	var words bytes.Buffer
	h := testHost()
	h.stdout, h.stderr = out, &words
	status = h.main([]string{"-r", name})
	text, err := os.ReadFile(out.Name())
	if err != nil {
		t.Fatal(err)
	}
	return string(text), words.String(), status
}

// blockEnds is where each block of a file of ours ends.
func blockEnds(file []byte) map[int]bool {
	ends := make(map[int]bool)
	for at := 0; at+8 <= len(file); {
		at += int(binary.LittleEndian.Uint32(file[at+4:]))
		ends[at] = true
	}
	return ends
}

// TestCutOff: wherever a file is cut off, every whole packet before that is
// printed; then comes an error, unless the cut fell between two blocks.
func TestCutOff(t *testing.T) {
	file := encode(t, oddPackets())
	whole, _, _ := readBack(t, file)
	ends := blockEnds(file)
	before := ""
	for size := 132; size <= len(file); size++ {
		if size%7 != 0 && !ends[size] {
			continue // some of those inside blocks
		}
		stdout, stderr, status := readBack(t, file[:size])
		want := 1
		if ends[size] {
			want = 0
		}
		if status != want || (status == 1) != strings.Contains(stderr, "cut off") {
			t.Fatalf("cut at %d: status %d, want %d; it said %s", size, status, want, stderr)
		}
		if !strings.HasPrefix(whole, stdout) || !strings.HasPrefix(stdout, before) {
			t.Fatalf("cut at %d: printed %q", size, stdout)
		}
		before = stdout
	}
	if before != whole {
		t.Errorf("uncut: printed %q, want %q", before, whole)
	}
}

// TestForeignFiles: what is no capture of sockcap is refused in one line.
func TestForeignFiles(t *testing.T) {
	ethernet := encode(t, httpPackets())
	section := binary.LittleEndian.Uint32(ethernet[4:])
	ethernet[section+8] = 1 // the interface's link type
	for name, file := range map[string]struct {
		bytes []byte
		want  string
	}{
		"ethernet":     {ethernet, "link type 1, a sockcap file has 147 (USER0) to 162 (USER15)"},
		"classic pcap": {[]byte("\xd4\xc3\xb2\xa1\x02\x00\x04\x00"), "not a pcapng file"},
		"empty":        {nil, "cut off"},
	} {
		stdout, stderr, status := readBack(t, file.bytes)
		if status != 1 || stdout != "" || strings.Count(stderr, "\n") != 1 || !strings.Contains(stderr, file.want) {
			t.Errorf("%s: status %d, stdout %q, stderr %q, want 1 and %q", name, status, stdout, stderr, file.want)
		}
	}
}
