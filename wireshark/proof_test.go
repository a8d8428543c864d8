package wireshark_test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sockcap/sockcap/pcapng"
)

// proof is a display filter that matches only what a protocol's dissector has
// understood, and how many records of the socket at path it has to match.
type proof struct {
	protocol string
	capture  string
	path     string
	filter   string
	least    int
	since    release // the first that has it; before, nothing may match
}

var proofs = []proof{
	{"HTTP", "docker", "/run/docker.sock", `http.request.method == "HEAD" and http.request.uri == "/_ping"`, 5, 0},
	{"HTTP, times", "docker", "/run/docker.sock", `http.response.code == 201 and http.time < 10`, 1, 0},
	{"HTTP, chunked upload over several records", "docker", "/run/docker.sock", `http.request.uri contains "images/create" and http.chunk_size == 10240`, 1, 0},
	{"JSON in HTTP", "docker", "/run/docker.sock", `json.value.string contains "No such container"`, 1, 0},
	{"HTTP, by its first bytes", "nginx", "/run/nginx.sock", `http.content_length == 300000 and http.time < 10`, 1, 0},
	{"HTTP", "gunicorn", "/run/gunicorn.sock", `http.server == "gunicorn"`, 2, 0},
	{"HTTP", "podman", "/run/podman/podman.sock", `http.response.code == 404 and json.key == "cause"`, 1, 0},
	{"HTTP/2", "containerd", "/run/containerd/containerd.sock", `http2.headers.status == 200`, 10, 0},
	{"gRPC", "containerd", "/run/containerd/containerd.sock", `grpc and http2.headers.path == "/containerd.services.version.v1.Version/Version"`, 1, 0},
	{"gRPC, a message of 10 KB", "containerd", "/run/containerd/containerd.sock", `grpc.message_length > 10000 and protobuf`, 1, 0},
	{"ttRPC", "ttrpc", "/run/containerd/s/*", `sockcap_ttrpc.service == "containerd.task.v2.Task" and sockcap_ttrpc.method == "Create"`, 1, 0},
	{"PostgreSQL, queries", "postgres", "/run/postgresql/.s.PGSQL.5432", `pgsql.query contains "select * from note"`, 1, 0},
	{"PostgreSQL, prepared statements", "postgres", "/run/postgresql/.s.PGSQL.5432", `pgsql.type == "Bind" and pgsql.statement == "P_0"`, 6, 0},
	{"PostgreSQL, errors", "postgres", "/run/postgresql/.s.PGSQL.5432", `pgsql.code == "42P01"`, 1, 0},
	{"MySQL, queries", "mariadb", "/run/mysqld/mysqld.sock", `mysql.query contains "insert into note"`, 1, 0},
	{"MySQL, rows", "mariadb", "/run/mysqld/mysqld.sock", `mysql.row.text == "bread"`, 1, 0},
	{"MySQL, errors", "mariadb", "/run/mysqld/mysqld.sock", `mysql.error_code == 1146`, 1, 0},
	{"Redis", "redis", "/run/redis/redis-server.sock", `resp.array.length == 3 and resp.bulk_string.value contains "greeting"`, 1, 0},
	{"Redis, errors", "redis", "/run/redis/redis-server.sock", `resp.error contains "not an integer"`, 1, 0},
	{"memcached", "memcached", "/run/memcached/memcached.sock", `memcache.command == "set" and memcache.key == "greeting"`, 1, 0},
	{"D-Bus, authentication", "dbus", "/run/dbus/system_bus_socket", `sockcap_dbus.sasl == "NEGOTIATE_UNIX_FD"`, 3, 0},
	{"D-Bus, system bus", "dbus", "/run/dbus/system_bus_socket", `dbus.member == "GetConnectionCredentials"`, 2, 0},
	{"D-Bus, errors", "dbus", "/run/dbus/system_bus_socket", `dbus.error_name == "org.freedesktop.DBus.Error.NameHasNoOwner"`, 1, 0},
	{"D-Bus, session bus", "dbus", "/run/user/1000/bus", `dbus.member == "Changed" and dbus.type.string == "milk"`, 1, 0},
	{"FastCGI", "php", "/run/php/php8.2-fpm.sock", `fcgi.begin_request.role == 1 and fcgi.nv_name == "SCRIPT_FILENAME"`, 2, 0},
	{"X11", "x11", "/tmp/.X11-unix/X99", `x11.name == "DEMO"`, 1, 0},
	{"X11, abstract", "x11", "@/tmp/.X11-unix/X98", `x11.vendor == "The X.Org Foundation" and x11.screen.width_in_pixels == 320`, 1, 0},
	{"Wayland", "wayland", "/run/user/1000/wayland-1", `sockcap_wayland.interface == "wl_compositor" and sockcap_wayland.call == "create_surface"`, 1, 0},
	{"syslog", "syslog", "/dev/log", `syslog.facility == 3 and syslog.level == 5`, 1, 0},
	{"syslog to journald", "journal", "/run/systemd/journal/dev-log", `syslog.facility == 1 and syslog.level == 5`, 1, 0},
	{"journald", "journal", "/run/systemd/journal/socket", `sockcap_journal.name == "SYSLOG_IDENTIFIER" and sockcap_journal.value == "backup"`, 1, 0},
	{"sd_notify", "notify", "/run/systemd/notify", `sockcap_notify.assignment == "READY=1"`, 1, 0},
	{"varlink", "varlink", "/run/systemd/userdb/io.systemd.Multiplexer", `sockcap_varlink.method == "io.systemd.UserDatabase.GetUserRecord" and json.value.string == "ann"`, 1, 0},
	{"varlink, errors", "varlink", "/run/systemd/userdb/io.systemd.Multiplexer", `sockcap_varlink.error == "io.systemd.UserDatabase.NoRecordFound"`, 2, 0},
	{"QMP", "qmp", "/run/qemu/qmp.sock", `sockcap_qmp.execute == "query-status"`, 1, 0},
	{"QMP, events", "qmp", "/run/qemu/qmp.sock", `sockcap_qmp.event == "SHUTDOWN"`, 1, 0},
	{"MQTT 3.1.1", "mqtt", "/run/mosquitto/mosquitto.sock", `mqtt.topic == "house/hall" and mqtt.msg contains "20.5"`, 2, 0},
	{"MQTT 5", "mqtt", "/run/mosquitto/mosquitto.sock", `mqtt.ver == 5 and mqtt.clientid == "writer5"`, 1, 0},
	{"LDAP", "ldap", "/run/slapd/ldapi", `ldap.baseObject == "dc=example,dc=org" and ldap.initial == "Ex"`, 1, 0},
	{"LMTP", "lmtp", "/run/dovecot/lmtp", `smtp.req.command == "lhlo"`, 1, 0},
	{"mail in LMTP", "lmtp", "/run/dovecot/lmtp", `imf.subject == "hello"`, 1, 0},
	{"milter", "milter", "/run/opendkim/opendkim.sock", `sockcap_milter.kind == "MAIL FROM" and sockcap_milter.data contains "bob@example.org"`, 1, 0},
	{"TLS", "tls", "/run/stunnel/web.sock", `tls.handshake.extensions_server_name == "demo"`, 1, 0},
	{"SSH agent", "ssh_agent", "/tmp/ssh-XXXXdemo/agent.7", `sockcap_ssh_agent.kind == "Request identities"`, 1, 0},
	{"ONC RPC", "rpcbind", "/run/rpcbind.sock", `portmap.rpcb.netid == "local" and rpc.time < 10`, 1, 0},
	{"NBD, negotiation", "nbd", "/run/qemu-nbd.sock", `nbd and sockcap.offset == 0`, 2, 406},
	{"NBD, requests", "nbd", "/run/qemu-nbd.sock", `nbd.type == 0 and nbd.len == 4096`, 1, 0},
	{"text, as data", "haproxy", "/run/haproxy/admin.sock.*", `sockcap.data contains "Name: HAProxy"`, 1, 0},
	{"PulseAudio", "pulse", "/run/user/1000/pulse/native", `sockcap_pulse.command == "Set client name"`, 2, 0},
	{"sequenced packets, as data", "udev", "/run/udev/control", `sockcap.type == "seqpacket" and sockcap.data contains "udev-252"`, 4, 0},
}

