package snapshot

import (
	"bytes"
	"cmp"
	"os"
	"slices"
	"strconv"

	"golang.org/x/sys/unix"

	"github.com/sockcap/sockcap/pcapng"
)

// kernelThread is PF_KTHREAD of include/linux/sched.h, in /proc/PID/stat.
const kernelThread = 0x00200000

// holders finds the descriptors of all processes that are sockets of ours.
func (t *taker) holders(s *Snapshot, byInode map[uint64]*Socket) error {
	pids, err := t.pids()
	if err != nil {
		return err
	}
	s.Processes = len(pids)
	for _, pid := range pids {
		if t.ended() {
			break
		}
		if t.process(pid, byInode) {
			s.Hidden.Processes++
		}
	}
	for _, socket := range s.Sockets {
		slices.SortFunc(socket.Holders, func(a, b Holder) int {
			return cmp.Or(cmp.Compare(a.Process.PID, b.Process.PID), cmp.Compare(a.FD, b.FD))
		})
	}
	return nil
}

// process looks into one process. It reports whether the process is hidden from
// us because it is another user's; one that ended meanwhile is passed over.
func (t *taker) process(pid string, byInode map[uint64]*Socket) (hidden bool) {
	number, err := strconv.ParseUint(pid, 10, 32)
	if err != nil {
		return false
	}
	dir, err := openProcess(t.proc, uint32(number))
	if err != nil {
		return false
	}
	defer unix.Close(dir)
	fds, err := unix.Openat(dir, "fd", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return isRefused(err) && isForeign(dir)
	}
	list := os.NewFile(uintptr(fds), "fd")
	defer list.Close()
	names, _ := list.Readdirnames(-1) // what was read before an error is true all the same
	var p *Process
	target := make([]byte, 64) // longer ones are no sockets
	for _, name := range names {
		n, err := unix.Readlinkat(fds, name, target)
		if err != nil {
			if isRefused(err) {
				return isForeign(dir)
			}
			continue
		}
		socket := byInode[socketInode(target[:n])]
		fd, err := strconv.ParseUint(name, 10, 32)
		if socket == nil || err != nil {
			continue
		}
		if p == nil {
			p = describe(dir, uint32(number), t.containers)
		}
		socket.Holders = append(socket.Holders, Holder{p, uint32(fd)})
	}
	return false
}

// socketInode is N of "socket:[N]", else 0.
func socketInode(target []byte) uint64 {
	if !bytes.HasPrefix(target, []byte("socket:[")) {
		return 0
	}
	return inBrackets(string(target), "socket:")
}

// isForeign reports whether a process is another user's, and none of the
// kernel's own threads, which hold no descriptors.
func isForeign(dir int) bool {
	flags := statField(readAt(dir, "stat"), 9)
	if flags == "" {
		return false // it has ended
	}
	if n, err := strconv.ParseUint(flags, 10, 64); err == nil && n&kernelThread != 0 {
		return false
	}
	uid, _ := ids(readAt(dir, "status"))
	return uid != pcapng.Unknown && uid != uint32(os.Geteuid()) // unknown: it has ended since
}
