package snapshot

import (
	"bytes"
	"slices"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sockcap/sockcap/capture/container"
	"github.com/sockcap/sockcap/pcapng"
)

// Look describes the process that has a pid now, nil if there is none. All of it
// is of one process.
func Look(pid uint32, names *container.Names) *Process {
	dir, err := openProcess("/proc", pid)
	if err != nil {
		return nil
	}
	defer unix.Close(dir)
	p := describe(dir, pid, names)
	if p.Start = startOf(readAt(dir, "stat")); p.Start == 0 {
		return nil // it has ended since
	}
	p.NSPID = ownPID(readAt(dir, "status"))
	p.Cmdline = string(bytes.TrimRight(readAt(dir, "cmdline"), "\x00"))
	p.Cmdline = p.Cmdline[:min(len(p.Cmdline), maxCmdline)]
	return p
}

// Started is when the process that has a pid now was started, as Process.Start
// has it, 0 if there is none.
func Started(pid uint32) time.Duration {
	dir, err := openProcess("/proc", pid)
	if err != nil {
		return 0
	}
	defer unix.Close(dir)
	return startOf(readAt(dir, "stat"))
}

// openProcess opens what is below proc of a process: all that is read there is
// of this one, even if another takes its number.
func openProcess(proc string, pid uint32) (dir int, err error) {
	return unix.Open(proc+"/"+strconv.FormatUint(uint64(pid), 10), unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
}

// maxCmdline is how much the kernel side of a capture tells of arguments.
const maxCmdline = 1024

// describe reads what is told of a process. What can't be had is left out.
func describe(dir int, pid uint32, names *container.Names) *Process {
	p := &Process{PID: pid, Comm: string(bytes.TrimSuffix(readAt(dir, "comm"), []byte("\n")))}
	p.UID, p.GID = ids(readAt(dir, "status"))
	target := make([]byte, unix.PathMax)
	if n, err := unix.Readlinkat(dir, "exe", target); err == nil {
		p.Exe = string(target[:n])
	}
	var group container.Group
	p.Cgroup, group = cgroup(string(readAt(dir, "cgroup")))
	name := names.Of(group)
	p.Container, p.ContainerName, p.Pod, p.Unit = group.Container, name.Name, name.Pod, group.Unit
	return p
}

// tick is what /proc counts time in: USER_HZ, 100 on every architecture that
// has programs of ours.
const tick = 10 * time.Millisecond

// startOf is when a process was started, by its stat: since the machine was,
// rounded down.
func startOf(stat []byte) time.Duration {
	n, err := strconv.ParseUint(statField(stat, 22), 10, 63)
	if err != nil {
		return 0
	}
	return max(time.Duration(n)*tick, 1) // the first process of all
}

// statField is a field of /proc/PID/stat that stands behind the name, in which
// there may be anything, as proc_pid_stat(5) counts; empty if it is not there.
func statField(stat []byte, number int) string {
	fields := bytes.Fields(stat[bytes.LastIndexByte(stat, ')')+1:])
	const name = 2 // the last before them
	if i := number - name - 1; i < len(fields) {
		return string(fields[i])
	}
	return ""
}

// statusFields are the values of a line of /proc/PID/status, in which the kernel
// escapes the name's newlines.
func statusFields(status []byte, key string) [][]byte {
	_, line, _ := bytes.Cut(status, []byte("\n"+key+":"))
	line, _, _ = bytes.Cut(line, []byte("\n"))
	return bytes.Fields(line)
}

// ownPID is the pid in the innermost of several pid namespaces, by
// /proc/PID/status; 0 if there is one.
func ownPID(status []byte) uint32 {
	fields := statusFields(status, "NSpid")
	if len(fields) < 2 {
		return 0
	}
	n, err := strconv.ParseUint(string(fields[len(fields)-1]), 10, 32)
	if err != nil {
		return 0
	}
	return uint32(n)
}

// ids are the effective user and group in /proc/PID/status.
func ids(status []byte) (uid, gid uint32) {
	id := func(key string) uint32 {
		fields := statusFields(status, key)
		if len(fields) < 2 {
			return pcapng.Unknown
		}
		n, err := strconv.ParseUint(string(fields[1]), 10, 32)
		if err != nil {
			return pcapng.Unknown
		}
		return uint32(n)
	}
	return id("Uid"), id("Gid")
}

// maxFile bounds what is read of a file in /proc.
const maxFile = 64 << 10

// readAt reads a file in dir, nothing if that can't be done.
func readAt(dir int, name string) []byte {
	fd, err := unix.Openat(dir, name, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil
	}
	defer unix.Close(fd)
	b := make([]byte, 0, 2048)
	for len(b) < maxFile {
		b = slices.Grow(b, 512)
		n, err := unix.Read(fd, b[len(b):cap(b)])
		if n <= 0 || err != nil {
			break
		}
		b = b[:len(b)+n]
	}
	return b
}
