package workload

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// address is a struct sockaddr_un, family included, of the exact length that
// is handed to the kernel. golang.org/x/sys takes a leading "@" for an
// abstract name and drops NULs; here nothing is touched.
type address []byte

const sunPath = 108 // bytes of sun_path

func newAddress(name string) address {
	return append(address{byte(unix.AF_UNIX), 0}, name...)
}

// fileAddress is the address of a socket file, abstractAddress that of an
// abstract name (without the leading NUL).
func fileAddress(path string) address {
	if len(path) == sunPath {
		return newAddress(path)
	}
	return newAddress(path + "\x00")
}
func abstractAddress(name string) address { return newAddress("\x00" + name) }

// contractPath is a, as Packet.Path has it.
func contractPath(a address) string {
	switch {
	case len(a) <= 2:
		return ""
	case a[2] == 0:
		return "@" + string(a[3:])
	}
	name := a[2:]
	for i, b := range name {
		if b == 0 {
			name = name[:i]
			break
		}
	}
	if name[0] == '@' {
		return "./" + string(name)
	}
	return string(name)
}

func errnoOf(e unix.Errno) error {
	if e == 0 {
		return nil
	}
	return e
}

func start(p []byte) unsafe.Pointer {
	if len(p) == 0 {
		return unsafe.Pointer(&zero)
	}
	return unsafe.Pointer(&p[0])
}

var zero byte // where empty buffers point

func bind(fd int, a address) error {
	_, _, e := unix.Syscall(unix.SYS_BIND, uintptr(fd), uintptr(start(a)), uintptr(len(a)))
	return errnoOf(e)
}

func connect(fd int, a address) error {
	_, _, e := unix.Syscall(unix.SYS_CONNECT, uintptr(fd), uintptr(start(a)), uintptr(len(a)))
	return errnoOf(e)
}

func localAddress(fd int) (address, error) {
	a := make(address, 2+sunPath+1)
	n := uint32(len(a))
	_, _, e := unix.Syscall(unix.SYS_GETSOCKNAME, uintptr(fd), uintptr(start(a)), uintptr(unsafe.Pointer(&n)))
	return a[:n], errnoOf(e)
}

// sendto sends p with flags, to a if it is not nil.
func sendto(fd int, p []byte, flags int, a address) (int, error) {
	var to unsafe.Pointer
	if a != nil {
		to = start(a)
	}
	n, _, e := unix.Syscall6(unix.SYS_SENDTO, uintptr(fd), uintptr(start(p)), uintptr(len(p)),
		uintptr(flags), uintptr(to), uintptr(len(a)))
	return count(n, e)
}

func writev(fd int, v []unix.Iovec) (int, error) {
	n, _, e := unix.Syscall(unix.SYS_WRITEV, uintptr(fd), uintptr(unsafe.Pointer(&v[0])), uintptr(len(v)))
	return count(n, e)
}

func sendmsg(fd int, m *unix.Msghdr, flags int) (int, error) {
	n, _, e := unix.Syscall(unix.SYS_SENDMSG, uintptr(fd), uintptr(unsafe.Pointer(m)), uintptr(flags))
	return count(n, e)
}

// mmsghdr is struct mmsghdr on 64-bit machines.
type mmsghdr struct {
	hdr unix.Msghdr
	n   uint32
	_   [4]byte
}

func sendmmsg(fd int, m []mmsghdr) (int, error) {
	n, _, e := unix.Syscall6(unix.SYS_SENDMMSG, uintptr(fd), uintptr(unsafe.Pointer(&m[0])), uintptr(len(m)), 0, 0, 0)
	return count(n, e)
}

func count(n uintptr, e unix.Errno) (int, error) {
	if e != 0 {
		return Failed, e
	}
	return int(n), nil
}

// vectors cuts p into n iovecs of odd and even lengths, empty ones among them
// if p is short.
func vectors(p []byte, n int) []unix.Iovec {
	v := make([]unix.Iovec, n)
	for i := range v {
		size := len(p) / (n - i)
		if i%2 == 1 && i < n-1 && size < len(p) {
			size++
		}
		v[i].Base = (*byte)(start(p[:size]))
		v[i].SetLen(size)
		p = p[size:]
	}
	return v
}

// header makes a struct msghdr; name and control may be nil.
func header(v []unix.Iovec, a address, control []byte) *unix.Msghdr {
	m := &unix.Msghdr{}
	if len(v) > 0 {
		m.Iov = &v[0]
		m.SetIovlen(len(v))
	}
	if a != nil {
		m.Name = (*byte)(start(a))
		m.Namelen = uint32(len(a))
	}
	if control != nil {
		m.Control = &control[0]
		m.SetControllen(len(control))
	}
	return m
}

func inodeOf(fd int) (uint64, error) {
	var st unix.Stat_t
	err := unix.Fstat(fd, &st)
	return st.Ino, err
}
