package wireshark_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sockcap/sockcap/pcapng"
	"github.com/sockcap/sockcap/wireshark"
)

// withProfile is a shark whose user has the profile, and the goldens.
func withProfile(t *testing.T) *shark {
	t.Helper()
	s := newShark(t)
	dir := filepath.Join(s.dir, ".config/wireshark/profiles", wireshark.ProfileName)
	if err := os.CopyFS(dir, wireshark.Profile()); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"http.pcapng", "odd.pcapng"} {
		data, err := os.ReadFile(filepath.Join("../testdata/capture", name))
		if err != nil {
			t.Fatal(err)
		}
		s.write(t, name, data)
	}
	return s
}

// profileText is a file of the profile.
func profileText(t *testing.T, name string) string {
	t.Helper()
	data, err := fs.ReadFile(wireshark.Profile(), name)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// entries are the submatches of pattern for each line that is no comment; all
// such lines have to match.
func entries(t *testing.T, name, pattern string) [][]string {
	t.Helper()
	var all [][]string
	for line := range strings.Lines(profileText(t, name)) {
		line = strings.TrimSuffix(line, "\n")
		if strings.HasPrefix(line, "#") {
			continue
		}
		match := regexp.MustCompile(pattern).FindStringSubmatch(line)
		if match == nil {
			t.Fatalf("%s: %q is not of the form %s", name, line, pattern)
		}
		all = append(all, match[1:])
	}
	if len(all) == 0 {
		t.Fatalf("%s: empty", name)
	}
	return all
}

// words is what tshark said on standard error beside the note on who runs it.
func words(stderr string) string {
	var said []string
	for line := range strings.Lines(stderr) {
		if !strings.HasPrefix(line, "Running as user ") {
			said = append(said, line)
		}
	}
	return strings.Join(said, "")
}

const (
	color        = `\[\d+,\d+,\d+\]`
	colorPattern = `^@([^@]+)@([^@]+)@(` + color + `)(` + color + `)$`
)

// Every filter of the profile is one that tshark takes without a word; those
// of a file in one go, as what it says names the spot.
func TestProfileFilters(t *testing.T) {
	t.Parallel()
	s := withProfile(t)
	for name, file := range map[string]struct {
		pattern string
		filter  int // the submatch
	}{
		"colorfilters":     {colorPattern, 1},
		"dfilter_buttons":  {`^"TRUE","([^"]+)","([^"]+)","[^"]*"$`, 1},
		"dfilters":         {`^"([^"]+)" (.+)$`, 1},
		"profile_settings": {`^auto_switch_filter: (.+)$`, 0},
	} {
		var filters []string
		for _, e := range entries(t, name, file.pattern) {
			filters = append(filters, "("+strings.ReplaceAll(e[file.filter], `\x22`, `"`)+")")
		}
		_, errs := s.start(t, "-r", s.path("odd.pcapng"), "-Y", strings.Join(filters, " || "))
		if w := words(errs); w != "" {
			t.Errorf("%s: %s", name, w)
		}
	}
}

// The words of a filter may be valid and mean nothing: which rule colors what.
func TestProfileColors(t *testing.T) {
	t.Parallel()
	s := withProfile(t)
	c := converse("/run/docker.sock", 1)
	c.send(client, httpRequest("/missing"), large)
	c.send(server, []byte("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"), large)
	c.send(client, httpRequest("/there"), large)
	c.send(server, httpResponse(nil), large)
	s.capture(t, "answers.pcapng", c.packets...)
	c = converse("/run/user/1000/bus", 2)
	c.send(client, []byte("\x00AUTH EXTERNAL\r\n"), large)
	s.capture(t, "bus.pcapng", c.packets...)
	log := pcapng.Packet{Event: pcapng.EventData, Type: pcapng.Datagram, Path: "/run/systemd/journal/dev-log", MessageLen: pcapng.Unknown}
	log.Data = []byte("<14>Jan  2 03:04:05 here me: hello")
	log.Len = uint32(len(log.Data))
	s.capture(t, "log.pcapng", log)

	// odd.pcapng has one connection for all: what Wireshark makes of the payload
	// is for the others. Its packet 9 is an error from 4.6 on, 12 a log's line.
	for _, test := range []struct{ name, want string }{
		{"http.pcapng", "Life cycle*2, HTTP*4, Life cycle"},
		{"answers.pcapng", "HTTP, Error answer, HTTP*2"},
		{"bus.pcapng", "D-Bus"},
		{"log.pcapng", "Log"},
		{"odd.pcapng", "Stream*2, Passed descriptors, Lost or truncated*2, Stream*2, Uncertain, Stream*2, Datagram, Stream, " +
			"Refused connect*2, Life cycle"},
	} {
		out := s.run(t, "-C", wireshark.ProfileName, "--color", "-r", s.path(test.name),
			"-Y", "!(sockcap.inode == 44099 && frame.number in {9, 12})", "-T", "fields", "-e", "frame.coloring_rule.name")
		if got := runs(strings.Split(strings.TrimSuffix(out, "\n"), "\n")); got != test.want {
			t.Errorf("%s is colored\n%s, want\n%s", test.name, got, test.want)
		}
	}
}

// runs joins words, and counts equal ones that follow each other.
func runs(words []string) string {
	var joined []string
	for i := 0; i < len(words); {
		n := 1
		for i+n < len(words) && words[i+n] == words[i] {
			n++
		}
		if n > 1 {
			joined = append(joined, words[i]+"*"+string(rune('0'+n)))
		} else {
			joined = append(joined, words[i])
		}
		i += n
	}
	return strings.Join(joined, ", ")
}

// The profile shows its columns, and none of its preferences is unknown.
func TestProfileColumns(t *testing.T) {
	t.Parallel()
	s := withProfile(t)
	out, errs := s.start(t, "-C", wireshark.ProfileName, "-r", s.path("http.pcapng"), "-T", "tabs")
	if w := words(errs); w != "" {
		t.Errorf("tshark -C: %s", w)
	}
	third := strings.Split(strings.Split(out, "\n")[2], "\t")
	for i := range third {
		third[i] = strings.TrimSpace(third[i])
	}
	want := []string{"3", "0.000051000", "docker[27806]", "→", "dockerd[2434]", "/run/docker.sock", "HTTP", "84", "HEAD /_ping HTTP/1.1", ""}
	if diff := cmp.Diff(want, third); diff != "" {
		t.Errorf("columns (-want +got):\n%s", diff)
	}
}

// What is hidden is one of the columns, and each column has a width.
func TestProfileColumnsAgree(t *testing.T) {
	t.Parallel()
	prefs := profileText(t, "preferences")
	var columns, widths []string
	for _, m := range regexp.MustCompile(`(?m)^\t"[^"]+", "([^"]+)",?$`).FindAllStringSubmatch(prefs, -1) {
		columns = append(columns, m[1])
	}
	for _, m := range regexp.MustCompile(`(?m)^\t"?([^",]+)"?, \d+,?$`).FindAllStringSubmatch(profileText(t, "recent"), -1) {
		widths = append(widths, m[1])
	}
	hidden := regexp.MustCompile(`(?m)^gui\.column\.hidden: (.+)$`).FindStringSubmatch(prefs)
	if len(columns) < 8 || hidden == nil {
		t.Fatalf("columns %q, hidden %q", columns, hidden)
	}
	if tail := strings.Join(columns[8:], ","); tail != hidden[1] {
		t.Errorf("hidden are %s, after Info come %s", hidden[1], tail)
	}
	for i := range columns { // recent names a field without its occurrence and form
		columns[i] = strings.TrimSuffix(columns[i], ":0:R")
	}
	if diff := cmp.Diff(columns, widths); diff != "" {
		t.Errorf("columns, widths (-columns +widths):\n%s", diff)
	}
}
