package workload

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/sockcap/sockcap/pcapng"
)

func passedCases() []Case {
	return []Case{
		{Name: "passed-kinds", About: "descriptors of every kind, one by one and together", run: passedKinds},
		{Name: "passed-many", About: "253 descriptors at once, several control messages, one file twice", run: passedMany},
		{Name: "passed-peek", About: "descriptors peeked at, read byte by byte, read by several calls", run: passedPeek},
		{Name: "passed-no-room", About: "a receiver without room for what is passed", run: passedNoRoom},
		{Name: "passed-unread", About: "descriptors thrown away with what is not read, or not accepted", run: passedUnread},
		{Name: "passed-large", About: "descriptors with 200,003 bytes, which the kernel queues in parts", run: passedLarge},
		{Name: "passed-mmsg", About: "descriptors with each of the messages of sendmmsg", run: passedMany2},
		{Name: "passed-uring", About: "descriptors passed by io_uring SENDMSG, by itself and by workers", run: passedUring},
		{Name: "passed-splice", About: "descriptors with what the reader splices", run: passedSplice},
		{Name: "passed-refused", About: "descriptors with sends that fail, then with others", run: passedRefused},
		{Name: "passed-credentials", About: "credentials, the sender's and others', asked for and not", run: passedCredentials},
	}
}

// socketTypes are those that pass along.
var socketTypes = []int{unix.SOCK_STREAM, unix.SOCK_DGRAM, unix.SOCK_SEQPACKET}

// object is something open, and how a record has it.
type object struct {
	fd int
	pcapng.FD
}

// object keeps fd open until the end of the case. An empty name is what readlink
// says.
func (e *Env) object(fd int, kind pcapng.FDKind, name string) object {
	e.addFD(fd)
	if name == "" {
		var err error
		name, err = os.Readlink(fmt.Sprintf("/proc/self/fd/%d", fd))
		check("readlink", err)
	}
	return object{fd, pcapng.FD{Num: uint32(fd), Kind: kind, Name: name}}
}

func (e *Env) open(path string, flags int, kind pcapng.FDKind) object {
	fd, err := unix.Open(path, flags|unix.O_CLOEXEC, 0o600)
	check("open", err)
	return e.object(fd, kind, "")
}

// inodeName is the name of what has no other.
func inodeName(fd int) string {
	inode, err := inodeOf(fd)
	check("fstat", err)
	return strconv.FormatUint(inode, 10)
}

