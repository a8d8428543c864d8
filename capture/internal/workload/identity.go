package workload

import (
	"os"
	"runtime"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/sockcap/sockcap/pcapng"
)

// Identity is what a process says of itself; what it can't find out is empty,
// and not checked.
type Identity struct {
	OwnPID  uint32 // in its own pid namespace
	Exe     string // path of its program
	Cmdline string // its arguments, a NUL behind each
	Cgroups string // /proc/self/cgroup: a line for each hierarchy
}

// initialCgroups names the initial cgroup namespace: PROC_CGROUP_INIT_INO of
// include/linux/proc_ns.h. In another one paths begin elsewhere.
const initialCgroups = "cgroup:[4026531835]"

// ownIdentity is this process's.
func ownIdentity() Identity {
	i := Identity{OwnPID: uint32(unix.Getpid())}
	i.Exe, _ = os.Readlink("/proc/self/exe") // not after setuid
	text, _ := os.ReadFile("/proc/self/cmdline")
	i.Cmdline = string(text)
	if ns, err := os.Readlink("/proc/self/ns/cgroup"); err == nil && ns == initialCgroups {
		text, _ = os.ReadFile("/proc/self/cgroup")
		i.Cgroups = string(text)
	}
	return i
}

// wrong says what a packet has wrong of its sender, nothing if all is right.
func (i *Identity) wrong(p *pcapng.Packet, pid uint32) string {
	var inner uint32
	if i.OwnPID != pid {
		inner = i.OwnPID
	}
	switch {
	case i.OwnPID == 0: // nobody has looked
	case i.Exe != "" && p.Exe != i.Exe:
		return "exe " + p.Exe + ", want " + i.Exe
	case i.Cmdline != "" && p.Cmdline != i.arguments() && (p.Cmdline != "" || !argumentsFault):
		return "command line " + p.Cmdline + ", want " + i.Cmdline
	case i.Cgroups != "" && !i.isIn(p.Cgroup):
		return "cgroup " + p.Cgroup + ", want one of " + i.Cgroups
	case p.NSPID != inner:
		return "another pid in its own namespace"
	}
	return ""
}

// arguments is as much of them as a capture tells.
func (i *Identity) arguments() string {
	return strings.TrimRight(i.Cmdline[:min(len(i.Cmdline), maxArguments)], "\x00")
}

const maxArguments = 1024

// argumentsFault says that the arguments of a child that was forked a moment ago
// may not be readable in the kernel, see processes.argumentsOf.
const argumentsFault = runtime.GOARCH == "arm64"

// isIn reports whether a path is that of one of its groups.
func (i *Identity) isIn(path string) bool {
	for line := range strings.Lines(i.Cgroups) {
		if parts := strings.SplitN(strings.TrimSuffix(line, "\n"), ":", 3); slices.Contains(parts[len(parts)-1:], path) {
			return true
		}
	}
	return false
}
