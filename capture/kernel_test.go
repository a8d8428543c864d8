package capture

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/sockcap/sockcap/bpf"
)

// kallsyms is text as /proc/kallsyms has it, which need not be sorted.
const kallsyms = `0000000000000000 A fixed_percpu_data
ffffffff81000000 T _stext
ffffffff81c00000 T unix_inq_len
ffffffff81c00100 t __pfx_unix_stream_sendmsg
ffffffff81c00110 t unix_stream_sendmsg
ffffffff81c00900 t unix_dgram_sendmsg.isra.0
ffffffff81c01800 D unix_stream_sendmsg_data
ffffffff82000000 t unix_stream_sendmsg.cold
ffffffff82000040 t unix_dgram_sendmsg.isra.0.cold
ffffffff82000060 t queue_oob.constprop.0
ffffffff82000080 T last_of_text
ffffffff82400000 D init_task
ffffffffc0100000 t queue_oob	[unix]
ffffffffc0100200 t unix_open_file	[unix]
ffffffffc0200000 t bpf_prog_6deef7357e7b4530_sd	[bpf]
ffffffffc0300000 t sock_wfree	[last]
ffffffff81c01000 t unix_dgram_poll
`

func TestReadSymbols(t *testing.T) {
	wanted := []string{"unix_stream_sendmsg", "unix_dgram_sendmsg", "queue_oob", "sock_wfree", "missing"}
	s, err := readSymbols(strings.NewReader(kallsyms), wanted)
	if err != nil {
		t.Fatal(err)
	}
	want := map[string][]bpf.Range{
		"unix_stream_sendmsg": {{From: 0xffffffff81c00110, To: 0xffffffff81c00900}, {From: 0xffffffff82000000, To: 0xffffffff82000040}},
		"unix_dgram_sendmsg":  {{From: 0xffffffff81c00900, To: 0xffffffff81c01000}, {From: 0xffffffff82000040, To: 0xffffffff82000060}},
		"queue_oob":           {{From: 0xffffffff82000060, To: 0xffffffff82000080}, {From: 0xffffffffc0100000, To: 0xffffffffc0100200}},
		"sock_wfree":          {{From: 0xffffffffc0300000, To: 0xffffffffc0301000}}, // a page: no end in sight
	}
	if diff := cmp.Diff(want, s.ranges); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	if !s.has("queue_oob") || s.has("missing") || s.has("unix_open_file") {
		t.Error("has tells otherwise than ranges")
	}
	if got := s.address("unix_stream_sendmsg"); got != 0xffffffff81c00110 {
		t.Errorf("unix_stream_sendmsg is at %#x", got)
	}
	if got := s.address("missing"); got != 0 {
		t.Errorf("what is missing is at %#x", got)
	}
	if got := s.all("unix_stream_sendmsg", "missing", "queue_oob"); len(got) != 4 {
		t.Errorf("%d ranges, want 4: %x", len(got), got)
	}
}

// TestReadSymbolsHidden: addresses of zero are no addresses.
func TestReadSymbolsHidden(t *testing.T) {
	hidden := "0000000000000000 T _stext\n0000000000000000 t unix_stream_sendmsg\n0000000000000000 t queue_oob\t[unix]\n"
	if _, err := readSymbols(strings.NewReader(hidden), []string{"queue_oob"}); !errors.Is(err, errHidden) {
		t.Errorf("got %v, want %v", err, errHidden)
	}
	if s, err := readSymbols(strings.NewReader(hidden), []string{"other"}); err != nil || s.has("other") {
		t.Errorf("nothing was wanted that is hidden: %v", err)
	}
}

func TestReadSymbolsOdd(t *testing.T) {
	for _, text := range []string{"", "\n", " ", "x", "ffffffff81000000", "ffffffff81000000 ", "ffffffff81000000 t", "ffffffff81000000 t ", "zz t f", "-1 t f", "ffffffff81000000  f", "1ffffffffffffffff t f"} {
		if s, err := readSymbols(strings.NewReader(text), []string{"f", ""}); err != nil || s.has("f") {
			t.Errorf("%q: %v", text, err)
		}
	}
}

// FuzzReadSymbols: no text makes it panic, and what it finds was there.
func FuzzReadSymbols(f *testing.F) {
	f.Add(kallsyms)
	f.Add("ffffffffffffffff t queue_oob\n")
	f.Add("0 t queue_oob\r\n\x00")
	f.Fuzz(func(t *testing.T, text string) {
		s, err := readSymbols(strings.NewReader(text), []string{"queue_oob", "sock_wfree"})
		if err != nil {
			return
		}
		for name, ranges := range s.ranges {
			if !strings.Contains(text, name) {
				t.Errorf("found %q", name)
			}
			for _, r := range ranges {
				if r.From == 0 {
					t.Errorf("%s begins at 0", name)
				}
			}
		}
	})
}