// releases are those that the table is about.
var releases = []release{400, 404, newest}

// at is the filter for the socket alone. A path of which a part is made up by
// the program anew each time is given as a glob.
func (p proof) at() string {
	if stem, ok := strings.CutSuffix(p.path, "*"); ok {
		return fmt.Sprintf("sockcap.path contains %q and (%s)", stem, p.filter)
	}
	return fmt.Sprintf("sockcap.path == %q and (%s)", p.path, p.filter)
}

// programs are who talks on the socket in the capture: clients, then servers.
func (p proof) programs(t *testing.T) string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(captures, p.capture+".pcapng"))
	if err != nil {
		t.Fatal(err)
	}
	r, err := pcapng.NewReader(bytes.NewReader(data))
	if err != nil {
		t.Fatalf("%s: %v", p.capture, err)
	}
	var clients, servers []string
	add := func(names *[]string, name string) {
		if name != "" && !slices.Contains(*names, name) {
			*names = append(*names, name)
		}
	}
	for packet, err := range r.Packets() {
		if err != nil {
			t.Fatalf("%s: %v", p.capture, err)
		}
		if ok, _ := filepath.Match(p.path, packet.Path); !ok {
			continue
		}
		client, server := packet.Sender.Comm, packet.Peer.Comm
		if packet.Role == pcapng.RoleServer {
			client, server = server, client
		}
		add(&clients, client)
		add(&servers, server)
	}
	if len(clients) == 0 || len(servers) == 0 {
		t.Fatalf("%s: clients %q and servers %q at %s", p.capture, clients, servers, p.path)
	}
	return strings.Join(clients, ", ") + " → " + strings.Join(servers, ", ")
}

