package capture

import (
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Kept are the capabilities that a session goes on using, as far as this
// process has them, each by its bit: to the end those with which it looks at
// files and processes of others (what a socket's file is, who has a pid, the
// names of containers), and where the kernel lets nobody else call bpf(2), as
// before v5.19, BPF; at first, until Options.Begun is called, those for the
// sockets that are older than the capture, in other network namespaces too.
// Whatever else a process has, it may give up once Start has returned.
func Kept() (toEnd, atFirst uint64) {
	toEnd = bit(unix.CAP_DAC_READ_SEARCH) | bit(unix.CAP_SYS_PTRACE)
	if callsBPF() {
		toEnd |= bit(unix.CAP_BPF)
	}
	return toEnd, bit(unix.CAP_SYS_ADMIN)
}

func bit(capability uint) uint64 { return 1 << capability }

// callsBPF says whether BPF is needed to call bpf(2) at all: for what programs
// have missed, and to walk the sockets. It tries it without; capabilities are a
// thread's.
func callsBPF() bool {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var had [2]unix.CapUserData // version 3 has 64 bits
	if unix.Capget(&header, &had[0]) != nil {
		return true
	}
	without := had
	without[0].Effective, without[1].Effective = 0, 0
	if unix.Capset(&header, &without[0]) != nil {
		return true
	}
	var attr [128]byte // of no map
	_, _, errno := unix.Syscall(unix.SYS_BPF, unix.BPF_MAP_LOOKUP_ELEM, uintptr(unsafe.Pointer(&attr)), uintptr(len(attr)))
	if unix.Capset(&header, &had[0]) != nil {
		return true
	}
	return errno == unix.EPERM
}
