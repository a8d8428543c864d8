package main

import (
	"bytes"
	"encoding/binary"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sockcap/sockcap/pcapng"
)

// frames is IP packets of a protocol that tcpdump knows nothing of, of these
// lengths, with bytes of every value.
func frames(lengths ...int) [][]byte {
	var all [][]byte
	for i, n := range lengths {
		f := make([]byte, n)
		for j := range f {
			f[j] = byte(j + i)
		}
		copy(f, []byte{0x45, 0, byte(n >> 8), byte(n), 0, byte(i), 0, 0, 64, 253, 0, 0, 192, 0, 2, 1, 192, 0, 2, 2})
		all = append(all, f)
	}
	return all
}

// moments are those of the packets: the same again, a nanosecond, a second,
// another day. tcpdump leaves whole days out of -ttt and -ttttt, so all are
// within one.
func moments(n int) []time.Time {
	gaps := []time.Duration{0, 0, 1, 999, time.Microsecond, time.Second, 17*time.Hour + 31*time.Minute, 5 * time.Hour}
	at := at(0)
	var all []time.Time
	for i := range n {
		if i < len(gaps) {
			at = at.Add(gaps[i])
		}
		all = append(all, at)
	}
	return all
}

// both is the two programs beside each other in a directory that has the same
// packets twice: the frames in a file for tcpdump (in), and as payload in one
// for sockcap (in.pcapng).
type both struct {
	t   *testing.T
	dir string
}

