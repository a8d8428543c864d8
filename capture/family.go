package capture

import (
	"errors"
	"os"
	"strconv"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"
)

// Family is a process, and all that it will ever make. What it stands for is
// what one of them sends, and what is queued to a socket that one of them uses.
// What a socket was sent that a stranger passed to a member (SCM_RIGHTS), before
// a member used it, is not seen by the hook sets that see a message when it is
// queued.
type Family struct {
	PID     int      // it runs no command yet, and has no descendants
	Sockets []uint64 // inodes of sockets that it has, see [Inherited]

	raw  bool   // for tests: as if there were no tracefs
	room uint32 // for tests: processes at a time; 0: as the programs have it
}

// familyMaps are what only a family needs.
var familyMaps = [...]string{"family", "former", "used", "doors"}

// makeRoom sizes what the programs know of a family: without one, next to
// nothing.
func (f *Family) makeRoom(spec *ebpf.CollectionSpec) {
	if f == nil {
		for _, name := range familyMaps {
			spec.Maps[name].MaxEntries = 1
		}
	} else if f.room > 0 {
		spec.Maps["family"].MaxEntries = f.room
	}
}

// Inherited gives the inodes of the sockets that a program gets from this
// process, that are not closed when it begins to run.
func Inherited() ([]uint64, error) {
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return nil, err
	}
	var inodes []uint64
	for _, e := range entries {
		fd, err := strconv.Atoi(e.Name())
		if err != nil {
			return nil, err
		}
		var st unix.Stat_t
		flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0)
		if err != nil || flags&unix.FD_CLOEXEC != 0 || unix.Fstat(fd, &st) != nil {
			continue // the folder's own is closed by now
		}
		if st.Mode&unix.S_IFMT == unix.S_IFSOCK {
			inodes = append(inodes, st.Ino)
		}
	}
	return inodes, nil
}

// familyCalls are the system calls that tell which sockets a process uses, but
// for those that send, which are seen anyway.
var familyCalls = [...]string{
	"read", "readv", "recvfrom", "recvmsg", "recvmmsg",
	"bind", "listen", "connect", "accept", "accept4",
}

// addFamily adds what tells of a family's processes and sockets.
func (p *plan) addFamily(f *Family) error {
	p.family = f
	p.knobs.FamilyOnly = true
	dir, err := tracefs()
	if err != nil || f.raw {
		p.addRawFamily()
		return nil
	}
	fork, err := eventFields(dir, "sched", "sched_process_fork", "child_pid")
	if err != nil {
		return err
	}
	p.knobs.ForkChild = fork["child_pid"]
	p.hooks = append(p.hooks,
		hook{"tracepoint_fork", "sched", "sched_process_fork", "tracepoint"},
		hook{"tracepoint_exit", "sched", "sched_process_exit", "tracepoint"})
	for _, call := range familyCalls {
		p.syscall("use_read", "sys_enter_"+call)
	}
	return nil
}

// addRawFamily is addFamily without tracefs. One program sees all system calls.
func (p *plan) addRawFamily() {
	p.hooks = append(p.hooks,
		hook{"raw_fork", "", "sched_process_fork", "raw"},
		hook{"raw_exit", "", "sched_process_exit", "raw"},
		hook{"raw_syscall", "", "sys_enter", "raw"})
}

// adopt tells the programs, before they are attached, where a family begins.
func (p *programs) adopt(f *Family) error {
	one := uint32(1)
	err := p.coll.Maps["family"].Put(uint32(f.PID), one)
	for _, inode := range f.Sockets {
		err = errors.Join(err, p.coll.Maps["used"].Update(inode, one, ebpf.UpdateAny))
	}
	if err != nil {
		return &Error{Op: "choose processes", Name: "family", Err: err}
	}
	return nil
}
