package snapshot

import (
	"bytes"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/sockcap/sockcap/capture/container"
)

// TestLook: what is told of this process is what it is; of none, nothing.
func TestLook(t *testing.T) {
	pid := uint32(os.Getpid())
	p := Look(pid, container.NewNames(nil))
	if p == nil {
		t.Fatal("not found")
	}
	exe, err := os.Readlink("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	cmdline, err := os.ReadFile("/proc/self/cmdline")
	if err != nil {
		t.Fatal(err)
	}
	want := string(bytes.TrimRight(cmdline, "\x00"))
	if p.Exe != exe || p.Cmdline != want[:min(len(want), maxCmdline)] || p.Start == 0 || p.Start != Started(pid) || p.PID != pid {
		t.Errorf("%+v, started %v, want %s and %q", p, Started(pid), exe, want)
	}
	const nobody = 1<<22 + 7 // beyond what a pid may be
	if p, at := Look(nobody, container.NewNames(nil)), Started(nobody); p != nil || at != 0 {
		t.Errorf("of a pid that nobody has: %+v, %v", p, at)
	}
}

// TestProcFiles: what stands in /proc/PID/stat and status, with names that look
// like the rest.
func TestProcFiles(t *testing.T) {
	const rest = " S 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 123 20 21"
	for text, want := range map[string]int64{
		"7 (sh)" + rest:                      1230,
		"7 (a) S 1 (b)" + rest:               1230,
		"1 (init) S" + zeros(18) + " 0 4 5":  0,
		"7 (sh) S 1 2 3":                     0,
		"7 (sh) S" + zeros(18) + " -1 4 5":   0,
		"":                                   0,
		"7 (sh) S" + zeros(18) + " 99999999": 999999990,
	} {
		if got := startOf([]byte(text)).Milliseconds(); got != want {
			t.Errorf("%q: %d ms, want %d", text, got, want)
		}
	}
	for text, want := range map[string]uint32{
		"Name:\tx\nNSpid:\t4242\t17\t3\n":         3,
		"Name:\tx\nNSpid:\t4242\nNSpgid:\t1\t2\n": 0,
		"Name:\tx\nPid:\t1\n":                     0,
		"Name:\tx\nNSpid:\t1\tx\n":                0,
	} {
		if got := ownPID([]byte(text)); got != want {
			t.Errorf("%q: %d, want %d", text, got, want)
		}
	}
}

// FuzzProcFiles: whatever a process is called, what stands behind its name in
// /proc is read as it is; and other texts make nothing worse of it.
func FuzzProcFiles(f *testing.F) {
	f.Add("sh", uint64(7), uint32(3), []byte("7 (sh) S 1"))
	f.Add("a) S 1 (b", uint64(1<<40), uint32(0), []byte("NSpid:\t1\t2\n"))
	f.Add("x\nUid:\t0\t0\t0\t0", uint64(0), uint32(1<<31), []byte("0: 2 0 10000 1 1 7 /x"))
	f.Fuzz(func(t *testing.T, comm string, start uint64, id uint32, text []byte) {
		comm, _, _ = strings.Cut(comm[:min(len(comm), 15)], "\x00") // TASK_COMM_LEN
		start %= 1 << 40
		want := max(time.Duration(start)*tick, 1)
		if got := startOf(fmt.Appendf(nil, "7 (%s) S%s %d 8 9\n", comm, zeros(18), start)); got != want {
			t.Errorf("%q: started after %v, want %v", comm, got, want)
		}
		escaped := strings.NewReplacer("\\", "\\\\", "\n", "\\n").Replace(comm) // proc_task_name
		status := fmt.Appendf(nil, "Name:\t%s\nState:\tS\nUid:\t1\t%d\t3\t4\nGid:\t1\t%d\t3\t4\nNSpid:\t9\t%d\n", escaped, id, id+1, id+2)
		uid, gid := ids(status)
		if own := ownPID(status); uid != id || gid != id+1 || own != id+2 {
			t.Errorf("%q: uid %d gid %d pid %d, want %d and the two after it", comm, uid, gid, own, id)
		}
		startOf(text)
		ids(text)
		ownPID(text)
		socketInode(text)
		if s := named(text); s != nil && !bytes.Contains(text, []byte(s.Address)) {
			t.Errorf("%q has the name %q", text, s.Address)
		}
	})
}

func zeros(n int) string { return string(bytes.Repeat([]byte(" 0"), n)) }
