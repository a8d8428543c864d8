package main

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// compress is file as a sockcap that flushes after each block would write it.
func compress(t *testing.T, suffix string, file []byte) []byte {
	t.Helper()
	var out bytes.Buffer
	z, err := newCompressor(suffix, &out)
	if err != nil {
		t.Fatal(err)
	}
	begin := 0
	for end := range len(file) + 1 {
		if !blockEnds(file)[end] {
			continue
		}
		if _, err := z.Write(file[begin:end]); err != nil {
			t.Fatal(err)
		}
		if err := z.Flush(); err != nil {
			t.Fatal(err)
		}
		begin = end
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// TestCutOffCompressed: wherever a compressed file is cut off, all that was
// flushed before is printed, and it is an error.
func TestCutOffCompressed(t *testing.T) {
	file := encode(t, oddPackets())
	whole, _, _ := readBack(t, file)
	for _, suffix := range []string{".zst", ".gz"} {
		z := compress(t, suffix, file)
		before := ""
		for size := 300; size < len(z); size += 7 {
			stdout, stderr, status := readBack(t, z[:size])
			if status != 1 || !strings.Contains(stderr, "cut off") || !strings.HasPrefix(whole, stdout) || !strings.HasPrefix(stdout, before) {
				t.Fatalf("%s cut at %d: status %d, printed %q; it said %s", suffix, size, status, stdout, stderr)
			}
			before = stdout
		}
		if !strings.HasSuffix(before, "stream shutdown\n") && strings.Count(before, "\n") < strings.Count(whole, "\n")-1 {
			t.Errorf("%s cut at its end: printed %q, want %q", suffix, before, whole)
		}
		if stdout, stderr, status := readBack(t, z); status != 0 || stdout != whole {
			t.Errorf("%s: status %d, printed %q; it said %s", suffix, status, stdout, stderr)
		}
	}
}

// FuzzDecompressed: whatever a file begins with, reading it ends without a
// panic.
func FuzzDecompressed(f *testing.F) {
	for _, suffix := range []string{".zst", ".gz"} {
		var out bytes.Buffer
		z, err := newCompressor(suffix, &out)
		if err != nil {
			f.Fatal(err)
		}
		if _, err := z.Write(bytes.Repeat([]byte("\n\r\r\n and so on"), 101)); err != nil {
			f.Fatal(err)
		}
		if err := z.Close(); err != nil {
			f.Fatal(err)
		}
		f.Add(out.Bytes())
	}
	f.Fuzz(func(t *testing.T, file []byte) {
		r, stop, err := decompressed(bytes.NewReader(file))
		if err != nil {
			t.Fatal(err)
		}
		defer stop()
		io.Copy(io.Discard, io.LimitReader(r, 8<<20))
	})
}

// TestKilledCompressed: who kills sockcap has what it captured until a second
// before, or with -U until then.
func TestKilledCompressed(t *testing.T) {
	for _, args := range [][]string{{"out.zst"}, {"out.gz"}, {"out.zst", "-U"}, {"out.gz", "-U"}} {
		name := filepath.Join(t.TempDir(), args[0])
		p := startProcess(t, "http", append([]string{"-w", name}, args[1:]...)...)
		p.expect(p.stderr, "listening")
		var stdout string
		deadline := time.Now().Add(time.Minute) // can only fail
		for !strings.Contains(stdout, "stream close\n") {
			if time.Now().After(deadline) {
				t.Fatalf("%v: after a minute the file has %q", args, stdout)
			}
			file, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			if stdout = ""; len(file) > 0 {
				stdout, _, _ = readBack(t, file)
			}
		}
		p.signal(unix.SIGKILL)
		p.end(-1)
		file, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if got, stderr, status := readBack(t, file); got != stdout || status != 1 || !strings.Contains(stderr, "cut off") {
			t.Errorf("%v: status %d, printed %q; it said %s", args, status, got, stderr)
		}
	}
}
