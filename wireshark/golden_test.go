package wireshark_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "rewrite the goldens: look at the difference")

const (
	captures = "../testdata/capture"
	goldens  = "testdata/golden"
)

// recordings are the captures, and the fields by which each proves that it is
// decoded. http and odd are of packets that a test made up, the others of real
// programs (testdata/capture/record).
var recordings = []struct{ name, fields string }{
	{"containerd", "http2.type http2.streamid http2.headers.path http2.headers.status grpc.message_length protobuf.field.number"},
	{"dbus", "sockcap_dbus.sasl dbus.message_type dbus.serial dbus.reply_serial dbus.path dbus.interface dbus.member dbus.error_name dbus.signature dbus.type.string"},
	{"docker", "http.request.method http.request.uri http.response.code http.content_type http.time json.value.string"},
	{"gunicorn", "http.request.uri http.response.code http.server http.time http.file_data"},
	{"haproxy", "sockcap.data"},
	{"http", "http.request.method http.request.uri http.response.code http.time"},
	{"journal", "sockcap_journal.assignment syslog.facility syslog.level syslog.msg"},
	{"ldap", "ldap.messageID ldap.protocolOp ldap.mechanism ldap.entry ldap.baseObject ldap.objectName ldap.type ldap.AttributeValue ldap.resultCode ldap.time"},
	{"lmtp", "smtp.req.command smtp.req.parameter smtp.response.code smtp.rsp.parameter imf.subject"},
	{"mariadb", "mysql.user mysql.command mysql.query mysql.field.name mysql.row.text mysql.error_code mysql.error.message"},
	{"memcached", "memcache.command memcache.key memcache.flags memcache.expiration memcache.value memcache.response memcache.version"},
	{"milter", "sockcap_milter.length sockcap_milter.kind sockcap_milter.data"},
	{"mqtt", "mqtt.msgtype mqtt.ver mqtt.clientid mqtt.topic mqtt.msg mqtt.msgid"},
	{"nbd", "nbd.hnd.magic nbd.hnd.opt nbd.export.name nbd.type nbd.from nbd.len nbd.data"},
	{"nginx", "http.request.uri http.response.code http.content_length http.time"},
	{"notify", "sockcap_notify.assignment"},
	{"odd", "sockcap.event sockcap.type sockcap.role sockcap.comm sockcap.peer.comm sockcap.errno sockcap.lost sockcap.skipped sockcap.truncated sockcap.fd.num sockcap.fd.kind sockcap.fd.name sockcap.stamp sockcap.uncertain"},
	{"php", "http.request.uri http.response.code fcgi.type fcgi.id fcgi.nv_name fcgi.begin_request.role fcgi.end_request.app_status fcgi.content.data"},
	{"podman", "http.request.uri http.response.code http.time json.value.string"},
	{"postgres", "pgsql.type pgsql.query pgsql.statement pgsql.tag pgsql.col.name pgsql.val.data pgsql.code pgsql.message"},
	{"pulse", "sockcap.data"},
	{"qmp", "sockcap_qmp.execute sockcap_qmp.event sockcap_qmp.error sockcap_qmp.return sockcap_qmp.id json.value.string"},
	{"redis", "resp.array.length resp.bulk_string.value resp.string resp.integer resp.error"},
	{"rpcbind", "rpc.xid rpc.msgtyp rpc.program rpc.procedure rpc.time portmap.procedure_v3 portmap.rpcb.netid portmap.rpcb.addr"},
	{"ssh_agent", "sockcap_ssh_agent.kind"},
	{"syslog", "syslog.facility syslog.level syslog.msg syslog.appname"},
	{"tls", "tls.record.content_type tls.record.opaque_type tls.record.length tls.handshake.type tls.handshake.extensions_server_name"},
	{"ttrpc", "sockcap_ttrpc.kind sockcap_ttrpc.stream sockcap_ttrpc.service sockcap_ttrpc.method"},
	{"udev", "sockcap.type sockcap.data"},
	{"varlink", "sockcap_varlink.method sockcap_varlink.error json.value.string json.value.number"},
	{"wayland", "sockcap_wayland.object sockcap_wayland.interface sockcap_wayland.call"},
	{"x11", "x11.opcode x11.vendor x11.screen.width_in_pixels x11.name x11.property x11.reply x11.reply-sequencenumber"},
}

// frame is what a golden says of one record.
type frame struct {
	Number      int               `json:"frame"`
	Source      string            `json:"source"`
	Destination string            `json:"destination"`
	Protocol    string            `json:"protocol"`
	Info        string            `json:"info"`
	Layers      string            `json:"layers"`
	Fields      map[string]values `json:"fields"`
}

// values of a field: a golden has one as a string, more as a list.
type values []string

func (v values) MarshalJSON() ([]byte, error) {
	if len(v) == 1 {
		return plainJSON(v[0])
	}
	return plainJSON([]string(v))
}

func plainJSON(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	err := e.Encode(v)
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), err
}