// consumeFormat is v6.12's events/skb/consume_skb/format.
const consumeFormat = `name: consume_skb
ID: 1573
format:
	field:unsigned short common_type;	offset:0;	size:2;	signed:0;
	field:unsigned char common_flags;	offset:2;	size:1;	signed:0;
	field:unsigned char common_preempt_count;	offset:3;	size:1;	signed:0;
	field:int common_pid;	offset:4;	size:4;	signed:1;

	field:void * skbaddr;	offset:8;	size:8;	signed:0;
	field:void * location;	offset:16;	size:8;	signed:0;

print fmt: "skbaddr=%p location=%pS", REC->skbaddr, REC->location
`

func TestParseFormat(t *testing.T) {
	for _, c := range []struct {
		name, text string
		want       map[string]uint32
	}{
		{"consume_skb", consumeFormat, map[string]uint32{"common_type": 0, "common_flags": 2, "common_preempt_count": 3, "common_pid": 4, "skbaddr": 8, "location": 16}},
		{"v6.1, without location", strings.Replace(consumeFormat, "\tfield:void * location;	offset:16;	size:8;	signed:0;\n", "", 1),
			map[string]uint32{"common_type": 0, "common_flags": 2, "common_preempt_count": 3, "common_pid": 4, "skbaddr": 8}},
		{"star at the name", "\tfield:const void *skaddr;\toffset:8;\tsize:8;\tsigned:0;\n", map[string]uint32{"skaddr": 8}},
		{"data location", "\tfield:__data_loc char[] name;\toffset:24;\tsize:4;\tsigned:0;", map[string]uint32{"name": 24}},
		{"system call", "\tfield:unsigned int fd;\toffset:16;\tsize:8;\tsigned:0;\r\n", map[string]uint32{"fd": 16}},
		{"empty", "", map[string]uint32{}},
		{"no field", "field;\nfield:\nfield:x\nfield:int x;size:4;\nfield:int y;offset:;\nfield:int z;offset:-8;\nfield:int w;offset:4294967296;\n", map[string]uint32{}},
		{"no name", "field:;\toffset:8;\n", map[string]uint32{"field:": 8}},
	} {
		if diff := cmp.Diff(c.want, parseFormat(c.text)); diff != "" {
			t.Errorf("%s, -want +got:\n%s", c.name, diff)
		}
	}
}

func FuzzParseFormat(f *testing.F) {
	f.Add(consumeFormat)
	f.Add("field:a;offset:1;")
	f.Add("field:\t *;offset:1")
	f.Fuzz(func(t *testing.T, text string) {
		for name := range parseFormat(text) {
			if !strings.Contains(text, name) {
				t.Errorf("found %q", name)
			}
		}
	})
}

func TestEventFields(t *testing.T) {
	dir := t.TempDir()
	event := filepath.Join(dir, "events", "skb", "consume_skb")
	if err := os.MkdirAll(event, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(event, "format"), []byte(consumeFormat), 0o644); err != nil {
		t.Fatal(err)
	}
	got, err := eventFields(dir, "skb", "consume_skb")
	if err != nil || got["skbaddr"] != 8 {
		t.Errorf("got %v, %v", got, err)
	}
	if _, err := eventFields(dir, "sock", "sk_data_ready"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no such event: got %v, want %v", err, fs.ErrNotExist)
	}
}

// TestKernelDevice compares a device number with what the kernel shows of a
// mount, and puts large numbers together as MKDEV does.
func TestKernelDevice(t *testing.T) {
	for _, c := range []struct{ major, minor, want uint32 }{
		{0, 0, 0}, {8, 1, 8<<20 | 1}, {259, 300, 259<<20 | 300}, {4095, 1<<20 - 1, 1<<32 - 1},
	} {
		if got := kernelDevice(unix.Mkdev(c.major, c.minor)); got != c.want {
			t.Errorf("%d:%d is %#x, want %#x", c.major, c.minor, got, c.want)
		}
	}
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	lines := slices.Collect(strings.Lines(string(mounts)))
	i := slices.IndexFunc(lines, func(line string) bool { return strings.Fields(line)[4] == "/proc" })
	if i < 0 {
		t.Fatalf("no /proc in mountinfo:\n%s", mounts)
	}
	var major, minor uint32
	if _, err := fmt.Sscanf(strings.Fields(lines[i])[2], "%d:%d", &major, &minor); err != nil {
		t.Fatal(err)
	}
	var st unix.Stat_t
	if err := unix.Stat("/proc", &st); err != nil {
		t.Fatal(err)
	}
	if got := kernelDevice(st.Dev); got != major<<20|minor {
		t.Errorf("/proc is on %#x, want %d:%d", got, major, minor)
	}
}
