package workload

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// forkPlan is what a forked child does. Such a child has one thread of a
// program that needs several: it can make system calls and nothing else, so
// all that it needs is made before.
type forkPlan struct {
	turns, reports uintptr // descriptors: a byte is read before each send, its result written after
	sends          [14]forkSend
	hold           [][]byte // what the sends point to
	result         [8]byte
}

type forkSend struct{ fd, data, n uintptr }

// forkChild forks, and returns the child's pid. The child never returns.
//
//go:norace
//go:noinline
//go:nosplit
func forkChild(p *forkPlan) (pid uintptr, errno unix.Errno) {
	pid, _, errno = unix.RawSyscall6(unix.SYS_CLONE, uintptr(unix.SIGCHLD), 0, 0, 0, 0, 0)
	if errno != 0 || pid != 0 {
		return pid, errno
	}
	for i := 0; i < len(p.sends); i++ {
		s := &p.sends[i]
		unix.RawSyscall(unix.SYS_READ, p.turns, uintptr(unsafe.Pointer(&p.result[0])), 1)
		n, _, e := unix.RawSyscall(unix.SYS_WRITE, s.fd, s.data, s.n)
		if e != 0 {
			n = 0
		}
		p.result[0], p.result[1] = byte(n), byte(n>>8)
		unix.RawSyscall(unix.SYS_WRITE, p.reports, uintptr(unsafe.Pointer(&p.result[0])), 8)
	}
	for {
		unix.RawSyscall(unix.SYS_EXIT_GROUP, 0, 0, 0)
	}
}

func writeByte(fd int) error {
	_, err := unix.Write(fd, []byte{1})
	return err
}
