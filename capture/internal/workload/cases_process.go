package workload

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sockcap/sockcap/pcapng"
)

func processCases() []Case {
	return []Case{
		{Name: "procs-writers", About: "4 processes write on one inherited stream", run: procsWriters},
		{Name: "procs-alternate", About: "two processes and two threads write on one stream in turn, never at once", run: procsAlternate},
		{Name: "procs-readers", About: "two processes read one stream", run: procsReaders},
		{Name: "procs-pingpong", About: "501 messages each way between two processes", run: procsPingPong},
		{Name: "procs-prefork", About: "a child accepts, reads and answers on its parent's listener", run: procsPrefork},
		{Name: "procs-passed", About: "a connected socket passed to another process, which goes on", run: procsPassed},
		{Name: "procs-killed", About: "sender killed while blocked in a write", run: procsKilled},
		{Name: "procs-reader-killed", About: "receiver killed with data unread", run: procsReaderKilled},
		{Name: "procs-gone", About: "senders that have ended before their messages are read", run: procsGone},
		{Name: "procs-uid", About: "a sender of another user and group", run: procsUID},
		{Name: "procs-comm", About: "process and thread names with escape sequences, not UTF-8", run: procsComm},
		{Name: "procs-early", About: "a child process and its connection older than the capture", Early: true, run: procsEarly},
		{Name: "dgram-senders", About: "3 processes and 3 threads send to one datagram socket", run: dgramSenders},
		{Name: "dgram-receivers", About: "one socket sends to 5 datagram sockets in turn", run: dgramReceivers},
		{Name: "dgram-readers", About: "3 processes read one datagram socket", run: dgramReaders},
		{Name: "dgram-writers", About: "2 processes and 2 threads send on one datagram socket", run: dgramWriters},
	}
}

func args(n ...int) []string {
	s := make([]string, len(n))
	for i := range n {
		s[i] = strconv.Itoa(n[i])
	}
	return s
}

func procsWriters(e *Env) {
	c := e.connection(unix.SOCK_STREAM)
	const count, size = 53, 700
	total := 0
	for range 4 {
		e.spawn("write", args(1, count, size), c.client)
		total += count*size + count*(count-1)/2
	}
	for _, k := range e.kids {
		k.hear()
	}
	for _, k := range e.kids {
		k.tell()
	}
	e.main.read(c.server, total, 4099)
}

func procsAlternate(e *Env) {
	c := e.connection(unix.SOCK_STREAM)
	// Five threads, the child and this one: a byte tells apart eight tasks.
	k := e.spawn("write", args(5, 3, 40), c.client)
	for i := range 5 {
		e.thread("wl-in-turn", func(t *task) { t.put(c.client, 50+i, write) })
		e.wait()
		e.main.put(c.client, 60+i, write)
		k.hear()
		k.tell()
		e.main.read(c.server, 50+60+2*i+40+41+42, 4096)
	}
}

func procsReaders(e *Env) {
	c := e.connection(unix.SOCK_STREAM)
	for range 2 {
		e.spawn("read", args(64), c.server).hear()
	}
	e.close(c.server)
	for range 301 {
		e.main.put(c.client, 64, write)
	}
	e.close(c.client)
}

func procsPingPong(e *Env) {
	c := e.connection(unix.SOCK_STREAM)
	k := e.spawn("echo", args(501, 65), c.server)
	e.close(c.server)
	k.hear()
	e.echoed(c, 501, 65)
}

func (e *Env) echoed(c *conn, times, n int) {
	for range times {
		e.main.put(c.client, n, write)
		e.main.read(c.client, n, n)
	}
}

func procsPrefork(e *Env) {
	l := e.listen(unix.SOCK_STREAM, nil)
	const each = 7
	left := make(map[*kid]int) // connections that the kid will still accept
	for range 2 {
		k := e.spawn("accept", args(each, 120, 8003), l)
		k.hear()
		left[k] = each
	}
	for len(left) > 0 {
		c := e.dial(l, nil)
		k, m := firstOf(slices.Collect(maps.Keys(left)))
		e.accepted(c, m.Inodes[0])
		e.main.put(c.client, 120, write)
		e.main.read(c.client, 8003, 4096)
		if left[k]--; left[k] == 0 {
			delete(left, k)
		}
	}
}

// firstOf waits for a message of any of the kids.
func firstOf(kids []*kid) (*kid, message) {
	for {
		fds := make([]unix.PollFd, len(kids))
		for i, k := range kids {
			fds[i] = unix.PollFd{Fd: int32(k.pipe.Fd()), Events: unix.POLLIN}
		}
		if _, err := unix.Poll(fds, -1); err != nil {
			continue
		}
		for i, k := range kids {
			if fds[i].Revents&unix.POLLIN != 0 {
				return k, k.hear()
			}
		}
	}
}

func procsPassed(e *Env) {
	way := e.pair(unix.SOCK_STREAM)
	c := e.connection(unix.SOCK_STREAM)
	e.roundTrip(c.client, c.server, 201, write)
	e.roundTrip(c.server, c.client, 202, write)
	k := e.spawn("inherit", nil, way.server)
	e.close(way.server)
	k.hear()
	e.main.put(way.client, 9, sendMessage(1, nil, unix.UnixRights(c.server.fd))).FDs = 1
	e.close(c.server)
	e.main.put(c.client, 301, write)
	e.main.read(c.client, 302, 4096)
	k.join()
}

