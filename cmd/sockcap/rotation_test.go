package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sockcap/sockcap/capture"
	"github.com/sockcap/sockcap/pcapng"
)

// TestAppendTime: date(1) asks the C library, so what it writes is right.
func TestAppendTime(t *testing.T) {
	conversions := strings.Split("a A b B c C d D e F g G h H I j k l m M n p P r R s S t T u U V w W x X y Y z Z % Ey Od", " ")
	for _, zone := range []string{"UTC", "America/St_Johns", "Asia/Tokyo"} {
		location, err := time.LoadLocation(zone)
		if err != nil {
			t.Fatal(err)
		}
		for _, at := range []time.Time{
			time.Date(2026, time.November, 24, 6, 29, 35, 0, time.UTC),
			time.Date(2024, time.December, 31, 23, 59, 59, 0, time.UTC), // ISO week 1 of the next year
			time.Date(2027, time.January, 1, 12, 0, 0, 0, time.UTC),     // ISO week 53 of the year before
			time.Date(2023, time.January, 1, 0, 0, 0, 0, time.UTC),      // a Sunday
			time.Date(2001, time.July, 9, 13, 5, 6, 0, time.UTC),
		} {
			format := "x%" + strings.Join(conversions, "|%") + "|"
			date := exec.Command("date", "-d", fmt.Sprintf("@%d", at.Unix()), "+"+format)
			date.Env = append(os.Environ(), "LC_ALL=C", "TZ="+zone)
			want, err := date.Output()
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(string(want), string(appendTime(nil, format, at.In(location)))+"\n"); d != "" {
				t.Errorf("%v in %s (-want +got):\n%s", at, zone, d)
			}
		}
	}
	for _, text := range []string{"", "%", "a%", "%Q", "%E", "%EQ", "ä%!"} { // what the C library leaves alone
		if got := string(appendTime(nil, text, at(0))); got != text {
			t.Errorf("%q becomes %q", text, got)
		}
	}
}

// TestOverwrites: which names -G gives twice in a row.
func TestOverwrites(t *testing.T) {
	day := rotation{seconds: 86400}
	for _, c := range []struct {
		name string
		r    rotation
		l    limits
		want bool
	}{
		{"a", rotation{}, limits{}, false},
		{"a", rotation{size: 1}, limits{}, false},
		{"a", rotation{seconds: 1}, limits{}, true},
		{"a%%", rotation{seconds: 1}, limits{}, true},
		{"a%Q", rotation{seconds: 1}, limits{}, true}, // which is no field
		{"a%s", rotation{seconds: 1}, limits{}, false},
		{"a%S", rotation{seconds: 1}, limits{}, false},
		{"a%S", rotation{seconds: 60}, limits{}, true},
		{"a%M", rotation{seconds: 60}, limits{}, false},
		{"a%M", rotation{seconds: 59}, limits{}, true},
		{"a%F", rotation{seconds: 3600}, limits{}, true},
		{"%F/a", day, limits{}, false},
		{"a%a", day, limits{}, false}, // a ring of a week, which is meant
		{"a", rotation{seconds: 1, count: 1}, limits{}, false},
		{"a", rotation{seconds: 1, count: 2}, limits{}, true},
		{"a", rotation{seconds: 1, count: 1, size: 1}, limits{}, true},
		{"a", rotation{seconds: 7}, limits{duration: 7 * time.Second}, false},
		{"a", rotation{seconds: 7}, limits{duration: 8 * time.Second}, true},
	} {
		n := fileNames{rotation: c.r, name: c.name, began: at(0), zone: time.UTC}
		if got := n.overwrites(&c.l); got != c.want {
			t.Errorf("%s, %+v, %+v: %v, want %v", c.name, c.r, c.l, got, c.want)
		}
	}
}

