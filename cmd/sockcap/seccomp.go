package main

import (
	"errors"
	"os"
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"
)

// forbidCalls takes from all threads, for good, the system calls that a capture
// which has begun has no use for, and that would be of use to whoever made it
// do his will: those by which one takes hold of other processes, makes programs
// for the kernel, gets at its rarer and less tried parts, or runs something; and
// unless it writes to the network, sockets. They fail with EPERM. A list of what
// is forbidden, not of what is allowed, is one that another Go, or another
// kernel, does not break. Where the kernel has no seccomp, or whoever runs us
// refuses it, nothing is changed. It needs no_new_privs.
func forbidCalls(network bool) error {
	arch := auditArch()
	if arch == 0 {
		return nil
	}
	program := callFilter(arch, network)
	filter := unix.SockFprog{Len: uint16(len(program)), Filter: &program[0]}
	// Without the last flag, kernels before v5.16 also turn off what a processor
	// guesses of memory, which makes all that we do slower.
	const flags = unix.SECCOMP_FILTER_FLAG_TSYNC | unix.SECCOMP_FILTER_FLAG_SPEC_ALLOW
	thread, _, errno := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, flags, uintptr(unsafe.Pointer(&filter)))
	runtime.KeepAlive(program)
	switch errno {
	case 0:
		if thread != 0 {
			return os.NewSyscallError("seccomp", errOtherFilter)
		}
		return nil
	case unix.ENOSYS, unix.EINVAL, unix.EPERM:
		return nil
	}
	return os.NewSyscallError("seccomp", errno)
}

// errOtherFilter cannot be: threads get filters from none but us.
var errOtherFilter = errors.New("a thread has another filter")

// auditArch is what seccomp(2) calls this architecture, 0 where we don't know.
func auditArch() uint32 {
	switch runtime.GOARCH {
	case "amd64":
		return unix.AUDIT_ARCH_X86_64
	case "arm64":
		return unix.AUDIT_ARCH_AARCH64
	}
	return 0
}

// forbidden are the calls that are of no use once a capture has begun.
func forbidden(network bool) []uint32 {
	all := []uint32{
		// Other processes, and what they have open.
		unix.SYS_PTRACE, unix.SYS_PROCESS_VM_READV, unix.SYS_PROCESS_VM_WRITEV, unix.SYS_PROCESS_MADVISE, unix.SYS_PIDFD_GETFD,
		unix.SYS_KCMP,
		// Programs.
		unix.SYS_EXECVE, unix.SYS_EXECVEAT,
		// Files by what no name leads to, and other views of them.
		unix.SYS_OPEN_BY_HANDLE_AT, unix.SYS_MOUNT, unix.SYS_UMOUNT2, unix.SYS_PIVOT_ROOT, unix.SYS_CHROOT, unix.SYS_MOVE_MOUNT,
		unix.SYS_OPEN_TREE, unix.SYS_FSOPEN, unix.SYS_FSCONFIG, unix.SYS_FSMOUNT, unix.SYS_FSPICK, unix.SYS_MOUNT_SETATTR,
		unix.SYS_SETNS, unix.SYS_UNSHARE, unix.SYS_SWAPON, unix.SYS_SWAPOFF, unix.SYS_QUOTACTL, unix.SYS_ACCT,
		// The kernel itself.
		unix.SYS_INIT_MODULE, unix.SYS_FINIT_MODULE, unix.SYS_DELETE_MODULE, unix.SYS_KEXEC_LOAD, unix.SYS_KEXEC_FILE_LOAD, unix.SYS_REBOOT,
		unix.SYS_PERF_EVENT_OPEN, unix.SYS_USERFAULTFD, unix.SYS_IO_URING_SETUP, unix.SYS_IO_URING_ENTER, unix.SYS_IO_URING_REGISTER,
		unix.SYS_ADD_KEY, unix.SYS_REQUEST_KEY, unix.SYS_KEYCTL, unix.SYS_SYSLOG, unix.SYS_PERSONALITY,
		unix.SYS_CLOCK_SETTIME, unix.SYS_CLOCK_ADJTIME, unix.SYS_SETTIMEOFDAY, unix.SYS_ADJTIMEX, unix.SYS_SETHOSTNAME, unix.SYS_SETDOMAINNAME,
	}
	if !network {
		all = append(all, unix.SYS_SOCKET)
	}
	return all
}

// forbiddenBPF are the commands of bpf(2) that make something new; what there is
// can be read, and walked.
func forbiddenBPF() []uint32 {
	return []uint32{
		unix.BPF_MAP_CREATE, unix.BPF_PROG_LOAD, unix.BPF_PROG_ATTACH, unix.BPF_RAW_TRACEPOINT_OPEN, unix.BPF_BTF_LOAD, unix.BPF_LINK_CREATE,
	}
}

// The places in struct seccomp_data, of linux/seccomp.h, of what is looked at.
const (
	callNumber   = 0
	callArch     = 4
	callArgument = 16 // the first, its lower half: both architectures have that in front
)

// callFilter is the program that refuses these calls, in classic BPF. A number
// of another architecture means another call: none of those is allowed, nor any
// of x32, whose numbers have a bit of their own.
func callFilter(arch uint32, network bool) []unix.SockFilter {
	const x32 = 0x40000000 // __X32_SYSCALL_BIT
	load := func(at uint32) unix.SockFilter {
		return unix.SockFilter{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: at}
	}
	give := func(what uint32) unix.SockFilter {
		return unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: what}
	}
	// skip goes so many steps further on if the value loaded is k, or is not.
	skip := func(test uint16, k uint32, yes, no int) unix.SockFilter {
		return unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_K | test, Jt: uint8(yes), Jf: uint8(no), K: k}
	}
	refuse, allow := give(unix.SECCOMP_RET_ERRNO|uint32(unix.EPERM)), give(unix.SECCOMP_RET_ALLOW)
	program := []unix.SockFilter{
		load(callArch), skip(unix.BPF_JEQ, arch, 1, 0), refuse,
		load(callNumber), skip(unix.BPF_JGE, x32, 0, 1), refuse,
	}
	for _, call := range forbidden(network) {
		program = append(program, skip(unix.BPF_JEQ, call, 0, 1), refuse)
	}
	commands := forbiddenBPF()
	program = append(program, skip(unix.BPF_JEQ, unix.SYS_BPF, 0, 1+2*len(commands)), load(callArgument))
	for _, command := range commands {
		program = append(program, skip(unix.BPF_JEQ, command, 0, 1), refuse)
	}
	return append(program, allow)
}
