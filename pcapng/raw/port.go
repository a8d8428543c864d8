package raw

import "strings"

// unknownPort is the server's where the path does not say what is spoken. No
// program takes it for anything, so Wireshark looks at the content.
const unknownPort = 40999

// streamPort is the TCP port of the protocol that a path's socket speaks, by
// which programs choose a decoder.
func streamPort(path string) uint16 {
	name := path[strings.LastIndexByte(path, '/')+1:]
	has := func(s string) bool { return strings.Contains(name, s) }
	switch {
	case name == "docker.sock", name == "podman.sock", name == "snapd.socket":
		return 80
	case strings.HasPrefix(name, "containerd") && strings.HasSuffix(name, ".sock"), name == "crio.sock":
		return 80 // gRPC; HTTP/2 has no other port without TLS
	case strings.HasPrefix(name, ".s.PGSQL."):
		return 5432
	case has("mysql"), has("maria"):
		return 3306
	case has("redis"), has("valkey"):
		return 6379
	case has("memcached"):
		return 11211
	case strings.HasPrefix(name, "mongodb-"):
		return 27017
	case strings.HasPrefix(name, "X") && strings.HasSuffix(path, "/.X11-unix/"+name):
		return 6000
	case name == "ldapi":
		return 389
	case strings.HasSuffix(path, "/dovecot/lmtp"), name == "dovecot-lmtp": // Postfix's own lmtp and smtp speak something else
		return 25
	case has("mqtt"), has("mosquitto"):
		return 1883
	case name == "cups.sock":
		return 631
	}
	return unknownPort
}

// datagramPort is the same for UDP.
func datagramPort(path string) uint16 {
	switch name := path[strings.LastIndexByte(path, '/')+1:]; name {
	case "log", "dev-log":
		return 514 // syslog
	}
	return unknownPort
}
