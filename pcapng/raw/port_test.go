package raw

import (
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

func TestPorts(t *testing.T) {
	for path, want := range map[string]uint16{
		"/run/docker.sock": 80, "/run/podman/podman.sock": 80, "/run/containerd/containerd.sock": 80,
		"/run/containerd/containerd.sock.ttrpc": 0, "/var/run/postgresql/.s.PGSQL.5433": 5432,
		"/run/mysqld/mysqld.sock": 3306, "/run/mysqld/mysqlx.sock": 33060, "/run/redis/redis-server.sock": 6379,
		"@/tmp/.X11-unix/X0": 6000, "/tmp/.X11-unix/X0": 6000, "/tmp/X0": 0, "/run/memcached.sock": 11211,
		"": 0, "/": 0, "@": 0, "docker.sock": 0, "/run/docker.sock/other": 0, "@\x00\xff\n*[": 0, "/a\n/docker.sock": 80,
	} {
		checkPort(t, path, streamPort(path), want)
	}
	for path, want := range map[string]uint16{"/dev/log": 514, "/run/systemd/journal/dev-log": 514, "/run/systemd/notify": 0, "": 0} {
		checkPort(t, path, datagramPort(path), want)
	}
	if streamPort("/run/a") == streamPort("/run/b") {
		t.Error("two unknown paths have the same port")
	}
}

// checkPort takes 0 for any port of unknown paths.
func checkPort(t *testing.T, path string, got, want uint16) {
	t.Helper()
	if got >= firstUnknown && got < firstUnknown+unknownPorts {
		got = 0
	}
	if got != want {
		t.Errorf("%q is at port %d, want %d", path, got, want)
	}
}

// TestPortsOfDissector: what our dissector shows as a protocol, a program that
// goes by ports finds too.
func TestPortsOfDissector(t *testing.T) {
	lua, err := os.ReadFile("../../wireshark/sockcap.lua")
	if err != nil {
		t.Fatal(err)
	}
	ports := map[string]uint16{"http2": 80, "mysqlx": 33060, "mongo": 27017, "pulse": 4713, "nbd": 10809, "syslog": 514}
	for _, m := range regexp.MustCompile(`(\w+) = \{ port = (\d+) \}`).FindAllStringSubmatch(string(lua), -1) {
		n, err := strconv.ParseUint(m[2], 10, 16)
		if err != nil {
			t.Fatal(err)
		}
		ports[m[1]] = uint16(n)
	}
	for name, portOf := range map[string]func(string) uint16{"STREAM_PATHS": streamPort, "DATAGRAM_PATHS": datagramPort} {
		table := regexp.MustCompile(`(?s)local ` + name + ` = \[\[(.*?)\]\]`).FindStringSubmatch(string(lua))
		if table == nil {
			t.Fatalf("no %s in the dissector", name)
		}
		rows := strings.Fields(table[1])
		for _, row := range rows {
			glob, _, _ := strings.Cut(row, "=")
			path := strings.ReplaceAll(glob, "*", "0")
			want := ports[protocolOf(rows, path)]
			if strings.HasSuffix(path, "/cups.sock") {
				want = 631 // HTTP too
			}
			checkPort(t, path, portOf(path), want)
		}
	}
}

// protocolOf is that of the first row that fits.
func protocolOf(rows []string, path string) string {
	for _, row := range rows {
		glob, protocol, _ := strings.Cut(row, "=")
		if fits(glob, path) {
			return protocol
		}
	}
	return ""
}