// short is a text for a line of a golden.
func short(s string) string {
	const most = 120
	if r := []rune(s); len(r) > most {
		return fmt.Sprintf("%s... (%d)", string(r[:most]), len(r))
	}
	return s
}

// release is a version of Wireshark: 406 for 4.6.
type release int

// newest is the release whose goldens are whole; older ones' have only what
// differs from the next newer one's. What a still newer release, which sid has
// one day, words otherwise is shown and no failure: people look at it, while
// the proofs and all other tests hold for it too.
const newest release = 406

func (r release) String() string { return fmt.Sprintf("%d.%d", r/100, r%100) }

func parseRelease(t *testing.T, major, minor string) release {
	t.Helper()
	a, errMajor := strconv.Atoi(major)
	b, errMinor := strconv.Atoi(minor)
	if err := errors.Join(errMajor, errMinor); err != nil {
		t.Fatal(err)
	}
	return release(a*100 + b)
}

func (s *shark) release(t *testing.T) release {
	t.Helper()
	out := s.run(t, "--version")
	m := regexp.MustCompile(`^TShark \(Wireshark\) (\d+)\.(\d+)`).FindStringSubmatch(out)
	if m == nil {
		t.Fatalf("tshark --version: %.80q", out)
	}
	return parseRelease(t, m[1], m[2])
}

// fieldNames are all that this tshark knows.
func (s *shark) fieldNames(t *testing.T) map[string]bool {
	t.Helper()
	known := map[string]bool{}
	out, _ := s.start(t, "-G", "fields") // of which one is _ws.lua.error
	for line := range strings.Lines(out) {
		if cells := strings.Split(line, "\t"); cells[0] == "F" {
			known[cells[2]] = true
		}
	}
	return known
}

// recording puts a capture of testdata where tshark may read it.
func (s *shark) recording(t *testing.T, name string) string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(captures, name+".pcapng"))
	if err != nil {
		t.Fatal(err)
	}
	s.write(t, name+".pcapng", data)
	return name + ".pcapng"
}

// Where tshark's JSON has what a frame is made of; columns have other names
// up to 4.2.
var (
	sources      = []string{"_ws.col.def_src", "_ws.col.Source"}
	destinations = []string{"_ws.col.def_dst", "_ws.col.Destination"}
	protocols    = []string{"_ws.col.protocol", "_ws.col.Protocol"}
	infos        = []string{"_ws.col.info", "_ws.col.Info"}
	ofRecord     = []string{"sockcap.path", "sockcap.stream", "sockcap.offset", "sockcap.len"}
)

// frames is the capture as tshark's JSON has it, those of the fields that this
// tshark knows.
func (s *shark) frames(t *testing.T, capture string, fields []string, known map[string]bool) []frame {
	t.Helper()
	fields = slices.Concat(ofRecord, fields)
	args := []string{"-r", s.path(capture), "-2", "-T", "json", "-e", "frame.number", "-e", "frame.protocols"}
	for _, name := range slices.Concat(sources, destinations, protocols, infos) {
		args = append(args, "-e", name)
	}
	for _, name := range fields {
		if known[name] {
			args = append(args, "-e", name)
		}
	}
	var packets []struct {
		Source struct {
			Layers map[string][]string `json:"layers"`
		} `json:"_source"`
	}
	if err := json.Unmarshal([]byte(s.run(t, args...)), &packets); err != nil {
		t.Fatalf("tshark's json: %v", err)
	}
	var all []frame
	for i, p := range packets {
		text := func(names ...string) string {
			for _, name := range names {
				if v := p.Source.Layers[name]; len(v) > 0 {
					return short(strings.TrimSpace(v[0]))
				}
			}
			return ""
		}
		if text("frame.number") != strconv.Itoa(i+1) {
			t.Fatalf("%s: frame %q after %d others", capture, text("frame.number"), i)
		}
		f := frame{
			Number: i + 1, Source: text(sources...), Destination: text(destinations...), Protocol: text(protocols...),
			Info: text(infos...), Layers: text("frame.protocols"), Fields: map[string]values{},
		}
		for _, name := range fields {
			for _, v := range p.Source.Layers[name] {
				f.Fields[name] = append(f.Fields[name], short(v))
			}
		}
		all = append(all, f)
	}
	return all
}

// golden reads the lines of a golden file, by frame; none if there is no file.
func golden(t *testing.T, file string) map[int]string {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	lines := map[int]string{}
	for line := range strings.Lines(string(data)) {
		line = strings.TrimSuffix(strings.TrimSpace(line), ",")
		if !strings.HasPrefix(line, "{") {
			continue
		}
		var f struct {
			Number int `json:"frame"`
		}
		if err := json.Unmarshal([]byte(line), &f); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		lines[f.Number] = line
	}
	return lines
}

func goldenFile(name string, r release) string {
	if r >= newest {
		return filepath.Join(goldens, name+".json")
	}
	return filepath.Join(goldens, fmt.Sprintf("%s.%v.json", name, r))
}

