package wireshark_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/sockcap/sockcap/pcapng"
	"github.com/sockcap/sockcap/wireshark"
)

// nobody is the user that runs tshark where the tests are root's: from 4.4 on,
// tshark loads no Lua for root, silently.
const nobody = 65534

// shark is one directory with the dissector and capture files, and the tshark
// that reads them: the machine's, or that of the root directory TSHARK_ROOT,
// for other versions (testdata/root makes one).
type shark struct {
	dir  string // as the test sees it
	root string // "" or TSHARK_ROOT
	exe  string

	cleaned sync.Map // by path: files that run has seen, in tests that run at once

	spoiled bool // its files are damaged at random: Wireshark's own dissectors may trip over them
}

func newShark(t testing.TB) *shark {
	t.Helper()
	s := &shark{root: os.Getenv("TSHARK_ROOT"), exe: "/usr/bin/tshark"}
	if s.root == "" {
		var err error
		if s.exe, err = exec.LookPath("tshark"); err != nil {
			t.Fatalf("%v: install tshark: make test does", err)
		}
	}
	dir, err := os.MkdirTemp(filepath.Join(s.root, os.TempDir()), "sockcap")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	s.dir = dir
	s.write(t, wireshark.DissectorName, wireshark.Dissector())
	return s
}

func (s *shark) write(t testing.TB, name string, data []byte) {
	t.Helper()
	file := filepath.Join(s.dir, name)
	s.cleaned.Delete(s.path(name))
	if err := os.WriteFile(file, data, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(file, 0o644); err != nil { // whatever the umask
		t.Fatal(err)
	}
}

// path is where tshark finds the file.
func (s *shark) path(name string) string {
	return filepath.Join("/", strings.TrimPrefix(s.dir, s.root), name)
}

// command is tshark, not yet started, with the dissector or without.
func (s *shark) command(dissector bool, args ...string) *exec.Cmd {
	args = append(args, "-n")
	if dissector {
		args = append(args, "-X", "lua_script:"+s.path(wireshark.DissectorName))
	}
	cmd := exec.Command(s.exe, args...)
	cmd.Dir = "/"
	cmd.Env = []string{"HOME=" + s.path(""), "LC_ALL=C.UTF-8", "TZ=UTC", "PATH=/usr/bin:/bin"}
	if os.Geteuid() == 0 {
		cmd.SysProcAttr = &syscall.SysProcAttr{
			Chroot:     s.root,
			Credential: &syscall.Credential{Uid: nobody, Gid: nobody},
		}
	}
	return cmd
}

// version is tshark's, as it says.
func (s *shark) version(t testing.TB) string {
	t.Helper()
	out, err := s.command(false, "--version").Output()
	if err != nil {
		t.Fatal(err)
	}
	line, _, _ := strings.Cut(string(out), "\n")
	return strings.TrimSuffix(line, ".")
}

// start runs tshark with the dissector and gives what it printed.
func (s *shark) start(t *testing.T, args ...string) (stdout, stderr string) {
	t.Helper()
	cmd := s.command(true, args...)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		t.Fatalf("tshark %q: %v\n%s", args, err, errs.Bytes())
	}
	return out.String(), errs.String()
}

// luaErrors are in what tshark prints when a Lua script failed.
var luaErrors = []string{"Lua:", "Lua Error", "_ws.lua.error"}

// run is start for a script without errors. tshark exits 0 on Lua errors, and
// says nothing of them without a tree to show: so a file that was not yet read
// in every way is, first.
func (s *shark) run(t *testing.T, args ...string) string {
	t.Helper()
	if i := slices.Index(args, "-r"); i >= 0 {
		if _, seen := s.cleaned.Load(args[i+1]); !seen {
			s.clean(t, filepath.Base(args[i+1]))
		}
	}
	out, errs := s.start(t, args...)
	errs, shown := s.without(t, errs), s.without(t, out)
	for _, sign := range append([]string{"Dissector bug"}, luaErrors...) {
		if strings.Contains(errs, sign) {
			t.Fatalf("tshark %q: stderr:\n%s", args, errs)
		}
		if i := strings.Index(shown, sign); i >= 0 {
			t.Fatalf("tshark %q: stdout: %.300s", args, shown[i:])
		}
	}
	return out
}

// without takes out of what tshark printed the bugs that are Wireshark's own.
func (s *shark) without(t *testing.T, text string) string {
	if !s.spoiled {
		return grpcBug.ReplaceAllString(text, "")
	}
	return bugs.ReplaceAllStringFunc(text, func(bug string) string {
		if usBelow.MatchString(bug) {
			return bug
		}
		t.Logf("Wireshark's own: %.200s", bug)
		return ""
	})
}

