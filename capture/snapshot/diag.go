package snapshot

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io/fs"
	"strings"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"

	"github.com/sockcap/sockcap/pcapng"
)

// Messages of include/uapi/linux/unix_diag.h. They are in the machine's own
// byte order.
const (
	messageLen = 16 // struct unix_diag_msg, which attributes follow

	attributeName     = 0
	attributeVFS      = 1
	attributePeer     = 2
	attributeIcons    = 3
	attributeQueues   = 4
	attributeMemory   = 5
	attributeShutdown = 6
	attributeUID      = 7

	showAll = 1<<(attributeUID+1) - 1 // UDIAG_SHOW_*, in the order of attributes but for shutdown
)

// What skmeminfo has at which place (include/uapi/linux/sock_diag.h).
const (
	memoryReceive = iota
	memoryReceiveMax
	memorySend
	memorySendMax
	memoryFields
)

var errShort = errors.New("message is too short")

// dump asks the kernel for all Unix sockets of a network namespace.
func dump(n namespace, found func(*Socket)) error {
	config := new(netlink.Config)
	if n.file != nil {
		config.NetNS = int(n.file.Fd())
	}
	c, err := netlink.Dial(unix.NETLINK_SOCK_DIAG, config)
	if err != nil {
		return &Error{Op: "open", Name: "sock_diag", Err: err}
	}
	defer c.Close()
	return ask(c, found)
}

// ask is dump on an open connection.
func ask(c *netlink.Conn, found func(*Socket)) error {
	_, err := c.Send(netlink.Message{
		Header: netlink.Header{Type: unix.SOCK_DIAG_BY_FAMILY, Flags: netlink.Request | netlink.Dump},
		Data:   request(),
	})
	if err != nil {
		return &Error{Op: "ask", Name: "sock_diag", Err: err}
	}
	for m, err := range c.ReceiveIter() {
		if errors.Is(err, fs.ErrNotExist) {
			return &Error{Op: "ask", Name: "sock_diag", Err: err, Hint: "the kernel lacks unix_diag: modprobe unix_diag may help"}
		}
		if err != nil {
			return &Error{Op: "ask", Name: "sock_diag", Err: err}
		}
		s, err := decode(m.Data)
		if err != nil {
			return &Error{Op: "decode", Name: "sock_diag", Err: err}
		}
		found(s)
	}
	return nil
}

// request is a struct unix_diag_req for all sockets with all attributes.
func request() []byte {
	b := make([]byte, 24)
	b[0] = unix.AF_UNIX
	binary.NativeEndian.PutUint32(b[4:], 1<<32-1) // states
	binary.NativeEndian.PutUint32(b[12:], showAll)
	return b
}

// decode makes a socket of a struct unix_diag_msg and its attributes. It keeps
// nothing of b.
func decode(b []byte) (*Socket, error) {
	if len(b) < messageLen {
		return nil, errShort
	}
	s := &Socket{
		Type: pcapng.SocketType(b[1]), State: State(b[2]),
		Inode: uint64(binary.NativeEndian.Uint32(b[4:])),
		UID:   pcapng.Unknown,
	}
	d, err := netlink.NewAttributeDecoder(b[messageLen:])
	if err != nil {
		return nil, err
	}
	for d.Next() {
		switch d.Type() {
		case attributeName:
			s.Address = Address(d.Bytes())
		case attributeVFS:
			if v := numbers(d.Bytes()); len(v) >= 2 {
				s.File, s.Device = v[0], v[1]
			}
		case attributePeer:
			s.Connected, s.Peer = true, uint64(d.Uint32())
		case attributeIcons:
			for _, inode := range numbers(d.Bytes()) {
				s.Pending = append(s.Pending, uint64(inode))
			}
		case attributeQueues:
			if v := numbers(d.Bytes()); len(v) >= 2 {
				s.Received, s.Sent = v[0], v[1]
			}
		case attributeMemory:
			if v := numbers(d.Bytes()); len(v) >= memoryFields {
				s.Memory = Memory{v[memoryReceive], v[memoryReceiveMax], v[memorySend], v[memorySendMax]}
			}
		case attributeShutdown:
			s.Shutdown = d.Uint8()
		case attributeUID:
			s.UID = d.Uint32()
		}
	}
	return s, d.Err()
}

// numbers are the 32-bit numbers that b is made of.
func numbers(b []byte) []uint32 {
	v := make([]uint32, 0, len(b)/4)
	for ; len(b) >= 4; b = b[4:] {
		v = append(v, binary.NativeEndian.Uint32(b))
	}
	return v
}

// Address is sun_path, as far as bind(2) took it, in the form of
// pcapng.Packet.Path.
func Address(sunPath []byte) string {
	if len(sunPath) == 0 {
		return ""
	}
	if sunPath[0] == 0 {
		return "@" + string(sunPath[1:])
	}
	if end := bytes.IndexByte(sunPath, 0); end >= 0 {
		sunPath = sunPath[:end]
	}
	if strings.HasPrefix(string(sunPath), "@") {
		return "./" + string(sunPath)
	}
	return string(sunPath)
}
