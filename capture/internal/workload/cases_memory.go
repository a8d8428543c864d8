package workload

import (
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Payload in memory that is not there when the kernel comes for it: a hook that
// read it there, or waited for it, would show or do harm.
func memoryCases() []Case {
	return []Case{
		{Name: "memory-absent", About: "payload in pages of a file that were never touched", run: func(e *Env) { e.sendFrom(absent) }},
		{Name: "memory-handed", About: "payload in pages that another thread hands over as they fault (userfaultfd)", run: func(e *Env) { e.sendFrom(handed) }},
		{Name: "memory-handed-writers", About: "the same, while others write to that stream", run: handedWriters},
	}
}

// sendFrom sends what lies in such memory, on sockets of all types.
func (e *Env) sendFrom(memory how) {
	for _, typ := range []int{unix.SOCK_STREAM, unix.SOCK_DGRAM, unix.SOCK_SEQPACKET} {
		c := e.pair(typ)
		for _, n := range []int{1, 4097, 60_013} {
			e.main.put(c.client, n, memory)
			e.main.read(c.server, n, n)
			e.roundTrip(c.client, c.server, 17, write)
		}
	}
}

func handedWriters(e *Env) {
	c := e.connection(unix.SOCK_STREAM)
	const times, n = 9, 9001
	for _, do := range []how{handed, write, write} {
		e.thread("wl-writer", func(t *task) {
			for range times {
				t.put(c.client, n, do)
			}
		})
	}
	e.main.read(c.server, 3*times*n, 50_021)
	e.wait()
}

// absent writes p from a mapping of a file that has it.
func absent(fd int, p []byte) (int, error) {
	f, err := os.CreateTemp("", "workload-absent-")
	check("create file", err)
	defer os.Remove(f.Name())
	defer f.Close()
	_, err = f.Write(p)
	check("write file", err)
	check("write back file", f.Sync())
	unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_DONTNEED) // where it lies on a disk
	m, err := unix.Mmap(int(f.Fd()), 0, len(p), unix.PROT_READ, unix.MAP_PRIVATE)
	check("map file", err)
	defer unix.Munmap(m)
	return write(fd, m)
}

// handed writes p from pages that are handed over one by one as they are missed.
func handed(fd int, p []byte) (int, error) {
	page := os.Getpagesize()
	m, err := unix.Mmap(-1, 0, (len(p)+page-1)/page*page, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS)
	check("map memory", err)
	defer unix.Munmap(m)
	faults := newFaults(m)
	defer faults.close()
	go faults.hand(p, page)
	return write(fd, m[:len(p)])
}

// The parts of <linux/userfaultfd.h> that handed uses.
const (
	uffdAPI      = 0xc018aa3f
	uffdRegister = 0xc020aa00
	uffdCopy     = 0xc028aa03

	uffdAPIVersion      = 0xaa
	uffdRegisterMissing = 1
	uffdPageFault       = 0x12
)

// faults tells of what is missed in a piece of memory.
type faults struct {
	fd     int
	memory uintptr
	end    [2]int // a pipe: its writing end closed, hand returns
	ended  chan struct{}
}

func newFaults(m []byte) *faults {
	fd, _, e := unix.Syscall(unix.SYS_USERFAULTFD, unix.O_CLOEXEC|unix.O_NONBLOCK, 0, 0)
	if e != 0 {
		notPossible("userfaultfd: %v", e)
	}
	f := &faults{fd: int(fd), memory: uintptr(unsafe.Pointer(&m[0])), ended: make(chan struct{})}
	api := [3]uint64{uffdAPIVersion}
	f.do("begin", uffdAPI, unsafe.Pointer(&api))
	register := [4]uint64{uint64(f.memory), uint64(len(m)), uffdRegisterMissing}
	f.do("register", uffdRegister, unsafe.Pointer(&register))
	check("pipe", unix.Pipe2(f.end[:], unix.O_CLOEXEC))
	return f
}

func (f *faults) do(what string, request uintptr, argument unsafe.Pointer) {
	if _, _, e := unix.Syscall(unix.SYS_IOCTL, uintptr(f.fd), request, uintptr(argument)); e != 0 {
		fail("userfaultfd: %s: %v", what, e)
	}
}

// hand hands over p, page by page. It runs beside the send that waits for it,
// which ends short if it can't.
func (f *faults) hand(p []byte, page int) {
	defer close(f.ended)
	for {
		wait := []unix.PollFd{{Fd: int32(f.fd), Events: unix.POLLIN}, {Fd: int32(f.end[0]), Events: unix.POLLIN}}
		if _, err := unix.Poll(wait, -1); err != nil && err != unix.EINTR || wait[1].Revents != 0 {
			return
		}
		var message [32]byte // struct uffd_msg
		if n, err := unix.Read(f.fd, message[:]); err != nil || n != len(message) || message[0] != uffdPageFault {
			continue
		}
		at := int(uintptr(*(*uint64)(unsafe.Pointer(&message[16])))-f.memory) / page * page
		content := make([]byte, page)
		copy(content, p[min(at, len(p)):])
		request := [5]uint64{uint64(f.memory) + uint64(at), uint64(uintptr(unsafe.Pointer(&content[0]))), uint64(page)}
		unix.Syscall(unix.SYS_IOCTL, uintptr(f.fd), uffdCopy, uintptr(unsafe.Pointer(&request)))
	}
}

func (f *faults) close() {
	unix.Close(f.end[1])
	<-f.ended
	unix.Close(f.end[0])
	unix.Close(f.fd)
}
