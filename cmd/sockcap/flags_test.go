package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/spf13/pflag"

	"github.com/sockcap/sockcap/capture"
	"github.com/sockcap/sockcap/pcapng"
)

// TestHelpOutput: asking for it is no error and needs no root.
func TestHelpOutput(t *testing.T) {
	var words bytes.Buffer
	h := testHost()
	h.stderr = &words
	page, err := os.Create(filepath.Join(t.TempDir(), "help"))
	if err != nil {
		t.Fatal(err)
	}
	defer page.Close()
	h.stdout = page
	if got := h.main([]string{"-w", "/nowhere/out", "--help"}); got != 0 || words.Len() > 0 {
		t.Errorf("status %d, stderr %q", got, words.String())
	}
}

// TestFlags: what each combination asks for.
func TestFlags(t *testing.T) {
	type asked struct {
		Capture           capture.Options
		Read              []string
		Write, TextFile   string
		Filter            string
		Count             uint64
		Text, Flush, List bool
		Format            format
		Time              timeStyle
		Dump              dump
		Record, Quiet     bool
		Rotation          rotation
		Limits            limits
		Stats             time.Duration
	}
	text := func(change func(*asked)) asked {
		a := asked{Capture: capture.Options{Hooks: "auto", Senders: "auto"}, Text: true, Format: formatText}
		change(&a)
		return a
	}
	for args, want := range map[string]asked{
		"":             text(func(a *asked) {}),
		"-nnKNOpS":     text(func(a *asked) {}),
		"-D":           text(func(a *asked) { a.List = true }),
		"-c 101 -r in": text(func(a *asked) { a.Count, a.Read = 101, []string{"in"} }),
		"-l":           text(func(a *asked) { a.Flush = true }),
		"-U":           text(func(a *asked) { a.Flush, a.Capture.Immediate = true, true }),
		"-s96 -B 4096 -i kprobe --senders=exact": text(func(a *asked) {
			a.Capture = capture.Options{Hooks: "kprobe", Senders: "exact", Snaplen: 96, BufferSize: 4 << 20}
		}),
		"--redact -s 0":  text(func(a *asked) { a.Capture.Redact = true }),
		"--include-self": text(func(a *asked) { a.Capture.IncludeSelf = true }),
		"/run/a @b":      text(func(a *asked) { a.Capture.Paths, a.Filter = []string{"/run/a", "@b"}, "path /run/a or path @b" }),
		"pid 5 or 6 -q":  text(func(a *asked) { a.Quiet, a.Filter = true, "pid 5 or pid 6" }),
		"-Q in --pid=7 --pid 8 --uid root stream": text(func(a *asked) {
			a.Filter = "stream and (pid 7 or pid 8) and uid 0 and inbound"
		}),
		"--path /a/ --path @b -Q inout": text(func(a *asked) { a.Capture.Paths, a.Filter = []string{"/a", "@b"}, "path /a or path @b" }),
		"--path /a --path /b* -Q out":   text(func(a *asked) { a.Filter = "(path /a or path /b*) and outbound" }),
		"-r in --container 4f --cgroup x.slice --comm and": text(func(a *asked) {
			a.Read, a.Filter = []string{"in"}, `comm "and" and container 4f and cgroup x.slice`
		}),
		"-q /run/a -tttt": text(func(a *asked) {
			a.Quiet, a.Time, a.Capture.Paths, a.Filter = true, dateAndTime, []string{"/run/a"}, "path /run/a"
		}),
		"-A":                  text(func(a *asked) { a.Dump = dumpText }),
		"-Ax":                 text(func(a *asked) { a.Dump = dumpHex }),
		"-AxxX":               text(func(a *asked) { a.Dump = dumpHexText }),
		"-xx":                 text(func(a *asked) { a.Dump, a.Record = dumpHex, true }),
		"-XX":                 text(func(a *asked) { a.Dump, a.Record = dumpHexText, true }),
		"-w out":              text(func(a *asked) { a.Write, a.Text = "out", false }),
		"-w out --print":      text(func(a *asked) { a.Write = "out" }),
		"-w out --output log": text(func(a *asked) { a.Write, a.TextFile, a.Flush = "out", "log", true }),
		"-w - --output log":   text(func(a *asked) { a.Write, a.TextFile, a.Flush = "-", "log", true }),
		"--format string --output log /a": text(func(a *asked) {
			a.Format, a.TextFile, a.Flush, a.Capture.Paths, a.Filter = formatString, "log", true, []string{"/a"}, "path /a"
		}),
		"-w out -C 7 -W 10 -z gzip": text(func(a *asked) {
			a.Write, a.Text, a.Rotation = "out", false, rotation{size: 7_000_000, count: 10, command: "gzip"}
		}),
		"-wout -C7K -G60": text(func(a *asked) {
			a.Write, a.Text, a.Rotation = "out", false, rotation{size: 7 << 10, seconds: 60}
		}),
		"-w out -C 7m": text(func(a *asked) { a.Write, a.Text, a.Rotation.size = "out", false, 7<<20 }),
		"-w out -C 7g": text(func(a *asked) { a.Write, a.Text, a.Rotation.size = "out", false, 7<<30 }),
		"-w out -a filesize:7 -a duration:1.5 -a packets:101": text(func(a *asked) {
			a.Write, a.Text, a.Count, a.Limits = "out", false, 101, limits{duration: 1500 * time.Millisecond, fileSize: 7000}
		}),
		"-a packets:101 -c 7":          text(func(a *asked) { a.Count = 7 }),
		"-a packets:7 -c 101":          text(func(a *asked) { a.Count = 7 }),
		"-r in -r -":                   text(func(a *asked) { a.Read = []string{"in", "-"} }),
		"--stats-interval 1m":          text(func(a *asked) { a.Stats = time.Minute }),
		"--format pcap":                text(func(a *asked) { a.Format, a.Text, a.Write = formatPcapng, false, "-" }),
		"--format pcapng --output out": text(func(a *asked) { a.Format, a.Text, a.Write = formatPcapng, false, "out" }),
		"--format pcapng -w out":       text(func(a *asked) { a.Format, a.Text, a.Write = formatPcapng, false, "out" }),
	} {
		var r raw
		s := pflag.NewFlagSet("", pflag.ContinueOnError)
		r.define(s)
		if err := s.Parse(strings.Fields(args)); err != nil {
			t.Errorf("%q: %v", args, err)
			continue
		}
		f, err := r.flags(s, s.Args())
		if err != nil {
			t.Errorf("%q: %v", args, err)
			continue
		}
		if live := f.capture.Filter; live != nil && live != f.filter || live == nil && len(f.read) == 0 && f.capture.Paths == nil && !f.filter.All() {
			t.Errorf("%q: the capture filters by %q and %q, want %q", args, live, f.capture.Paths, f.filter)
		}
		f.capture.Filter = nil
		got := asked{
			f.capture, f.read, f.write, f.textFile, f.filter.String(), f.count, f.text, f.flush, f.list,
			f.printer.format, f.printer.times.style, f.printer.dump, f.printer.record, f.printer.quiet,
			f.rotation, f.limits, f.stats,
		}
		if d := cmp.Diff(want, got, cmpopts.EquateEmpty(), cmp.AllowUnexported(rotation{}, limits{})); d != "" {
			t.Errorf("%q (-want +got):\n%s", args, d)
		}
	}
}

