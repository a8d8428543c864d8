package main

import (
	"os"
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"
	"kernel.org/pub/linux/libs/security/libcap/psx"
)

// capabilities are a set of them, by their numbers as bits.
type capabilities uint64

// allThreads calls the kernel in every thread: rights are a thread's to Linux.
func allThreads(call, a, b uintptr) error {
	// By psx, as package syscall can do so only in programs without C, which
	// tests are not.
	if _, _, errno := psx.Syscall6(call, a, b, 0, 0, 0, 0); errno != 0 {
		return errno
	}
	return nil
}

// has says whether all of these are in the set.
func (c capabilities) has(all ...uint) bool {
	for _, n := range all {
		if c>>n&1 == 0 {
			return false
		}
	}
	return true
}

// effective are those that are in effect in this thread; none if that can't be
// told.
func effective() capabilities {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var all [2]unix.CapUserData
	if unix.Capget(&header, &all[0]) != nil {
		return 0
	}
	return capabilities(all[1].Effective)<<32 | capabilities(all[0].Effective)
}

// set makes these, as far as they are permitted now, all that is permitted and
// in effect. Nothing is inherited.
func (c capabilities) set() error {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var all [2]unix.CapUserData // version 3 has 64 bits
	if err := unix.Capget(&header, &all[0]); err != nil {
		return os.NewSyscallError("capget", err)
	}
	for i := range all {
		all[i].Permitted &= uint32(c >> (32 * i))
		all[i].Effective, all[i].Inheritable = all[i].Permitted, 0
	}
	err := allThreads(unix.SYS_CAPSET, uintptr(unsafe.Pointer(&header)), uintptr(unsafe.Pointer(&all[0])))
	runtime.KeepAlive(&header)
	runtime.KeepAlive(&all)
	return os.NewSyscallError("capset", err)
}

// boundAll lets nothing that is run get a capability any more, as far as we may
// say so; who may not, is kept from it by no_new_privs.
func boundAll() error {
	for c := uintptr(0); ; c++ {
		has, err := unix.PrctlRetInt(unix.PR_CAPBSET_READ, c, 0, 0, 0)
		switch {
		case err != nil: // no such capability
			return nil
		case has == 0:
			continue
		}
		switch err := allThreads(unix.SYS_PRCTL, unix.PR_CAPBSET_DROP, c); {
		case err == unix.EPERM:
			return nil
		case err != nil:
			return os.NewSyscallError("prctl", err)
		}
	}
}

// gainNothing sets no_new_privs.
func gainNothing() error {
	return os.NewSyscallError("prctl", allThreads(unix.SYS_PRCTL, unix.PR_SET_NO_NEW_PRIVS, 1))
}

// mayMake reports whether we may make files in a directory by its mode, without
// a capability that overrides it.
func mayMake(dir string) (may bool, err error) {
	err = withoutCapabilities(func() error {
		may = unix.Faccessat(unix.AT_FDCWD, dir, unix.W_OK|unix.X_OK, unix.AT_EACCESS) == nil
		return nil
	})
	return may, err
}
