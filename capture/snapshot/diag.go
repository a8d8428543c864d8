package snapshot

import (
	"bytes"
	"cmp"
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

	showAll   = 1<<(attributeUID+1) - 1 // UDIAG_SHOW_*, in the order of attributes but for shutdown
	showIcons = 1 << attributeIcons

	allStates = 1<<32 - 1
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

// dump asks the kernel for all Unix sockets of a network namespace, and then,
// of its listeners, who waits for accept: a dump ends without a word at what
// does not fit into a message, as a listener with a thousand who wait.
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
	busy := make(map[uint64]*Socket)
	err = ask(c, allStates, showAll&^showIcons, func(s *Socket) {
		if s.State == Listening && s.Received > 0 {
			busy[s.Inode] = s
		}
		found(s)
	})
	if err != nil || len(busy) == 0 {
		return err
	}
	if err := widen(c); err != nil {
		return &Error{Op: "ask", Name: "sock_diag", Err: err}
	}
	return ask(c, 1<<Listening, showIcons, func(s *Socket) {
		if l := busy[s.Inode]; l != nil {
			l.Pending = s.Pending
		}
	})
}

// Ask asks the kernel for nothing, to find out whether it can be asked. An
// error is an [*Error].
func Ask() error {
	c, err := netlink.Dial(unix.NETLINK_SOCK_DIAG, nil)
	if err != nil {
		return &Error{Op: "open", Name: "sock_diag", Err: err}
	}
	defer c.Close()
	return ask(c, 0, 0, func(*Socket) {})
}

// widest is how large the kernel makes messages at most (netlink_recvmsg), room
// for 8,000 who wait at one listener. Beyond that, it is not known at which
// listener they and those of the ones behind it wait.
const widest = 32 << 10

// widen has the kernel answer in messages of the widest size from now on: they
// are as large as the largest buffer into which an answer has been read, here
// to a question that has none.
func widen(c *netlink.Conn) error {
	if err := send(c, 0, 0); err != nil {
		return err
	}
	raw, err := c.SyscallConn()
	if err != nil {
		return err
	}
	answer := make([]byte, widest)
	var failed error
	err = raw.Read(func(fd uintptr) bool {
		_, _, failed = unix.Recvfrom(int(fd), answer, 0)
		return failed != unix.EAGAIN && failed != unix.EINTR
	})
	return cmp.Or(err, failed)
}

// send sends a request for a dump of sockets in these states.
func send(c *netlink.Conn, states, show uint32) error {
	_, err := c.Send(netlink.Message{
		Header: netlink.Header{Type: unix.SOCK_DIAG_BY_FAMILY, Flags: netlink.Request | netlink.Dump},
		Data:   request(states, show),
	})
	return err
}

// ask gives the sockets in these states with the attributes to show.
func ask(c *netlink.Conn, states, show uint32, found func(*Socket)) error {
	if err := send(c, states, show); err != nil {
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

// request is a struct unix_diag_req.
func request(states, show uint32) []byte {
	b := make([]byte, 24)
	b[0] = unix.AF_UNIX
	binary.NativeEndian.PutUint32(b[4:], states)
	binary.NativeEndian.PutUint32(b[12:], show)
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