// TestFileNames: the names that tcpdump 4.99.3 gave to files with these flags,
// and those that its MakeFilename gives from then on.
func TestFileNames(t *testing.T) {
	for want, r := range map[string]rotation{
		"a a1 a2 a3 a4 a5 a6 a7 a8 a9 a10 a11":            {size: 1},
		"a0 a1 a2 a0 a1 a2 a0 a1 a2 a0 a1 a2":             {size: 1, count: 3},
		"a0 a1 a2 a3 a4 a5 a6 a7 a8 a9 a0 a1":             {size: 1, count: 10},
		"a00 a01 a02 a03 a04 a05 a06 a07 a08 a09 a10 a00": {size: 1, count: 11},
		"a a a a a a a a a a a a":                         {size: 1, count: 1},
	} {
		n := fileNames{rotation: r, name: "a"}
		var got []string
		for range 12 {
			got = append(got, n.current())
			if rotate, enough := n.next(at(0), 2); !rotate || enough {
				t.Fatalf("%+v: rotate %v, enough %v", r, rotate, enough)
			}
		}
		if names := strings.Join(got, " "); names != want {
			t.Errorf("%+v: got %s, want %s", r, names, want)
		}
	}
	n := fileNames{rotation: rotation{size: 1}, name: "a%Y"}
	if rotate, _ := n.next(at(0), 1); rotate || n.current() != "a%Y" {
		t.Errorf("at the size itself: rotate %v, name %s", rotate, n.current())
	}
}

// clockHost is a host that captures packets at the time that they have.
func clockHost(t *testing.T, packets []pcapng.Packet, stats capture.Stats) (*host, *bytes.Buffer) {
	t.Helper()
	var words bytes.Buffer
	h := testHost()
	now := at(0)
	h.stderr, h.now = &words, func() time.Time { return now }
	h.start = func(ctx context.Context, o capture.Options) (session, error) {
		s := &fakeSession{ctx: ctx, options: o, packets: packets, stats: stats}
		s.before = func(p *pcapng.Packet) { now = p.Time }
		return s, nil
	}
	return h, &words
}

// TestRotatedFiles: each file of a live capture has what a capture file has,
// and its statistics at the end; together they have each packet once.
func TestRotatedFiles(t *testing.T) {
	t.Chdir(t.TempDir())
	packets := oddPackets()
	for i := range packets {
		packets[i].Time = at(0).Add(time.Duration(i) * 700 * time.Millisecond)
	}
	h, words := clockHost(t, packets, capture.Stats{Received: 20, LostRing: 3, LostMissed: 1})
	if status := h.main([]string{"-w", "f-%M%S", "-G", "2", "-W", "5"}); status != 0 {
		t.Fatalf("status %d: %s", status, words)
	}
	if !strings.Contains(words.String(), "\nsockcap: maximum file limit reached: 5\n") {
		t.Errorf("it said %s", words)
	}
	// Whole seconds count: it began at 35.8, so 37.2 is two seconds later.
	names, err := filepath.Glob("f-*")
	if err != nil {
		t.Fatal(err)
	}
	if want := []string{"f-2935", "f-2937", "f-2939", "f-2941", "f-2943"}; !slices.Equal(names, want) {
		t.Fatalf("files %v, want %v", names, want)
	}
	var got []pcapng.Packet
	for _, name := range names {
		file, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		r, err := pcapng.NewReader(bytes.NewReader(file))
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		for p, err := range r.Packets() {
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			got = append(got, *p.Clone())
		}
		hosts, description := r.Interfaces(), describeHost("", "tracepoint")
		if len(hosts) != 1 || hosts[0].Name != "sockcap" || !strings.HasSuffix(hosts[0].Description, "(tracepoint)") || r.Section().Application != description.Application {
			t.Errorf("%s: interfaces %+v, section %+v", name, hosts, r.Section())
		}
		end := got[len(got)-1].Time
		if s := hosts[0].Stats; s == nil || s.Received != 20 || s.OSDropped != 3 || s.IfDropped != 1 || !s.Start.Equal(at(0)) || s.End.Before(end) || s.Comment == "" {
			t.Errorf("%s: statistics %+v, the last packet is of %v", name, s, end)
		}
	}
	var times []time.Duration
	for _, p := range got {
		times = append(times, p.Time.Sub(at(0)))
	}
	var want []time.Duration
	for i := range len(got) {
		want = append(want, time.Duration(i)*700*time.Millisecond)
	}
	if len(got) < 10 || !slices.Equal(times, want) {
		t.Errorf("packets at %v, want %v", times, want)
	}
}

// TestDuration: -a duration ends a capture that sees nothing more, however
// short it is.
func TestDuration(t *testing.T) {
	t.Chdir(t.TempDir())
	for _, seconds := range []string{"0.001", "1e-10"} {
		h, words := clockHost(t, httpPackets(), capture.Stats{})
		if status := h.main([]string{"-w", "out", "-a", "duration:" + seconds}); status != 0 {
			t.Errorf("%s: status %d: %s", seconds, status, words)
		}
		if !strings.Contains(words.String(), "captured\n") || strings.Contains(words.String(), "error") {
			t.Errorf("%s: it said %s", seconds, words)
		}
	}
}
