package main

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// TestDiskFull: on a disk of 128 KiB, capturing ends with one line that says
// so, and the file is whole up to where it ends.
func TestDiskFull(t *testing.T) {
	for _, args := range [][]string{{}, {"-U"}, {"--print", "--output", "/dev/null"}} {
		disk := t.TempDir()
		if err := unix.Mount("tmpfs", disk, "tmpfs", 0, "size=128k"); err != nil {
			t.Fatal(err)
		}
		name := filepath.Join(disk, "out.pcapng")
		p := startProcess(t, "flood", append([]string{"-w", name}, args...)...)
		_, stderr := p.end(1)
		file, err := os.ReadFile(name)
		if err := unix.Unmount(disk, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
		if err != nil {
			t.Fatal(err)
		}
		line := "sockcap: error: write " + name + ": no space left on device\n"
		if strings.Count(stderr, "error") != 1 || !strings.Contains(stderr, line) {
			t.Errorf("%v: stderr %q, want one error, %q", args, stderr, line)
		}
		got := decode(t, file)
		if want := number(t, stderr, `(\d+) packets captured`) - number(t, stderr, `(\d+) packets? could not be written`); len(got) != want || want < 101 {
			t.Errorf("%v: %d packets in the file, %d said to be there", args, len(got), want)
		}
		for i, p := range got {
			if want := fmt.Sprintf("message %d\n", i); string(p.Data) != want {
				t.Fatalf("%v: packet %d is %q, want %q", args, i, p.Data, want)
			}
		}
	}
}

// number finds the one that a pattern has, 0 if that is not there.
func number(t *testing.T, text, pattern string) int {
	t.Helper()
	m := regexp.MustCompile(pattern).FindStringSubmatch(text)
	if m == nil {
		return 0
	}
	n, err := strconv.Atoi(m[1])
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// TestKilled: with -U, who kills sockcap has every packet that it has seen; on
// a file and through a pipe.
func TestKilled(t *testing.T) {
	want := httpPackets()
	for i, p := range want {
		if p.Event.String() == "close" {
			want = want[:i] // before which it is killed
			break
		}
	}
	for _, pipe := range []bool{false, true} {
		name := filepath.Join(t.TempDir(), "out.pcapng")
		args := []string{"-U", "-w", name}
		if pipe {
			args[2] = "-"
		}
		p := startProcess(t, "killed", args...)
		stdout, _ := p.end(-1)
		file := []byte(stdout)
		if !pipe {
			var err error
			if file, err = os.ReadFile(name); err != nil {
				t.Fatal(err)
			}
		}
		got := decode(t, file)
		if len(got) != len(want) || len(got) == 0 {
			t.Errorf("pipe %v: %d packets, want %d", pipe, len(got), len(want))
		}
	}
}