func newBoth(t *testing.T, frames [][]byte) *both {
	t.Helper()
	b := &both{t, t.TempDir()}
	old := binary.LittleEndian.AppendUint32(nil, 0xa1b23c4d) // pcap with nanoseconds
	old = binary.LittleEndian.AppendUint16(old, 2)
	old = binary.LittleEndian.AppendUint16(old, 4)
	for _, n := range []uint32{0, 0, maxSnaplen, pcapng.LinkTypeRaw} {
		old = binary.LittleEndian.AppendUint32(old, n)
	}
	var packets []pcapng.Packet
	for i, at := range moments(len(frames)) {
		size := uint32(len(frames[i]))
		for _, n := range []uint32{uint32(at.Unix()), uint32(at.Nanosecond()), size, size} {
			old = binary.LittleEndian.AppendUint32(old, n)
		}
		old = append(old, frames[i]...)
		packets = append(packets, with(message(0, endpoint("a", 7), endpoint("b", 8), "/x", string(frames[i])), func(p *pcapng.Packet) {
			p.Time = at
		}))
	}
	for name, content := range map[string][]byte{"in": old, "in.pcapng": encode(t, packets)} {
		if err := os.WriteFile(filepath.Join(b.dir, name), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return b
}

// result is what a program printed, and how it ended.
type result struct {
	stdout, stderr string
	status         int
}

func (b *both) run(c *exec.Cmd) result {
	b.t.Helper()
	var out, words bytes.Buffer
	c.Dir, c.Stdout, c.Stderr = b.dir, &out, &words
	c.Env = append(os.Environ(), "TZ=UTC", "LC_ALL=C", "SUDO_UID=", "SUDO_GID=")
	err := c.Run()
	if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) {
		b.t.Fatal(err)
	}
	return result{out.String(), words.String(), c.ProcessState.ExitCode()}
}

func (b *both) tcpdump(args ...string) result {
	b.t.Helper()
	if os.Geteuid() == 0 {
		args = append([]string{"-Z", "root"}, args...) // else another user opens its files
	}
	return b.run(exec.Command("tcpdump", append([]string{"-n"}, args...)...))
}

func (b *both) sockcap(args ...string) result {
	b.t.Helper()
	exe, err := os.Executable()
	if err != nil {
		b.t.Fatal(err)
	}
	c := exec.Command(exe)
	c.Args = append([]string{"sockcap"}, args...)
	return b.run(c)
}

// onlyLines keeps the lines that match, each without what follows the match.
func onlyLines(text, pattern string) []string {
	return regexp.MustCompile(`(?m)`+pattern).FindAllString(text, -1)
}

// What of the lines is compared: what stands before the sender, or what -x
// and -X print.
const (
	heads = `^[^IPa\t\n]*(?:IP|a)`
	dumps = `^\t.*`
)

// TestBesideTcpdump: where TCPDUMP.md says that an option is the same, and both
// can do the same without a network, they print the same.
func TestBesideTcpdump(t *testing.T) {
	b := newBoth(t, frames(20, 21, 35, 36, 37, 300, 301, 52))
	read := func(args []string) (theirs, ours result) {
		theirs = b.tcpdump(append([]string{"-r", "in"}, args...)...)
		ours = b.sockcap(append([]string{"-r", "in.pcapng"}, args...)...)
		if theirs.status != 0 || ours.status != 0 {
			t.Errorf("%q: status %d and %d\n%s%s", args, theirs.status, ours.status, theirs.stderr, ours.stderr)
		}
		return theirs, ours
	}
	for _, c := range []struct {
		options string
		lines   string // heads or dumps
		same    int    // how many lines there are
	}{
		{"", heads, 8},
		{"-t", heads, 8},
		{"-tt", heads, 8},
		{"-ttt", heads, 8},
		{"-tttt", heads, 8},
		{"-ttttt", heads, 8},
		{"--micro", heads, 8},
		{"--nano", heads, 8},
		{"--nano -tt", heads, 8},
		{"--nano -ttt", heads, 8},
		{"--nano -tttt", heads, 8},
		{"--nano -ttttt", heads, 8},
		{"-#", heads, 8},
		{"-#t", heads, 8},
		{"--number -tttt", heads, 8},
		{"-q -c 3", heads, 3},
		{"-c 1", heads, 1},
		{"-l -U -K -N -O -p -S", heads, 8},
		{"-x", dumps, 2 + 2 + 3 + 3 + 3 + 19 + 19 + 4},
		{"-X", dumps, 55},
		{"-tx", dumps, 55},
		{"-Ax", dumps, 55},
		{"-xX -c 5", dumps, 13},
		{"-# -ttt less 36", heads, 4},
		{"-# -tt greater 300", heads, 2},
		{"-tt less 20 or greater 301", heads, 2},
		{"-tt not ( less 20 or greater 301 )", heads, 6},
		{"-tt len < 37", heads, 4},
	} {
		args := strings.Fields(c.options)
		theirs, ours := read(args)
		want := onlyLines(theirs.stdout, c.lines)
		got := onlyLines(ours.stdout, c.lines)
		if c.lines == heads { // the sender follows
			for i := range want {
				want[i] = strings.TrimSuffix(want[i], "IP")
			}
			for i := range got {
				got[i] = strings.TrimSuffix(got[i], "a")
			}
		}
		if d := cmp.Diff(want, got); d != "" || len(got) != c.same {
			t.Errorf("%q: %d lines, want %d (-tcpdump +sockcap):\n%s", args, len(got), c.same, d)
		}
		const banner = `reading from file in[a-z.]*, link-type [A-Z0-9]+ \([A-Za-z ]+\)`
		if theirs, ours := onlyLines(theirs.stderr, banner), onlyLines(ours.stderr, banner); len(theirs) != 1 || len(ours) != 1 {
			t.Errorf("%q: the banners are %q and %q", args, theirs, ours)
		}
	}
}

// TestStatusBesideTcpdump: how both end.
func TestStatusBesideTcpdump(t *testing.T) {
	b := newBoth(t, frames(20))
	for _, c := range []struct {
		options string
		status  int
		stdout  bool
	}{
		{"--version", 0, true},
		{"-h", 0, true},
		{"--help", 0, true},
		{"-r nowhere", 1, false},
		{"-r /", 1, false},
		{"-F nowhere -r in", 1, false},
		{"-r in -w nowhere/out", 1, false},
	} {
		theirs := b.tcpdump(strings.Fields(c.options)...)
		ours := b.sockcap(strings.Fields(strings.ReplaceAll(c.options, "-r in", "-r in.pcapng"))...)
		if theirs.status != c.status || ours.status != c.status {
			t.Errorf("%s: status %d and %d, want %d", c.options, theirs.status, ours.status, c.status)
		}
		if (ours.stdout != "") != c.stdout {
			t.Errorf("%s: standard output is %q", c.options, ours.stdout)
		}
	}
	if ours := b.sockcap("--nothing"); ours.status != 2 {
		t.Errorf("an unknown option is status %d", ours.status)
	}
	if theirs := b.tcpdump("--nothing"); theirs.status != 1 { // as TCPDUMP.md says
		t.Errorf("to tcpdump, an unknown option is status %d", theirs.status)
	}
}

// TestFilesBesideTcpdump: -C and -W make the same files with the same packets,
// and tcpdump reads -y RAW.
func TestFilesBesideTcpdump(t *testing.T) {
	var lengths []int
	for range 40 {
		lengths = append(lengths, 60_000)
	}
	b := newBoth(t, frames(lengths...))
	for i, options := range []string{"-C 1", "-C 1 -W 2", "-C 1 -W 3", "-C 1 -W 11", "-C 1 -W 101", "-C 9"} {
		theirs, ours := b.folder("theirs", i), b.folder("ours", i)
		if r := b.tcpdump(append([]string{"-r", "in", "-w", theirs + "/o"}, strings.Fields(options)...)...); r.status != 0 {
			t.Fatalf("%s: %s", options, r.stderr)
		}
		if r := b.sockcap(append([]string{"-r", "in.pcapng", "-w", ours + "/o"}, strings.Fields(options)...)...); r.status != 0 {
			t.Fatalf("%s: %s", options, r.stderr)
		}
		want, got := map[string]int{}, map[string]int{}
		for _, name := range b.names(theirs) {
			want[name] = len(onlyLines(b.tcpdump("-t", "-r", theirs+"/"+name).stdout, `^IP `))
		}
		for _, name := range b.names(ours) {
			got[name] = len(onlyLines(b.sockcap("-t", "-r", ours+"/"+name).stdout, `^a\[7\]`))
		}
		if d := cmp.Diff(want, got); d != "" || len(got) == 0 {
			t.Errorf("%s: packets in each file (-tcpdump +sockcap):\n%s", options, d)
		}
	}
	if r := b.sockcap("-r", "in.pcapng", "-y", "RAW", "-w", "raw.pcapng"); r.status != 0 {
		t.Fatal(r.stderr)
	}
	if r := b.tcpdump("-t", "-v", "-r", "raw.pcapng"); r.status != 0 || strings.Contains(r.stdout, "bad cksum") ||
		len(onlyLines(r.stdout, `length 60000$`)) != 40 {
		t.Errorf("of -y RAW, tcpdump prints, with status %d:\n%s%s", r.status, r.stdout, r.stderr)
	}
}

// folder makes one, for the files of case i.
func (b *both) folder(whose string, i int) string {
	b.t.Helper()
	name := filepath.Join(whose, string(rune('0'+i)))
	if err := os.MkdirAll(filepath.Join(b.dir, name), 0o700); err != nil {
		b.t.Fatal(err)
	}
	return name
}

func (b *both) names(folder string) []string {
	b.t.Helper()
	entries, err := os.ReadDir(filepath.Join(b.dir, folder))
	if err != nil {
		b.t.Fatal(err)
	}
	var all []string
	for _, e := range entries {
		all = append(all, e.Name())
	}
	return all
}
