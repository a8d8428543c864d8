package capture

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/cilium/ebpf/rlimit"
	"golang.org/x/sys/unix"

	"github.com/sockcap/sockcap/capture/snapshot"
)

// checkCapabilities tells which of those needed are lacking, and who keeps them.
func checkCapabilities() Check {
	c := Check{Name: "capabilities", Verdict: Fine, Found: "all that a capture needs"}
	missing := lacking(needed[:]...)
	if missing == "" {
		return c
	}
	c.Verdict, c.Found, c.Cure = Refused, "without "+missing, grant()
	status, _ := os.ReadFile("/proc/self/status")
	switch { // kernel.unprivileged_bpf_disabled does not matter: what traces needs them anyway
	case bounded(needed[:]...):
		c.Cause = "whoever started this container or service has taken them away for good (the bounding set lacks them)"
		c.Cure = "docker run --cap-add BPF --cap-add PERFMON --cap-add SYSLOG --cap-add DAC_READ_SEARCH; of a service: CapabilityBoundingSet="
	case permitted(needed[:]...):
		c.Cause = "they are permitted, but not in effect"
		c.Cure = "setcap with +ep, not +p: " + setcap()
	case strings.Contains(string(status), "\nNoNewPrivs:\t1\n"):
		c.Cause = "this process may gain no privileges (no_new_privs), so neither sudo nor capabilities of a file do anything"
		c.Cure = "start it from a shell of its own, not from within the service or sandbox"
	case os.Geteuid() != 0:
		c.Cause = "it runs as an ordinary user, and the file of sockcap does not have them"
		c.Cure = "run it by sudo, or once: " + setcap()
	}
	return c
}

// setcap is the command that lets a user capture.
func setcap() string {
	exe, err := os.Executable()
	if err != nil {
		exe = "sockcap"
	}
	all := make([]string, 0, len(needed))
	for _, c := range needed {
		all = append(all, capabilityName(c))
	}
	return "sudo setcap " + strings.Join(all, ",") + "+ep " + exe
}

// bounded says whether the bounding set lacks one of them.
func bounded(capabilities ...uint) bool {
	for _, c := range capabilities {
		if has, err := unix.PrctlRetInt(unix.PR_CAPBSET_READ, uintptr(c), 0, 0, 0); err == nil && has == 0 {
			return true
		}
	}
	return false
}

// permitted says whether all of them are, in effect or not.
func permitted(capabilities ...uint) bool {
	var have [2]unix.CapUserData // version 3 has 64 bits
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	if unix.Capget(&header, &have[0]) != nil {
		return false
	}
	for _, c := range capabilities {
		if have[c/32].Permitted&(1<<(c%32)) == 0 {
			return false
		}
	}
	return true
}

// checkUserNamespace: capabilities of another one are none to the kernel's
// tracing, as capable() of kernel/capability.c asks for the initial one.
func checkUserNamespace() Check {
	c := Check{Name: "user namespace", Verdict: Fine, Found: "the host's"}
	ids, err := os.ReadFile("/proc/self/uid_map")
	switch {
	case err != nil:
		c.Verdict, c.Found = Unknown, err.Error()
	case strings.Join(strings.Fields(string(ids)), " ") != "0 0 4294967295":
		c.Verdict, c.Found = Refused, "not the host's"
		c.Cause = "root of a user namespace, as in a rootless container, is an ordinary user to the kernel"
		c.Cure = "run it on the host as root, or in a container that root started"
	}
	return c
}

// checkPIDs: the programs see the pids of the initial namespace only.
func checkPIDs() Check {
	c := Check{Name: "pid namespace", Verdict: Fine, Found: "the host's"}
	ns, err := os.Readlink("/proc/self/ns/pid")
	switch {
	case err != nil:
		c.Verdict, c.Found = Unknown, err.Error()
		c.Cure = "mount -t proc proc /proc"
	case ns != fmt.Sprintf("pid:[%d]", initialPIDNS):
		c.Verdict, c.Found = Refused, "a container's"
		c.Cause = "the kernel's programs see the host's pids, which would mean other processes here"
		c.Cure = "docker run --pid=host; in Kubernetes hostPID: true"
	}
	return c
}

