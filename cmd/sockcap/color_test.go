package main

import (
	"io"
	"os"
	"regexp"
	"strings"
	"testing"
)

var sequences = regexp.MustCompile("\x1b\\[(?:0|2|3[1-7])m")

// plain is text without the colors, and whether each color was ended, in its
// line and before the next.
func plain(text string) (string, bool) {
	ended := true
	for line := range strings.Lines(text) {
		open := false
		for _, s := range sequences.FindAllString(line, -1) {
			begins := s != string(colorNone)
			ended = ended && begins != open
			open = begins
		}
		ended = ended && !open
	}
	return sequences.ReplaceAllString(text, ""), ended
}

// TestColorIsNothingElse: without its colors a line is the line without
// colors, whatever is in it.
func TestColorIsNothingElse(t *testing.T) {
	packets := append(append(oddPackets(), httpPackets()...), fullPacket())
	for name, pr := range printers() {
		want := printAll(pr, packets)
		pr.color = true
		colored := printAll(pr, packets)
		got, ended := plain(colored)
		if got != want || !ended {
			t.Errorf("%s: without colors\n%s\nwant\n%s\nended: %v", name, got, want, ended)
		}
		if pr.format == formatText && got == colored {
			t.Errorf("%s has no colors", name)
		}
	}
}

// TestColorFile: what goes to a file or a pipe has none.
func TestColorFile(t *testing.T) {
	for choice, want := range map[string]bool{colorAuto: false, colorAlways: true} {
		r, w, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		if got := wantsColor(choice, w, func(string) string { return "" }); got != want {
			t.Errorf("--color %s into a pipe: %v", choice, got)
		}
		xterm := func(name string) string { return map[string]string{"TERM": "xterm"}[name] }
		if got := wantsColor(choice, w, xterm); got != want {
			t.Errorf("--color %s into a pipe, with TERM=xterm: %v", choice, got)
		}
		w.Close()
	}
}

// TestColorChoice: who gets colors on a terminal.
func TestColorChoice(t *testing.T) {
	for _, tt := range []struct {
		args, term, noColor string
		want                bool
	}{
		{"", "xterm", "", true},
		{"--color auto", "xterm", "", true},
		{"--color never", "xterm", "", false},
		{"", "xterm", "1", false},
		{"", "dumb", "", false},
		{"", "", "", false},
		{"--color always", "dumb", "1", true},
		{"--json", "xterm", "", false},
		{"--format string --color always", "xterm", "", false},
	} {
		master, slave := terminalEnds(t)
		h := testHost()
		h.stdout, h.stderr = slave, io.Discard
		h.getenv = func(name string) string {
			return map[string]string{"TERM": tt.term, "NO_COLOR": tt.noColor}[name]
		}
		args := append(strings.Fields(tt.args), "-r", "../../testdata/capture/http.pcapng", "-c", "1")
		if status := h.main(args); status != 0 {
			t.Fatalf("%v: status %d", args, status)
		}
		slave.Close()
		text, _ := io.ReadAll(master) // until EIO: nobody has the other end
		if !strings.Contains(string(text), "docker") {
			t.Fatalf("%v: printed %q", args, text)
		}
		if got := sequences.Match(text); got != tt.want {
			t.Errorf("%v with TERM=%s NO_COLOR=%s: color %v, want %v: %q", args, tt.term, tt.noColor, got, tt.want, text)
		}
	}
}
