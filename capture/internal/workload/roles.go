package workload

import (
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"
)

// roles returns what a child process does in the role of that name.
func roles(name string) func(*home) {
	switch name {
	case "write":
		return roleWrite
	case "sendto":
		return roleSendTo
	case "read":
		return roleRead
	case "messages":
		return roleMessages
	case "turns":
		return roleTurns
	case "echo":
		return roleEcho
	case "accept":
		return roleAccept
	case "inherit":
		return roleInherit
	case "blocked":
		return roleBlocked
	case "hold":
		return roleHold
	case "odd":
		return roleOdd
	case "exec":
		return roleExec
	case "sendfile":
		return roleSendfile
	case "uring":
		return roleUring
	case "namesake":
		return roleNamesake
	case "puppet":
		return rolePuppet
	}
	return nil
}

// number is the i-th argument of a child.
func (h *home) number(i int) int {
	n, err := strconv.Atoi(h.args[i])
	check("argument", err)
	return n
}

func roleWrite(h *home) { h.rounds(write) }

// rounds sends in rounds, each when told: so many messages of a size and more;
// the first of these rounds may be known to be sent before accept.
func (h *home) rounds(do how) {
	rounds, count, size := h.number(0), h.number(1), h.number(2)
	early := 0
	if len(h.args) > 3 {
		early = h.number(3)
	}
	for round := range rounds {
		h.say(message{Text: "ready"})
		h.await()
		for i := range count {
			h.t.put(h.socks[0], size+i, do).PreAccept = round < early
		}
	}
}

// roleRead reads a stream to its end.
func roleRead(h *home) {
	h.say(message{Text: "ready"})
	h.t.readAll(h.socks[0], h.number(0))
}

// roleEcho answers each of count messages of size bytes by as many of its own.
func roleEcho(h *home) {
	h.say(message{Text: "ready"})
	for range h.number(0) {
		h.t.read(h.socks[0], h.number(1), 4096)
		h.t.put(h.socks[0], h.number(1), write)
	}
}

// roleAccept accepts, says what it got, reads a request and answers, count times.
func roleAccept(h *home) {
	h.say(message{Text: "ready"})
	for range h.number(0) {
		c := &conn{up: &Flow{}, client: &sock{}}
		h.e.accept(h.socks[0], c)
		h.say(message{Inodes: []uint64{c.server.inode}})
		h.t.read(c.server, h.number(1), 4096)
		h.t.put(c.server, h.number(2), write)
	}
}

// roleInherit gets a connected socket over its own and goes on with it.
func roleInherit(h *home) {
	h.say(message{Text: "ready"})
	r := h.t.account(h.socks[0])
	p, control := make([]byte, 100), make([]byte, 100)
	n, controlLen, _, _, err := unix.Recvmsg(h.socks[0].fd, p, control, unix.MSG_CMSG_CLOEXEC)
	check("recvmsg", err)
	r.add(p[:n])
	messages, err := unix.ParseSocketControlMessage(control[:controlLen])
	check("control message", err)
	fds, err := unix.ParseUnixRights(&messages[0])
	check("control message", err)
	s := h.e.adopt(fds[0], unix.SOCK_STREAM)
	h.t.read(s, 301, 4096)
	h.t.put(s, 302, write)
}

// roleBlocked says its report and then writes more than fits.
func roleBlocked(h *home) {
	s := h.socks[0]
	x := h.t.next(s, h.number(0))
	p := h.t.content(x)
	x.Done, x.Begin = unfinished, now()
	h.sayReport()
	_, err := write(s.fd, p)
	fail("the write ended: %v", err)
}

// roleHold has its socket open until it is killed.
func roleHold(h *home) {
	h.say(message{Text: "ready"})
	h.await()
}

// roleOdd takes a name, user and group, and writes on the socket it has.
func roleOdd(h *home) {
	check("comm", setComm(h.args[0]))
	check("comm", setThreadName(h.args[0]))
	comm, err := readLine("/proc/self/comm") // 15 bytes of it
	check("comm", err)
	h.t.Comm = comm
	if uid := h.number(1); uid != 0 {
		check("setgid", syscall.Setresgid(uid-1, uid-1, uid-1)) // all threads
		check("setuid", syscall.Setresuid(uid, uid, uid))
		h.t.UID, h.t.GID = uint32(uid), uint32(uid-1)
	}
	h.t.put(h.socks[0], 91, write)
}

// roleSendTo makes an unconnected socket, says its inode, and when told sends
// count messages of size and more to a path.
func roleSendTo(h *home) {
	s := h.e.socket(unix.SOCK_DGRAM)
	h.say(message{Inodes: []uint64{s.inode}})
	h.await()
	for i := range h.number(1) {
		h.t.put(s, h.number(2)+i, sendTo(fileAddress(h.args[0])))
	}
}

// stopLen is the length of the message that tells a reader to stop.
const stopLen = 3

// roleMessages reads messages until one of stopLen.
func roleMessages(h *home) {
	h.say(message{Text: "ready"})
	r := h.t.account(h.socks[0])
	p := make([]byte, 1<<16)
	for {
		n := receive(h.socks[0], p, 0)
		r.add(p[:n])
		if n == stopLen {
			return
		}
	}
}