func procsKilled(e *Env) {
	c := e.connection(unix.SOCK_STREAM)
	k := e.spawn("blocked", args(5_000_001), c.client)
	k.hear()
	e.close(c.client)
	for !asleep(k.report.Tasks[0]) || queued(c.server) < 100_000 {
		time.Sleep(time.Millisecond)
	}
	k.kill()
	if n := e.main.readAll(c.server, 70_001); n >= 5_000_001 {
		fail("the write was not cut short")
	}
}

// queued is how many bytes s has to read.
func queued(s *sock) int {
	n, err := unix.IoctlGetInt(s.fd, unix.TIOCINQ)
	check("ioctl", err)
	return n
}

// asleep reports whether t is blocked.
func asleep(t Task) bool {
	stat, err := readLine(fmt.Sprintf("/proc/%d/task/%d/stat", t.PID, t.TID))
	check("read", err)
	return strings.HasPrefix(stat[strings.LastIndexByte(stat, ')')+1:], " S")
}

func procsReaderKilled(e *Env) {
	c := e.connection(unix.SOCK_STREAM)
	k := e.spawn("hold", nil, c.server)
	k.hear()
	e.close(c.server)
	e.main.put(c.client, 301, write)
	e.main.put(c.client, 50_003, write)
	k.kill()
	e.main.refuse(c.client, 302, unix.EPIPE, send(0))
}

func procsGone(e *Env) {
	r := e.receiver()
	for range 5 {
		k := e.spawn("sendto", append([]string{contractPath(r.bound)}, args(2, 31)...))
		e.datagrams(&sock{inode: k.hear().Inodes[0]}, r, pcapng.RoleClient)
		k.tell()
		k.join()
	}
	e.main.readMessages(r, 10)
}

func procsUID(e *Env) {
	c := e.connection(unix.SOCK_STREAM)
	e.spawn("odd", []string{"wl-user", "65534"}, c.client)
	e.main.read(c.server, 91, 4096)
}

func procsComm(e *Env) {
	c := e.connection(unix.SOCK_STREAM)
	for _, name := range []string{"\x1b[31mred\x07", "a b\"=\nc", "\u00e9\u00e9\u00e9\u00e9\u00e9\u00e9\u00e9\u00e9"} {
		e.spawn("odd", []string{name, "0"}, c.client)
		e.main.read(c.server, 91, 4096)
	}
	e.thread("\xff\xfe\x1b]0;x\x07", func(t *task) { t.put(c.client, 92, write) })
	e.wait()
	e.main.read(c.server, 92, 4096)
}

func procsEarly(e *Env) {
	c := e.connection(unix.SOCK_STREAM)
	k := e.spawn("echo", args(34, 33), c.server)
	e.close(c.server)
	k.hear()
	e.captureBegins()
	e.echoed(c, 34, 33)
}

func dgramSenders(e *Env) {
	r := e.receiver()
	path := contractPath(r.bound)
	for range 3 {
		k := e.spawn("sendto", append([]string{path}, args(101, 40)...))
		s := &sock{inode: k.hear().Inodes[0]}
		e.datagrams(s, r, pcapng.RoleClient)
	}
	for _, k := range e.kids {
		k.tell()
	}
	for i := range 3 {
		s := e.socket(unix.SOCK_DGRAM)
		e.datagrams(s, r, pcapng.RoleClient)
		e.thread("wl-sender-"+strconv.Itoa(i), func(t *task) {
			for j := range 101 {
				t.put(s, 50+j, sendTo(r.bound))
			}
		})
	}
	e.main.readMessages(r, 606)
}

func dgramReceivers(e *Env) {
	s := e.socket(unix.SOCK_DGRAM)
	var to []*sock
	for range 5 {
		r := e.receiver()
		e.datagrams(s, r, pcapng.RoleClient)
		to = append(to, r)
	}
	for i := range 7 {
		for j, r := range to {
			e.main.put(s, 10*i+j, sendTo(r.bound)).to(r)
		}
	}
	for _, r := range to {
		e.main.readMessages(r, 7)
	}
}

func dgramReaders(e *Env) {
	r, s := e.receiver(), e.socket(unix.SOCK_DGRAM)
	e.datagrams(s, r, pcapng.RoleClient)
	for range 3 {
		e.spawn("messages", nil, r).hear()
	}
	e.close(r)
	for i := range 301 {
		e.main.put(s, 20+i, sendTo(r.bound))
	}
	for range e.kids {
		e.main.put(s, stopLen, sendTo(r.bound))
	}
}

func dgramWriters(e *Env) {
	c := e.pair(unix.SOCK_DGRAM)
	for range 2 {
		e.spawn("write", args(1, 101, 30), c.client).hear()
	}
	for _, k := range e.kids {
		k.tell()
	}
	for i := range 2 {
		e.thread("wl-dgram-"+strconv.Itoa(i), func(t *task) {
			for j := range 101 {
				t.put(c.client, 70+j, send(0))
			}
		})
	}
	e.main.readMessages(c.server, 404)
}
