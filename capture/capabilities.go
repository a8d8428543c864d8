package capture

import (
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// needed are the capabilities with which a user other than root can capture:
// for the programs, for the kernel's symbols in /proc/kallsyms, and for tracefs
// and the socket files of others, which lie in closed directories.
var needed = [...]uint{unix.CAP_BPF, unix.CAP_PERFMON, unix.CAP_SYSLOG, unix.CAP_DAC_READ_SEARCH}

// lacking names those of the capabilities that are not in effect, with commas
// between; empty if all are. Where the kernel does not say it is empty too:
// what is refused later says so itself.
func lacking(capabilities ...uint) string {
	var have [2]unix.CapUserData // version 3 has 64 bits
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	if unix.Capget(&header, &have[0]) != nil {
		return ""
	}
	has := func(c uint) bool { return have[c/32].Effective&(1<<(c%32)) != 0 }
	var names []string
	for _, c := range capabilities {
		// SYS_ADMIN stands for these two: capability.h, bpf_capable() and perfmon_capable().
		general := (c == unix.CAP_BPF || c == unix.CAP_PERFMON) && has(unix.CAP_SYS_ADMIN)
		if !has(c) && !general {
			names = append(names, capabilityName(c))
		}
	}
	return strings.Join(names, ",")
}

// grant is the hint for who lacks capabilities.
func grant() string {
	hint := "grant it " + lacking(needed[:]...)
	if os.Geteuid() != 0 {
		return "run as root, or " + hint
	}
	return hint
}

// capabilityName is how setcap(8) calls one of those needed.
func capabilityName(c uint) string {
	switch c {
	case unix.CAP_BPF:
		return "cap_bpf"
	case unix.CAP_PERFMON:
		return "cap_perfmon"
	case unix.CAP_SYSLOG:
		return "cap_syslog"
	}
	return "cap_dac_read_search"
}