// olderGoldens are the releases with a golden of their own, newer ones first.
func olderGoldens(t *testing.T, name string) []release {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(goldens, name+".*.json"))
	if err != nil {
		t.Fatal(err)
	}
	var all []release
	for _, file := range files {
		version := strings.Split(filepath.Base(file), ".")
		all = append(all, parseRelease(t, version[1], version[2]))
	}
	slices.Sort(all)
	slices.Reverse(all)
	return all
}

// expected is what the goldens say of each frame for a release.
func expected(t *testing.T, name string, r release) map[int]string {
	t.Helper()
	lines := golden(t, goldenFile(name, newest))
	for _, older := range olderGoldens(t, name) {
		if older >= r {
			for number, line := range golden(t, goldenFile(name, older)) {
				lines[number] = line
			}
		}
	}
	return lines
}

// rewrite makes the golden of a release: whole for the newest, else what
// differs, for which those of the newer ones have to be there.
func rewrite(t *testing.T, name string, r release, lines []string) {
	t.Helper()
	if r < newest {
		newer := expected(t, name, r+1)
		var differing []string
		for i, line := range lines {
			if newer[i+1] != line {
				differing = append(differing, line)
			}
		}
		lines = differing
	}
	file := goldenFile(name, r)
	if len(lines) == 0 {
		if err := os.Remove(file); err != nil && !errors.Is(err, fs.ErrNotExist) {
			t.Fatal(err)
		}
		return
	}
	if err := os.MkdirAll(goldens, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte("[\n"+strings.Join(lines, ",\n")+"\n]\n"), 0o644); err != nil {
		t.Fatal(err)
	}
}

// TestGoldens: tshark's JSON of each capture is what a person has looked at.
func TestGoldens(t *testing.T) {
	s := newShark(t)
	r, known := s.release(t), s.fieldNames(t)
	for _, recording := range recordings {
		t.Run(recording.name, func(t *testing.T) {
			t.Parallel()
			capture, fields := s.recording(t, recording.name), strings.Fields(recording.fields)
			s.clean(t, capture)
			var got []string
			seen := map[string]bool{}
			for _, f := range s.frames(t, capture, fields, known) {
				line, err := plainJSON(f)
				if err != nil {
					t.Fatal(err)
				}
				got = append(got, string(line))
				for name := range f.Fields {
					seen[name] = true
				}
			}
			if len(got) == 0 {
				t.Fatal("no frames")
			}
			for _, name := range fields {
				if r == newest && !seen[name] {
					t.Errorf("no %s in the capture: why ask for it?", name)
				}
			}
			if *update {
				rewrite(t, recording.name, r, got)
			}
			var want []string
			lines := expected(t, recording.name, r)
			for i := range len(lines) {
				want = append(want, lines[i+1])
			}
			if d := cmp.Diff(want, got); d != "" && r > newest {
				t.Logf("tshark %v, newer than the goldens' %v (-golden +now):\n%s", r, newest, d)
			} else if d != "" {
				t.Errorf("tshark %v (-golden +now):\n%s", r, d)
			}
		})
	}
}

// TestRecordings: every capture has its golden, and every golden its capture.
func TestRecordings(t *testing.T) {
	var listed []string
	for _, recording := range recordings {
		listed = append(listed, recording.name)
	}
	for _, pattern := range []string{captures + "/*.pcapng", goldens + "/*.json"} {
		files, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		var found []string
		for _, file := range files {
			name, rest, _ := strings.Cut(filepath.Base(file), ".")
			if !strings.Contains(rest, ".") { // is no older release's
				found = append(found, name)
			} else if !slices.Contains(listed, name) {
				t.Errorf("%s: of no capture", file)
			}
		}
		slices.Sort(found)
		if d := cmp.Diff(listed, found); d != "" {
			t.Errorf("%s (-recordings +files):\n%s", pattern, d)
		}
	}
}

// TestFollow: Follow Stream gives back the 300,000 bytes that curl received, of
// which nginx.sha256 is the digest.
func TestFollow(t *testing.T) {
	s := newShark(t)
	capture := s.recording(t, "nginx")
	sum, err := os.ReadFile(filepath.Join(captures, "nginx.sha256"))
	if err != nil {
		t.Fatal(err)
	}
	want, _, _ := strings.Cut(string(sum), " ")
	for _, pass := range [][]string{{}, {"-2"}} {
		out := s.run(t, append(pass, "-r", s.path(capture), "-q", "-z", "follow,tcp,raw,1")...)
		var sent []byte // by the server, whose lines begin with a tab
		for line := range strings.Lines(out) {
			if !strings.HasPrefix(line, "\t") {
				continue
			}
			piece, err := hex.DecodeString(strings.TrimSpace(line))
			if err != nil {
				t.Fatalf("%q: %v in %.40q", pass, err, line)
			}
			sent = append(sent, piece...)
		}
		_, body, _ := bytes.Cut(sent, []byte("\r\n\r\n"))
		if got := fmt.Sprintf("%x", sha256.Sum256(body)); got != want || len(body) != 300000 {
			t.Errorf("%q: a body of %d bytes, %s; curl received %s", pass, len(body), got, want)
		}
	}
}