// objects makes one of every kind that this kernel has.
func (e *Env) objects() []object {
	file := func(name string) string { return filepath.Join(e.dir, name) }
	const create = unix.O_CREAT | unix.O_RDWR
	all := []object{
		e.open(file("file"), create, pcapng.FDFile),
		e.open(file("a\nb \xff\x1b[31m"), create, pcapng.FDFile),
		e.open(e.dir, unix.O_RDONLY, pcapng.FDFile),
		e.open("/", unix.O_RDONLY, pcapng.FDFile),
		e.open(file("file"), unix.O_PATH, pcapng.FDFile),
		e.open("/proc/self/stat", unix.O_RDONLY, pcapng.FDFile),
		e.open("/dev/null", unix.O_RDWR, pcapng.FDDevice),
		e.open("/proc/self/ns/net", unix.O_RDONLY, pcapng.FDOther),
	}
	deep := e.dir
	for range 9 {
		deep = filepath.Join(deep, strings.Repeat("d", 222))
	}
	check("mkdir", os.MkdirAll(deep, 0o700))
	all = append(all, e.open(filepath.Join(deep, "file"), create, pcapng.FDFile))

	gone, err := unix.Open(file("gone"), create, 0o600)
	check("open", err)
	check("unlink", os.Remove(file("gone")))
	all = append(all, e.object(gone, pcapng.FDFile, ""))

	check("mkfifo", unix.Mkfifo(file("fifo"), 0o600))
	all = append(all, e.open(file("fifo"), unix.O_RDWR, pcapng.FDPipe))

	var pipe [2]int
	check("pipe", unix.Pipe2(pipe[:], unix.O_CLOEXEC))
	for _, fd := range pipe {
		all = append(all, e.object(fd, pcapng.FDPipe, inodeName(fd)))
	}
	for _, domain := range []int{unix.AF_UNIX, unix.AF_INET} {
		fd, err := unix.Socket(domain, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
		check("socket", err)
		all = append(all, e.object(fd, pcapng.FDSocket, inodeName(fd)))
	}
	for _, name := range []string{"wl mem\n", "", strings.Repeat("m", 249)} {
		fd, err := unix.MemfdCreate(name, unix.MFD_CLOEXEC)
		check("memfd_create", err)
		o := e.object(fd, pcapng.FDMemfd, "")
		o.Name = name
		all = append(all, o)
	}
	fd, err := unix.PidfdOpen(os.Getpid(), 0)
	check("pidfd_open", err)
	all = append(all, e.object(fd, pcapng.FDPidfd, strconv.Itoa(os.Getpid())))
	fd, err = unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	check("epoll_create", err)
	all = append(all, e.object(fd, pcapng.FDOther, ""))
	fd, err = unix.Eventfd(0, unix.EFD_CLOEXEC)
	check("eventfd", err)
	return append(all, e.object(fd, pcapng.FDOther, ""))
}

// pass notes what was passed along with a send.
func (x *Send) pass(all ...object) *Send {
	x.FDs = len(all)
	for _, o := range all {
		x.Passed = append(x.Passed, o.FD)
	}
	return x
}

// rights is the control message that passes them.
func rights(all ...object) []byte {
	var fds []int
	for _, o := range all {
		fds = append(fds, o.fd)
	}
	return unix.UnixRights(fds...)
}

// passing is the way to send with them.
func passing(all ...object) how { return sendMessage(2, nil, rights(all...)) }

func passedKinds(e *Env) {
	all := e.objects()
	for _, typ := range socketTypes {
		c := e.pair(typ)
		for i, o := range all {
			e.main.put(c.client, 1+i*101, passing(o)).pass(o)
			e.readControl(c.server, 1+i*101)
			e.main.put(c.client, 2, write).FDs = 0
			e.main.read(c.server, 2, 2)
		}
		e.main.put(c.client, 33, passing(all...)).pass(all...)
		e.readControl(c.server, 33)
	}
}

func passedMany(e *Env) {
	all := e.objects()
	file, null := all[0], all[6]
	twice, err := unix.Dup(file.fd)
	check("dup", err)
	again := e.object(twice, pcapng.FDFile, "")
	for _, typ := range socketTypes {
		c := e.pair(typ)
		most := make([]object, 253)
		for i := range most {
			most[i] = []object{null, file, all[1]}[i%3]
		}
		e.main.put(c.client, 17, passing(most...)).pass(most...)
		e.readControl(c.server, 17)

		e.main.put(c.client, 18, passing(file, again, file)).pass(file, again, file)
		e.main.put(c.client, 19, passing(again)).pass(again)
		e.readControl(c.server, 18)
		e.readControl(c.server, 19)

		own := unix.Ucred{Pid: int32(unix.Getpid()), Uid: uint32(unix.Getuid()), Gid: uint32(unix.Getgid())}
		control := append(append(rights(file, null), unix.UnixCredentials(&own)...), rights(again)...)
		e.main.put(c.client, 20, sendMessage(1, nil, control)).pass(file, null, again)
		e.readControl(c.server, 20)
	}
}

// readBytes reads n bytes, one at a time, the first by as many calls as there
// are flags.
func (e *Env) readBytes(s *sock, n int, flags ...int) {
	p := make([]byte, n)
	control := make([]byte, 4096)
	for _, f := range flags {
		_, size, _, _, err := unix.Recvmsg(s.fd, p, control, f|unix.MSG_CMSG_CLOEXEC)
		check("recvmsg", err)
		closePassed(control[:size])
	}
	if s.typ != unix.SOCK_STREAM {
		e.readControl(s, n)
		return
	}
	e.readControl(s, 1)
	e.main.read(s, n-1, 1)
}

func passedPeek(e *Env) {
	all := e.objects()
	file, null := all[0], all[6]
	for _, typ := range socketTypes {
		c := e.pair(typ)
		e.main.put(c.client, 7, passing(file, null)).pass(file, null)
		e.main.put(c.client, 5, write).FDs = 0
		e.main.put(c.client, 6, passing(null)).pass(null)
		e.readBytes(c.server, 7, unix.MSG_PEEK, unix.MSG_PEEK|unix.MSG_DONTWAIT, unix.MSG_PEEK)
		e.readBytesPlain(c.server, 5)
		e.readBytes(c.server, 6, unix.MSG_PEEK)
		e.main.put(c.client, 8, passing(null, file)).pass(null, file)
		e.readBytes(c.server, 8)
	}
}

func (e *Env) readBytesPlain(s *sock, n int) {
	if s.typ == unix.SOCK_STREAM {
		e.main.read(s, n, 2)
		return
	}
	e.main.readMessages(s, 1)
}

func passedNoRoom(e *Env) {
	all := e.objects()[:3]
	for _, typ := range socketTypes {
		c := e.pair(typ)
		e.main.put(c.client, 41, passing(all...)).pass(all...)
		e.readBytesPlain(c.server, 41)
		e.main.put(c.client, 42, passing(all...)).pass(all...)
		r := e.main.account(c.server)
		p, control := make([]byte, 42), make([]byte, unix.CmsgSpace(4))
		n, size, flags, _, err := unix.Recvmsg(c.server.fd, p, control, unix.MSG_CMSG_CLOEXEC)
		check("recvmsg", err)
		if flags&unix.MSG_CTRUNC == 0 {
			fail("there was room for what was passed")
		}
		closePassed(control[:size])
		r.add(p[:n])
	}
}

func passedUnread(e *Env) {
	all := e.objects()[:3]
	for _, typ := range socketTypes {
		c := e.pair(typ)
		e.main.put(c.client, 51, write).FDs = 0
		e.main.put(c.client, 52, passing(all...)).pass(all...)
		e.main.put(c.client, 53, passing(all[0])).pass(all[0])
		e.close(c.server)
	}
	l := e.listen(unix.SOCK_STREAM, nil)
	c := e.dial(l, nil)
	e.main.put(c.client, 54, passing(all...)).pass(all...)
	e.close(l)

	c = e.dial(e.listen(unix.SOCK_STREAM, nil), nil)
	e.main.put(c.client, 55, passing(all...)).pass(all...)
	e.close(c.client)
}

func passedLarge(e *Env) {
	all := e.objects()[:3]
	c := e.connection(unix.SOCK_STREAM)
	const n = 200_003
	e.thread("wl-reader", func(t *task) { t.read(c.server, 2*n, 30_011) })
	for range 2 {
		e.main.put(c.client, n, passing(all...)).pass(all...)
	}
}

func passedMany2(e *Env) {
	all := e.objects()
	for _, typ := range socketTypes {
		c := e.pair(typ)
		sends := e.main.tryMany(c.client, nil, []int{11, 12, 13}, -1, [][]byte{rights(all[0]), nil, rights(all[6], all[1])})
		sends[0].pass(all[0])
		sends[1].pass()
		sends[2].pass(all[6], all[1])
		for i, x := range sends {
			if x.Done != x.Len {
				fail("sendmmsg: message %d: %d of %d", i, x.Done, x.Len)
			}
			e.readBytesPlain(c.server, x.Len)
		}
	}
}

func passedUring(e *Env) {
	all := e.objects()[:3]
	for _, typ := range socketTypes {
		for _, flags := range []uint8{0, sqeAsync} {
			c := e.pair(typ)
			r := e.ring(c.client, false)
			for _, n := range []int{1, 4097} {
				x := e.main.try(c.client, n, r.sendWith(rights(all...), opSendmsg, flags))
				if x.Done != n {
					fail("io_uring sendmsg: %d of %d: %s", x.Done, n, x.Err)
				}
				x.pass(all...).Worker = flags != 0
				e.readControl(c.server, n)
			}
			check("close", r.close())
		}
	}
}

// passedSplice: splice reads no descriptors, they are closed.
func passedSplice(e *Env) {
	all := e.objects()[:3]
	c, pipe := e.connection(unix.SOCK_STREAM), e.pipe()
	for _, n := range []int{5, 4099} {
		e.main.put(c.client, n, passing(all...)).pass(all...).Hidden = true
		r := e.main.account(c.server)
		p := make([]byte, n)
		for at := 0; at < n; {
			got, err := unix.Splice(c.server.fd, nil, pipe[1], nil, n-at, 0)
			check("splice", err)
			_, err = unix.Read(pipe[0], p[at:at+int(got)])
			check("read", err)
			at += int(got)
		}
		r.add(p)
	}
}

// passedRefused: what a failed send passed is passed with nothing.
func passedRefused(e *Env) {
	all := e.objects()[:3]
	for _, typ := range socketTypes {
		c := e.pair(typ)
		sent := 0
		for {
			x := e.main.try(c.client, 60, func(fd int, p []byte) (int, error) {
				return sendmsg(fd, header(vectors(p, 1), nil, rights(all[0])), unix.MSG_DONTWAIT)
			})
			if x.Done == Failed {
				if x.Err != unix.EAGAIN.Error() && x.Err != unix.ETOOMANYREFS.Error() {
					fail("send: %s", x.Err)
				}
				break
			}
			x.pass(all[0])
			sent++
		}
		for range sent {
			e.readControl(c.server, 60)
		}
		e.main.put(c.client, 61, write).FDs = 0
		e.readBytesPlain(c.server, 61)
		e.main.put(c.client, 62, passing(all[1])).pass(all[1])
		e.readControl(c.server, 62)
	}
}

func passedCredentials(e *Env) {
	own := unix.Ucred{Pid: int32(unix.Getpid()), Uid: uint32(unix.Getuid()), Gid: uint32(unix.Getgid())}
	other := unix.Ucred{Pid: int32(unix.Getppid()), Uid: 1234, Gid: 567}
	wants := func(x *Send, c unix.Ucred) {
		x.Cred = &pcapng.Cred{PID: uint32(c.Pid), UID: c.Uid, GID: c.Gid}
	}
	const soPassPidfd = 76 // since v6.5
	for _, typ := range socketTypes {
		for _, asks := range []int{0, unix.SO_PASSCRED, soPassPidfd} {
			c := e.pair(typ)
			if asks != 0 && unix.SetsockoptInt(c.server.fd, unix.SOL_SOCKET, asks, 1) != nil {
				continue
			}
			x := e.main.put(c.client, 71, write)
			y := e.main.put(c.client, 72, sendMessage(1, nil, unix.UnixCredentials(&own)))
			for _, x := range []*Send{x, y} {
				if x.NoCred = asks == 0; asks != 0 {
					wants(x, own)
				}
			}
			wants(e.main.put(c.client, 73, sendMessage(1, nil, unix.UnixCredentials(&other))), other)
			for i := range 3 {
				e.readAnyControl(c.server, 71+i)
			}
		}
	}
}
