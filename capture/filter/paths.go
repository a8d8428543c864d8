package filter

import (
	"path"
	"strings"
)

// IsPath reports whether a command line argument is a socket address: a file
// name from the root ("/run/docker.sock") or an abstract name ("@name").
func IsPath(arg string) bool {
	return strings.HasPrefix(arg, "/") || strings.HasPrefix(arg, "@")
}

// Paths is a choice of sockets by address, several of them or-ed. The zero
// value chooses every socket.
//
// A file name chooses the socket of that name and, as if it were a directory,
// every socket below it. An abstract name chooses that one name, byte for
// byte. Names are compared as text, after the cleaning of [path.Clean]: who
// has the file system at hand does better by also comparing device and inode,
// which sees through symbolic links, bind mounts and relative names.
type Paths struct {
	names []string // abstract, or cleaned
}

// NewPaths returns the choice of the sockets at names, each of which must be
// one that [IsPath] accepts.
func NewPaths(names []string) Paths {
	var p Paths
	for _, n := range names {
		if strings.HasPrefix(n, "/") {
			n = path.Clean(n)
		}
		p.names = append(p.names, n)
	}
	return p
}

// All reports whether every socket is chosen.
func (p Paths) All() bool { return len(p.names) == 0 }

// Match reports whether the socket with this address is chosen. The address
// is written as in pcapng's Packet.Path; the empty one of an unnamed socket
// matches only where every socket does.
func (p Paths) Match(address string) bool {
	if p.All() {
		return true
	}
	if strings.HasPrefix(address, "/") {
		address = path.Clean(address)
	}
	for _, n := range p.names {
		if address == n || isBelow(address, n) {
			return true
		}
	}
	return false
}

// isBelow reports whether address, cleaned, lies in the directory dir.
func isBelow(address, dir string) bool {
	if !strings.HasPrefix(dir, "/") || !strings.HasPrefix(address, dir) {
		return false
	}
	return dir == "/" || len(address) > len(dir) && address[len(dir)] == '/'
}
