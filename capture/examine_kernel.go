package capture

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/btf"
	"github.com/cilium/ebpf/link"
	"golang.org/x/sys/unix"
)

// checkLockdown tells what kernel_lockdown(7) is set to.
func checkLockdown() Check {
	c := Check{Name: "lockdown", Verdict: Fine, Found: "none"}
	mode, err := os.ReadFile("/sys/kernel/security/lockdown")
	switch {
	case err != nil:
		c.Verdict, c.Found = Unknown, "can't be told: "+err.Error()
		if !isMounted("/sys/kernel/security", unix.SECURITYFS_MAGIC) {
			c.Cure = cure("docker run -v /sys/kernel/security:/sys/kernel/security:ro", "mount -t securityfs securityfs /sys/kernel/security")
		} else {
			c.Verdict, c.Found = Fine, "this kernel has none"
		}
	case strings.Contains(string(mode), "[integrity]"):
		c.Verdict, c.Found = Refused, "integrity"
		c.Cause = "the kernel was booted so, as with Secure Boot: the hook sets fentry and kprobe are refused"
		c.Cure = "none is needed, tracepoints work; or boot without Secure Boot and without lockdown="
	case strings.Contains(string(mode), "[confidentiality]"):
		c.Verdict, c.Found = Refused, "confidentiality"
		c.Cause = "the kernel was booted so: no program may read its memory, so nothing can be captured"
		c.Cure = "boot with lockdown=integrity, or without"
	}
	return c
}

// isMounted says whether a file system of that kind is there.
func isMounted(dir string, magic int64) bool {
	var st unix.Statfs_t
	return unix.Statfs(dir, &st) == nil && int64(st.Type) == magic
}

// checkTypes: without BTF the programs can't find the kernel's fields.
func checkTypes() Check {
	c := Check{Name: "kernel types", Verdict: Fine, Found: "/sys/kernel/btf/vmlinux"}
	if _, err := btf.LoadKernelSpec(); err != nil {
		c.Verdict, c.Found, c.Cause = Refused, "there is no BTF", err.Error()
		c.Cure = "a kernel with CONFIG_DEBUG_INFO_BTF=y, as distributions have; /sys has to be mounted"
	}
	return c
}

// checkSymbols: where the kernel's functions are.
func checkSymbols() Check {
	c := Check{Name: "kernel symbols", Verdict: Fine, Found: "/proc/kallsyms"}
	if _, err := loadSymbols(kernelSymbols[:]); err != nil {
		c.Verdict, c.Found, c.Cause = Refused, "are hidden", err.Error()+": kernel.kptr_restrict is "+sysctl("kptr_restrict")
		c.Cure = "sysctl kernel.kptr_restrict=1"
	}
	return c
}

// sysctl is a setting of the kernel's, "unknown" if it can't be read.
func sysctl(name string) string {
	text, err := os.ReadFile("/proc/sys/kernel/" + name)
	if err != nil {
		return "unknown"
	}
	return strings.TrimSpace(string(text))
}

// checkRing makes a ring buffer of the size that a capture takes.
func checkRing() Check {
	size := bufferSize(0)
	c := Check{Name: "ring buffer", Verdict: Fine, Found: fmt.Sprintf("%d MiB, of %d MiB of memory", size>>20, memory()>>20)}
	m, err := ebpf.NewMap(&ebpf.MapSpec{Name: "doctor", Type: ebpf.RingBuf, MaxEntries: uint32(size)})
	if err == nil {
		m.Close()
		return c
	}
	c.Verdict, c.Found, c.Cause = Refused, fmt.Sprintf("none of %d MiB", size>>20), err.Error()
	switch {
	case errors.Is(err, unix.ENOMEM):
		c.Cure = "a smaller one: -B 8192 is 8 MiB; or give the container more memory"
	case errors.Is(err, unix.EPERM), errors.Is(err, unix.EACCES):
		c.Cause, c.Cure = errNoBPF.Error(), callCure()
	case errors.Is(err, unix.EINVAL), errors.Is(err, ebpf.ErrNotSupported):
		c.Cure = "a kernel from 5.8 on"
	}
	return c
}

// checkTracefs: it describes the classic tracepoints.
func checkTracefs() Check {
	c := Check{Name: "tracefs", Verdict: Fine}
	dir, err := tracefs()
	if err != nil {
		c.Verdict, c.Found = Refused, "not mounted"
		c.Cause = err.Error() + "; without it connect, accept and close are not seen, and each allocation in the kernel is slower"
		c.Cure = cure("docker run -v /sys/kernel/tracing:/sys/kernel/tracing:ro", "mount -t tracefs tracefs /sys/kernel/tracing")
		return c
	}
	c.Found = dir
	if _, err := eventFields(dir, "skb", "consume_skb", "skbaddr"); err != nil {
		c.Verdict, c.Cause = Refused, err.Error()
		c.Cure = "a kernel with CONFIG_FTRACE"
	}
	return c
}