// TestTextFlags: what is asked of the lines.
func TestTextFlags(t *testing.T) {
	type look struct {
		IDs, Numbers, UTC bool
		Verbose, Digits   int
		Color             string
		Format            format
	}
	for args, want := range map[string]look{
		"":                          {Digits: 6, Color: "auto", Format: formatText},
		"-e#vvv":                    {IDs: true, Numbers: true, Verbose: 3, Digits: 6, Color: "auto", Format: formatText},
		"--nano --utc":              {UTC: true, Digits: 9, Color: "auto", Format: formatText},
		"--micro --color=never":     {Digits: 6, Color: "never", Format: formatText},
		"--format string":           {Digits: 3, Color: "auto", Format: formatString},
		"--format hex --micro -v":   {Verbose: 1, Digits: 6, Color: "auto", Format: formatHex},
		"--format hexstring --nano": {Digits: 9, Color: "auto", Format: formatHexString},
		"--json --utc -ve":          {IDs: true, UTC: true, Verbose: 1, Digits: 6, Color: "auto", Format: formatJSON},
	} {
		var r raw
		s := pflag.NewFlagSet("", pflag.ContinueOnError)
		r.define(s)
		if err := s.Parse(strings.Fields(args)); err != nil {
			t.Errorf("%q: %v", args, err)
			continue
		}
		f, err := r.flags(s, s.Args())
		if err != nil {
			t.Errorf("%q: %v", args, err)
			continue
		}
		p := f.printer
		if got := (look{p.ids, p.numbers, p.times.utc, p.verbose, p.times.digits, f.color, p.format}); got != want {
			t.Errorf("%q asks for %+v, want %+v", args, got, want)
		}
	}
}

// TestLiveEvents: a capture tells of all events, and a file may have each.
func TestLiveEvents(t *testing.T) {
	for e := pcapng.EventData; e <= pcapng.EventLost; e++ {
		for _, text := range []string{e.String(), "not " + e.String(), "data or uid 0 and not (" + e.String() + ")"} {
			live := rawFilter{direction: "inout"}
			err := live.set(new(flags), []string{text})
			if err != nil {
				t.Errorf("live, %s: %v", text, err)
			}
			read := rawFilter{direction: "inout"}
			if err := read.set(&flags{read: []string{"in"}}, []string{text}); err != nil {
				t.Errorf("of a file, %s: %v", text, err)
			}
		}
	}
}
