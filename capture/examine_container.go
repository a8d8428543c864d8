package capture

import (
	"errors"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/sockcap/sockcap/capture/container"
)

// inContainer says whether an engine has started this, or may have: by what
// systemd's Container Interface wants of them, and our image says, or by the
// files that docker and podman make.
func inContainer() bool {
	if os.Getenv("container") != "" {
		return true
	}
	for _, name := range []string{"/.dockerenv", "/run/.containerenv"} {
		if _, err := os.Lstat(name); err == nil {
			return true
		}
	}
	return false
}

// cure is one of two, for a container and for elsewhere.
func cure(contained, other string) string {
	if inContainer() {
		return contained
	}
	return other
}

// checkHostFiles: paths and the names of containers are the host's.
func checkHostFiles() Check {
	c := Check{Name: "host files", Verdict: Fine, Found: "our own"}
	host, err := container.OpenHost()
	switch {
	case err != nil && inContainer():
		c.Verdict, c.Found = Refused, "are hidden"
		c.Cause = err.Error() + "; paths are then those of this container, and containers have no names"
		c.Cure = "docker run --cap-add SYS_PTRACE, where AppArmor is: --security-opt apparmor=unconfined; or -v /run:/run:ro and the like"
	case err != nil:
		c.Verdict, c.Found = Unknown, "our own, or those of a container: "+err.Error()
	case host != nil:
		c.Found = "seen from this container"
		host.Close()
	}
	return c
}

// seccompCure lets a container make the system calls for which it has the
// capabilities. Docker does so from 23.0 on, containerd from 1.7.
const seccompCure = "docker run --security-opt seccomp=unconfined"

// refusedCall is why a system call is refused for which there are capabilities.
const refusedCall = " is refused, by seccomp (as in a container) or a security module"

// callCure is what may help against that.
func callCure() string {
	return cure(seccompCure, "journalctl -k tells what a security module refuses; of a service: SystemCallFilter=")
}

// errNoBPF is that of bpf(2).
var errNoBPF = errors.New("the system call bpf" + refusedCall)

// refusesBPF says whether bpf(2) can't be called in spite of capabilities.
func refusesBPF() bool {
	if lacking(unix.CAP_BPF) != "" || checkUserNamespace().Verdict == Refused {
		return false // that is why
	}
	var attr [128]byte // of no map
	_, _, errno := unix.Syscall(unix.SYS_BPF, unix.BPF_MAP_LOOKUP_ELEM, uintptr(unsafe.Pointer(&attr)), uintptr(len(attr)))
	return errno == unix.EPERM || errno == unix.EACCES || errno == unix.ENOSYS
}