// checkTracepoints opens a classic tracepoint, as perf_event_open(2) does.
func checkTracepoints() Check {
	c := Check{Name: "tracepoints", Verdict: Fine, Found: "can be attached to"}
	err := openTracepoint()
	if err == nil {
		return c
	}
	c.Verdict, c.Found, c.Cause = Refused, "can't be attached to", err.Error()
	switch {
	case errors.Is(err, errNoTracefs):
		c.Verdict, c.Found, c.Cause = Unknown, "not tried: see tracefs", ""
	case isParanoid(err):
		c.Cause, c.Cure = paranoidCause(), paranoidCure
	case errors.Is(err, unix.EPERM), errors.Is(err, unix.EACCES):
		c.Cause += ": the system call perf_event_open" + refusedCall
		c.Cure = callCure()
	}
	return c
}

var errNoTracefs = errors.New("there is no tracefs")

// openTracepoint opens one as attaching to it does, and closes it again.
func openTracepoint() error {
	dir, err := tracefs()
	if err != nil {
		return errNoTracefs
	}
	text, err := os.ReadFile(filepath.Join(dir, "events/skb/consume_skb/id"))
	if err != nil {
		return errNoTracefs
	}
	id, err := strconv.ParseUint(strings.TrimSpace(string(text)), 10, 64)
	if err != nil {
		return err
	}
	fd, err := unix.PerfEventOpen(&unix.PerfEventAttr{
		Type: unix.PERF_TYPE_TRACEPOINT, Config: id, Sample_type: unix.PERF_SAMPLE_RAW, Sample: 1, Wakeup: 1,
	}, -1, 0, -1, unix.PERF_FLAG_FD_CLOEXEC)
	if err != nil {
		return os.NewSyscallError("perf_event_open", err)
	}
	return unix.Close(fd)
}

// isParanoid says whether perf_event_open(2) was refused by what Debian has
// added to its kernels: where kernel.perf_event_paranoid is 3 or more, which is
// how they are set, it wants CAP_SYS_ADMIN and knows nothing of CAP_PERFMON.
func isParanoid(err error) bool {
	level, _ := strconv.Atoi(sysctl("perf_event_paranoid"))
	return refusedByParanoia(err, level, lacking(unix.CAP_SYS_ADMIN) != "")
}

func refusedByParanoia(err error, level int, lacksAdmin bool) bool {
	return errors.Is(err, unix.EACCES) && level > 2 && lacksAdmin
}

func paranoidCause() string {
	return "kernel.perf_event_paranoid is " + sysctl("perf_event_paranoid") + ": above 2, Debian's kernels let nobody but cap_sys_admin open a tracepoint"
}

const paranoidCure = "sysctl kernel.perf_event_paranoid=2, or run as root"

// checkRawTracepoints attaches a program that does nothing for a moment. Raw
// ones serve where classic ones can't be had.
func checkRawTracepoints() Check {
	c := Check{Name: "raw tracepoints", Verdict: Fine, Found: "can be attached to"}
	p, err := loadNothing(ebpf.RawTracepoint, 0, "")
	if err == nil {
		defer p.Close()
		var l link.Link
		if l, err = link.AttachRawTracepoint(link.RawTracepointOptions{Name: "consume_skb", Program: p}); err == nil {
			l.Close()
			return c
		}
	}
	c.Verdict, c.Found, c.Cause = Refused, "can't be attached to", err.Error()
	return c
}

// checkIterator: with it, what nobody reads is seen by the tracepoint set.
func checkIterator() Check {
	c := Check{Name: "iterators", Verdict: Fine, Found: "show what nobody reads"}
	p, err := loadNothing(ebpf.Tracing, ebpf.AttachTraceIter, "unix")
	if err == nil {
		p.Close()
		return c
	}
	c.Verdict, c.Found, c.Cause = Refused, "can't be used", err.Error()
	if errors.Is(err, ebpf.ErrNotSupported) || errors.Is(err, btf.ErrNotFound) {
		c.Cause = "this kernel has none of Unix sockets: the tracepoint set shows what nobody reads when its socket is closed"
		c.Cure = "a kernel from 5.16 on"
	}
	return c
}

// loadNothing loads a program that does nothing.
func loadNothing(kind ebpf.ProgramType, at ebpf.AttachType, to string) (*ebpf.Program, error) {
	return ebpf.NewProgram(&ebpf.ProgramSpec{
		Name: "doctor", Type: kind, AttachType: at, AttachTo: to, License: "GPL",
		Instructions: asm.Instructions{asm.Mov.Imm(asm.R0, 0), asm.Return()},
	})
}
