package snapshot

import (
	"bufio"
	"bytes"
	"os"
	"strconv"

	"github.com/sockcap/sockcap/pcapng"
)

// What /proc/net/unix has in its fields (net/unix/af_unix.c, unix_seq_show):
// Num, RefCount, Protocol, Flags, Type, St, Inode, and behind a space the path,
// if there is one.
const (
	fieldFlags = 3
	fieldType  = 4
	fieldState = 5
	fieldInode = 6
	nameFields = 7

	listens     = 1 << 16 // __SO_ACCEPTCON
	isConnected = 3       // SS_CONNECTED of include/uapi/linux/net.h
)

// names finds the sockets that have an inode in /proc/net/unix of each of the
// namespaces, the first of which must be had. A name may have a newline in it,
// and behind that what looks like the line of another socket: where two lines
// differ about one, its name is not known.
func (t *taker) names(namespaces []namespace, s *Snapshot, byInode map[uint64]*Socket) error {
	for i, n := range namespaces {
		file, err := os.Open(n.names)
		if err != nil && i == 0 {
			return &Error{Op: "read", Name: "socket names", Err: err}
		}
		if err != nil {
			continue // of a process that is gone
		}
		lines := bufio.NewScanner(file)
		for lines.Scan() && !t.ended() {
			found := named(lines.Bytes())
			if found == nil {
				continue
			}
			if known := byInode[found.Inode]; known != nil && known.Address != found.Address {
				known.Address = ""
			}
			t.add(s, byInode, n, found)
		}
		file.Close()
	}
	return nil
}

// named is the socket of a line, nil if the line is of none.
func named(line []byte) *Socket {
	var fields [nameFields][]byte
	rest := line
	for i := range fields {
		rest = bytes.TrimLeft(rest, " ")
		fields[i], rest, _ = bytes.Cut(rest, []byte(" "))
	}
	number := func(field, base int) uint64 {
		n, err := strconv.ParseUint(string(fields[field]), base, 64)
		if err != nil {
			return 0
		}
		return n
	}
	s := &Socket{
		Inode: number(fieldInode, 10), Type: pcapng.SocketType(number(fieldType, 16)), State: Unconnected,
		UID: pcapng.Unknown, Address: namedAddress(rest),
	}
	switch {
	case s.Inode == 0 || s.Type == 0:
		return nil
	case number(fieldFlags, 16)&listens != 0:
		s.State = Listening
	case number(fieldState, 16) == isConnected:
		s.State, s.Connected = Established, true
	}
	return s
}

// namedAddress is a path as /proc/net/unix has it. There an abstract one begins
// with @, in the place of its first byte, and a byte 0 in it is one too; so does
// a file name that begins with @, and nobody can tell.
func namedAddress(path []byte) string { return string(path) }
