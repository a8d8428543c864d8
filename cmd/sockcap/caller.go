package main

import (
	"errors"
	"os"
	"runtime"

	"golang.org/x/sys/unix"
)

// asCaller calls open with the rights of the user who called us: the
// capabilities that a file has (setcap) are for capturing, not for reading
// files of others. Root's stay, and so does what sudo gave.
func asCaller(open func() error) error {
	if os.Geteuid() == 0 {
		return open()
	}
	return withoutCapabilities(open)
}

// withoutCapabilities calls do with none in effect.
func withoutCapabilities(do func() error) error {
	var had [2]unix.CapUserData // version 3 has 64 bits
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	if err := unix.Capget(&header, &had[0]); err != nil {
		return err
	}
	if had[0].Effective|had[1].Effective == 0 {
		return do()
	}
	runtime.LockOSThread() // capabilities are a thread's
	without := had
	without[0].Effective, without[1].Effective = 0, 0
	if err := unix.Capset(&header, &without[0]); err != nil {
		runtime.UnlockOSThread()
		return err
	}
	err := do()
	if back := unix.Capset(&header, &had[0]); back != nil {
		return errors.Join(err, back) // the thread stays locked: it is not like the others
	}
	runtime.UnlockOSThread()
	return err
}
