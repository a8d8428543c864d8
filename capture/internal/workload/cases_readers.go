package workload

import (
	"strconv"

	"golang.org/x/sys/unix"

	"github.com/sockcap/sockcap/pcapng"
)

// readersCases are about who reads: not who made the socket, or the listener.
func readersCases() []Case {
	return []Case{
		{Name: "readers-postmaster", About: "a parent accepts and hands each connection to a child of its own, as postgres does", run: readersPostmaster},
		{Name: "readers-activated", About: "a listener made by one process and inherited by another, as systemd does it; data is there before", run: readersActivated},
		{Name: "readers-pair", About: "pairs of which one end is inherited by another program", run: readersPair},
		{Name: "readers-turn", About: "two processes read one stream and one datagram socket in turn; one finishes what the other began", run: readersTurn},
		{Name: "readers-threads", About: "more threads read one stream in turn than names are kept for; one takes other names", run: readersThreads},
	}
}

func readersPostmaster(e *Env) {
	l := e.listen(unix.SOCK_STREAM, nil)
	var all []*conn
	for range 3 {
		c := e.dial(l, nil)
		e.accept(l, c)
		k := e.spawn("echo", args(2, 120), c.server)
		e.close(c.server)
		k.hear()
		all = append(all, c)
	}
	for range 2 {
		for _, c := range all {
			e.echoed(c, 1, 120)
		}
	}
}

func readersActivated(e *Env) {
	l := e.listen(unix.SOCK_STREAM, nil)
	c := e.dial(l, nil)
	e.main.put(c.client, 120, write).PreAccept = true
	k := e.spawn("accept", args(1, 120, 8003), l)
	e.close(l)
	k.hear()
	e.accepted(c, k.hear().Inodes[0])
	e.main.read(c.client, 8003, 4096)
}

func readersPair(e *Env) {
	for _, typ := range []int{unix.SOCK_STREAM, unix.SOCK_DGRAM, unix.SOCK_SEQPACKET} {
		c := e.pair(typ)
		k := e.spawn("echo", args(7, 65), c.server)
		e.close(c.server)
		k.hear()
		e.echoed(c, 7, 65)
	}
}

func readersTurn(e *Env) {
	c, r, s := e.connection(unix.SOCK_STREAM), e.receiver(), e.socket(unix.SOCK_DGRAM)
	e.datagrams(s, r, pcapng.RoleClient)
	for _, x := range []struct {
		to   *sock
		send func(n int)
	}{
		{c.server, func(n int) { e.main.put(c.client, n, write) }},
		{r, func(n int) { e.main.put(s, n, sendTo(r.bound)) }},
	} {
		a := e.spawn("turns", args(40, 41, 0, 42), x.to)
		b := e.spawn("turns", args(50, 51, 52), x.to)
		for i := range 3 {
			x.send(40 + i)
			a.turn()
			x.send(50 + i)
			b.turn()
			if i == 1 {
				a.turn() // it takes another name
			}
		}
	}
	a := e.spawn("turns", args(60, 30), c.server)
	b := e.spawn("turns", args(39, 71), c.server)
	e.main.put(c.client, 100, write)
	a.turn()
	b.turn() // leaves a byte
	e.main.put(c.client, 100, write)
	a.turn()
	b.turn()
	e.close(c.server, r)
}

// turn lets a child read once more.
func (k *kid) turn() {
	k.tell()
	k.hear()
}

// roleTurns reads so many bytes when told, again and again; 0 bytes means to
// take another name.
func roleTurns(h *home) {
	for i := range h.args {
		h.await()
		if n := h.number(i); n > 0 {
			h.t.read(h.socks[0], n, 4096)
		} else {
			check("comm", setComm("wl-turned"))
			h.t = h.e.newTask("wl-turned")
		}
		h.say(message{Text: "read"})
	}
}

func readersThreads(e *Env) {
	const threads, rounds, size = 6, 3, 70
	c := e.connection(unix.SOCK_STREAM)
	var turns []chan int
	done := make(chan bool)
	for i := range threads {
		turn := make(chan int)
		turns = append(turns, turn)
		e.thread("wl-reader-"+strconv.Itoa(i), func(t *task) {
			first, name := t, t.Thread
			for n := range turn {
				if i == 1 && t == first { // and back the next time
					t = e.newTask("wl-renamed")
				} else if i == 1 {
					check("prctl", setThreadName(name))
					t = first
				}
				t.read(c.server, n, 4096)
				done <- true
			}
		})
	}
	for range rounds {
		for i, turn := range turns {
			e.main.put(c.client, size+i, write)
			turn <- size + i
			<-done
		}
	}
	for i := range 2 * rounds { // two in turn: their names are known
		e.main.put(c.client, size, write)
		turns[3+i%2] <- size
		<-done
	}
	for _, turn := range turns {
		close(turn)
	}
	e.wait()
}