// protocolTable is PROTOCOLS.md.
func protocolTable(t *testing.T) string {
	t.Helper()
	var b strings.Builder
	b.WriteString(`# What is decoded

Each row is tested in Wireshark 4.0, 4.4 and 4.6 on a capture that sockcap made of real programs (` + "`make record`" + `,
../testdata/capture): the display filter has to match, and where a cell is empty it must not. The protocols whose fields begin with sockcap_
are shown by sockcap.lua itself, the others by Wireshark's own dissectors; what is shown as data has none in any version.
go test -update ./wireshark writes this file.

| protocol | programs | socket | 4.0 | 4.4 | 4.6 | capture | what proves it |
| --- | --- | --- | --- | --- | --- | --- | --- |
`)
	for _, p := range proofs {
		fmt.Fprintf(&b, "| %s | %s | `%s` |", p.protocol, p.programs(t), p.path)
		for _, r := range releases {
			if r >= p.since {
				b.WriteString(" yes |")
			} else {
				b.WriteString(" |")
			}
		}
		fmt.Fprintf(&b, " %s | `%s` |\n", p.capture, p.filter)
	}
	return b.String()
}

// TestProofs: each protocol is decoded in the versions that PROTOCOLS.md
// names, and only there.
func TestProofs(t *testing.T) {
	s := newShark(t)
	r := s.release(t)
	for _, p := range proofs {
		s.recording(t, p.capture)
	}
	for _, p := range proofs {
		t.Run(p.protocol, func(t *testing.T) {
			t.Parallel()
			got := s.count(t, p.capture+".pcapng", p.at())
			if r < p.since && got > 0 {
				t.Errorf("tshark %v: %s\nmatches %d records of %s, was thought not to before %v", r, p.at(), got, p.capture, p.since)
			}
			if r >= p.since && got < p.least {
				t.Errorf("tshark %v: %s\nmatches %d records of %s, want %d", r, p.at(), got, p.capture, p.least)
			}
		})
	}
	table := protocolTable(t)
	if *update {
		if err := os.WriteFile("PROTOCOLS.md", []byte(table), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	written, err := os.ReadFile("PROTOCOLS.md")
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(string(written), table); d != "" {
		t.Errorf("PROTOCOLS.md (-file +proofs):\n%s", d)
	}
	if testing.Verbose() {
		t.Log("\n" + table)
	}
}
