package raw

import (
	"hash/fnv"
	"strings"
)

// The server's ports where the path does not say what is spoken: one of these
// for each path, so that what a user tells Wireshark of a port (Decode As) is
// said of that path. Wireshark 4.0 takes none of them for anything.
const (
	firstUnknown = 42000
	unknownPorts = 2000
)

// services are globs of paths, before them the usual port of what is spoken
// there, by which programs choose a decoder; the first that fits counts. They
// are the dissector's (wireshark/sockcap.lua), as far as there is a port.
type services []struct {
	port  uint16 // 0: there is none
	globs string
}

// streamPort is the port of a stream socket's path.
func streamPort(path string) uint16 {
	return services{
		{0, "*/containerd*.sock.ttrpc */containerd/s/* @/containerd-shim/*"},
		{80, `*/containerd*.sock */crio.sock */cri-dockerd.sock */dockershim.sock */buildkitd.sock
			*/kubelet/*.sock */kubelet/*reg.sock */csi*.sock */spire*.sock`}, // gRPC: Wireshark's http dissector knows HTTP/2 by its first bytes
		{80, `*/docker.sock */docker/plugins/*.sock */podman.sock */podman/*.sock */snapd*.socket
			*/lxd*/unix.socket */incus*/unix.socket *gunicorn*.sock *unicorn*.sock *puma*.sock
			*/tailscaled.sock */crowdsec*.sock`},
		{631, "*/cups.sock"},
		{5432, "*/.s.PGSQL.*"}, {33060, "*mysqlx*.sock"}, {3306, "*mysql*.sock *maria*.sock"},
		{6379, "*redis*.sock *valkey*.sock *keydb*.sock"}, {11211, "*memcached*"}, {27017, "*mongodb-*.sock"},
		{6000, "*/.X11-unix/X*"}, {4713, "*/pulse/native */.pulse-*/native"},
		{389, "*/ldapi */slapd-*.socket"}, {1883, "*mosquitto* *mqtt*"}, {25, "*lmtp*"},
		{111, "*/rpcbind.sock"}, {10809, "*nbd*.sock"}, {5900, "*vnc*.sock"},
	}.port(path)
}

// datagramPort is the same of the other kinds of sockets.
func datagramPort(path string) uint16 {
	return services{{514, "*/dev/log */dev-log */journal/syslog */dev/log* */log"}}.port(path)
}

func (s services) port(name string) uint16 {
	for _, row := range s {
		for glob := range strings.FieldsSeq(row.globs) {
			switch {
			case !fits(glob, name):
			case row.port == 0:
				return unknownPort(name)
			default:
				return row.port
			}
		}
	}
	return unknownPort(name)
}

// fits reports whether a glob, in which * is any bytes, is that of a path. Its
// time grows with the path's length only.
func fits(glob, name string) bool {
	begin, rest, ok := strings.Cut(glob, "*")
	if !ok {
		return name == glob
	}
	if name, ok = strings.CutPrefix(name, begin); !ok {
		return false
	}
	for {
		part, more, ok := strings.Cut(rest, "*")
		if !ok {
			return strings.HasSuffix(name, part)
		}
		if _, name, ok = strings.Cut(name, part); !ok { // the first is as good as any
			return false
		}
		rest = more
	}
}

func unknownPort(path string) uint16 {
	h := fnv.New32a()
	h.Write([]byte(path))
	return firstUnknown + uint16(h.Sum32()%unknownPorts)
}