// checkMemlock: before v5.11 maps count as locked memory.
func checkMemlock() Check {
	c := Check{Name: "locked memory", Verdict: Fine, Found: "no limit that matters"}
	if refusesBPF() {
		c.Verdict, c.Found = Unknown, "can't be told: "+errNoBPF.Error()
		return c
	}
	if err := rlimit.RemoveMemlock(); err != nil {
		c.Verdict, c.Found = Refused, "RLIMIT_MEMLOCK can't be raised"
		c.Cause = "this kernel counts the buffer as locked memory: " + err.Error()
		c.Cure = cure("docker run --ulimit memlock=-1", "run as root, or grant it cap_sys_resource; or before it: ulimit -l unlimited")
	}
	return c
}

// checkProcesses looks at what a snapshot would lack.
func checkProcesses() []Check {
	diag := Check{Name: "sock_diag", Verdict: Fine, Found: "tells the peers of sockets that are older than a capture"}
	others := Check{Name: "processes", Verdict: Fine, Found: "those of other users are shown"}
	spaces := Check{Name: "network namespaces", Verdict: Fine, Found: "the sockets of all are shown"}
	s, err := snapshot.Take(snapshot.Options{Holders: true, Names: true})
	if err != nil {
		s = &snapshot.Snapshot{NoDiag: err}
		others.Verdict, others.Found = Unknown, err.Error()
		spaces.Verdict, spaces.Found = Unknown, err.Error()
	}
	if s.NoDiag != nil {
		diag.Verdict, diag.Found = Refused, "can't be asked"
		diag.Cause = s.NoDiag.Error()
		diag.Cure = "modprobe unix_diag"
		var e *snapshot.Error
		if errors.As(s.NoDiag, &e) && e.Hint != "" {
			diag.Cure = e.Hint
		}
	}
	if n := s.Hidden.Processes; n > 0 {
		others.Verdict, others.Found = Refused, fmt.Sprintf("%d of other users are hidden", n)
		others.Cause = "who holds their sockets, and what program they run, is told only once they say something"
		others.Cure = cure("docker run --cap-add SYS_PTRACE", "run as root, or grant it cap_sys_ptrace")
	}
	if how := hidePID(); how != "" && lacking(unix.CAP_SYS_PTRACE) != "" {
		others.Verdict, others.Found = Refused, "those of other users are hidden"
		others.Cause = "/proc is mounted with " + how
		others.Cure = "run as root, or grant it cap_sys_ptrace, or: mount -o remount,hidepid=0 /proc"
	}
	if n := s.Hidden.Namespaces; n > 0 {
		spaces.Verdict, spaces.Found = Refused, fmt.Sprintf("the sockets in %d others, as of containers, are hidden", n)
		spaces.Cause = "those that are older than a capture are not known until something is said there"
		spaces.Cure = cure("docker run --cap-add SYS_ADMIN, which is given up once they are known", "run as root, or grant it cap_sys_admin")
	}
	return []Check{diag, others, spaces, checkHostFiles()}
}

// hidePID is the option of /proc that hides processes, empty if there is none.
func hidePID() string {
	mounts, _ := os.ReadFile("/proc/self/mountinfo")
	return hidePIDIn(string(mounts))
}

func hidePIDIn(mounts string) string {
	for line := range strings.Lines(mounts) {
		words := strings.Fields(line)
		if len(words) < 6 || words[4] != "/proc" {
			continue
		}
		for option := range strings.SplitSeq(words[len(words)-1], ",") {
			if how, ok := strings.CutPrefix(option, "hidepid="); ok && how != "0" && how != "off" {
				return option
			}
		}
	}
	return ""
}
