package capture

import (
	"runtime"
	"syscall"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

// brief is what a forked child does before it ends: it takes a name and writes
// to a socket, or executes a program that has the socket.
type brief struct {
	fd      uintptr
	name    []byte // ends in NUL; may be none
	text    []byte
	program []byte // ends in NUL; none: the child writes
	argv    []*byte
	envp    []*byte
	pid     int32 // to choose, 0: any
}

// cloneArgs is struct clone_args of linux/sched.h.
type cloneArgs struct {
	flags, pidfd, childTID, parentTID, exitSignal, stack, stackSize, tls uint64
	setTID                                                               uint64
	setTIDSize, cgroup                                                   uint64
}

// forkBrief forks a child that does so, and gives its pid.
func forkBrief(b *brief) (pid int, err error) {
	args := cloneArgs{exitSignal: uint64(unix.SIGCHLD)}
	if b.pid != 0 {
		args.setTID, args.setTIDSize = uint64(uintptr(unsafe.Pointer(&b.pid))), 1
	}
	var name, program, argv, envp uintptr
	if b.name != nil {
		name = uintptr(unsafe.Pointer(&b.name[0]))
	}
	text, n := uintptr(unsafe.Pointer(unsafe.SliceData(b.text))), uintptr(len(b.text))
	if b.program != nil {
		program = uintptr(unsafe.Pointer(&b.program[0]))
		argv, envp = uintptr(unsafe.Pointer(&b.argv[0])), uintptr(unsafe.Pointer(&b.envp[0]))
	}
	p, errno := forkRaw(&args, b.fd, name, text, n, program, argv, envp)
	runtime.KeepAlive(b)
	if errno != 0 {
		return 0, errno
	}
	return int(p), nil
}

// forkRaw's child has one thread of a program that needs several: it can make
// system calls and nothing else.
//
//go:norace
//go:noinline
//go:nosplit
func forkRaw(args *cloneArgs, fd, name, text, n, program, argv, envp uintptr) (pid uintptr, errno unix.Errno) {
	pid, _, errno = unix.RawSyscall(unix.SYS_CLONE3, uintptr(unsafe.Pointer(args)), unsafe.Sizeof(*args), 0)
	if errno != 0 || pid != 0 {
		return pid, errno
	}
	if name != 0 {
		unix.RawSyscall(unix.SYS_PRCTL, unix.PR_SET_NAME, name, 0)
	}
	if program != 0 {
		unix.RawSyscall(unix.SYS_FCNTL, fd, unix.F_SETFD, 0)
		unix.RawSyscall(unix.SYS_EXECVE, program, argv, envp)
	} else {
		unix.RawSyscall(unix.SYS_WRITE, fd, text, n)
	}
	for {
		unix.RawSyscall(unix.SYS_EXIT_GROUP, 1, 0, 0)
	}
}

// cStrings are pointers to texts that end in NUL, and none behind them.
func cStrings(t *testing.T, texts ...string) []*byte {
	t.Helper()
	all, err := syscall.SlicePtrFromStrings(texts)
	if err != nil {
		t.Fatal(err)
	}
	return all
}