// grpcBug is one that Wireshark 4.0 has, with any link type: it finds messages of
// gRPC whose HTTP/2 headers are missing, or damaged, and trips over that.
var grpcBug = regexp.MustCompile(`Dissector bug, protocol GRPC[^\n]*packet-grpc\.c`)

// bugs are those of all of Wireshark's dissectors, which have others: that of JSON
// trips over an escape that there is not, that of HTTP has called it. usBelow are
// those of what our dissector calls by itself, and of what is above them: they may
// have been called wrongly.
var (
	bugs    = regexp.MustCompile(`Dissector bug, protocol [^\n]*packet-[a-z0-9_-]+\.c`)
	usBelow = regexp.MustCompile(`packet-(tcp|udp|ip|ipv6|frame|user_encap)\.c`)
)

// clean fails unless the file is dissected without a Lua error in every way in
// which tshark may drive the dissector: without a tree, with one that is not
// shown, and with one that is; reading once and twice. Without a tree only the
// expert items' own table tells of an error.
func (s *shark) clean(t *testing.T, name string) {
	t.Helper()
	s.cleaned.Store(s.path(name), true)
	for _, pass := range [][]string{{}, {"-2"}} {
		s.run(t, append(pass, "-r", s.path(name), "-q", "-z", "expert")...)
		s.run(t, append(pass, "-r", s.path(name), "-V")...)
		if got := s.run(t, append(pass, "-r", s.path(name), "-Y", "_ws.lua.error")...); got != "" {
			t.Fatalf("%s, %q: Lua errors:\n%.1000s", name, pass, got)
		}
	}
}

// capture writes the packets, a millisecond apart, as a capture file, and
// checks that tshark reads it without Lua errors.
func (s *shark) capture(t *testing.T, name string, packets ...pcapng.Packet) {
	t.Helper()
	var file bytes.Buffer
	w, err := pcapng.NewWriter(&file, pcapng.Options{})
	if err != nil {
		t.Fatal(err)
	}
	for i, p := range packets {
		p.Time = epoch.Add(time.Duration(i) * time.Millisecond)
		if err := w.WritePacket(&p); err != nil {
			t.Fatalf("packet %d: %v", i, err)
		}
	}
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	s.write(t, name, file.Bytes())
	s.clean(t, name)
}

var epoch = time.Date(2026, 1, 2, 3, 4, 5, 123456789, time.UTC)

// rows gives each record's columns and fields that tshark shows for it.
func (s *shark) rows(t *testing.T, name string, args ...string) [][]string {
	t.Helper()
	out := s.run(t, append([]string{"-r", s.path(name)}, args...)...)
	var rows [][]string
	for line := range strings.Lines(out) {
		rows = append(rows, strings.Split(strings.TrimSuffix(line, "\n"), "\t"))
	}
	return rows
}

// columns gives source, destination, protocol and info of each record.
func (s *shark) columns(t *testing.T, name string, args ...string) [][]string {
	t.Helper()
	rows := s.rows(t, name, append([]string{"-T", "tabs", // which puts an arrow between %s and %d side by side
		"-o", `gui.column.format:"S","%s","P","%p","D","%d","I","%i"`}, args...)...)
	for i, r := range rows {
		if len(r) != 4 {
			t.Fatalf("%s: columns %q", name, r)
		}
		for j := range r { // addresses are padded
			r[j] = strings.TrimSpace(r[j])
		}
		rows[i] = []string{r[0], r[2], r[1], r[3]}
	}
	return rows
}

// count is the number of records that match the display filter. tshark makes
// no visible tree for it, as -T fields would.
func (s *shark) count(t *testing.T, name, filter string) int {
	t.Helper()
	return strings.Count(s.run(t, "-r", s.path(name), "-2", "-Y", filter), "\n")
}

// fields gives, for each record, the values of every field below prefix.
func (s *shark) fields(t *testing.T, name, prefix string, args ...string) []map[string][]string {
	t.Helper()
	out := s.run(t, append([]string{"-r", s.path(name), "-T", "json", "--no-duplicate-keys"}, args...)...)
	var packets []any
	if err := json.Unmarshal([]byte(out), &packets); err != nil {
		t.Fatalf("tshark's json: %v", err)
	}
	var all []map[string][]string
	for _, p := range packets {
		found := map[string][]string{}
		collect(found, prefix, "", p)
		all = append(all, found)
	}
	return all
}

func collect(found map[string][]string, prefix, key string, v any) {
	switch v := v.(type) {
	case map[string]any:
		for k, inner := range v {
			collect(found, prefix, k, inner)
		}
	case []any:
		for _, inner := range v {
			collect(found, prefix, key, inner)
		}
	default:
		if strings.HasPrefix(key, prefix) {
			found[key] = append(found[key], fmt.Sprint(v))
		}
	}
}
