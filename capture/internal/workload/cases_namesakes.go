package workload

import (
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// nameSame is what containers do, which all have a /run of their own, and a
// /var/run that leads there.
func nameSame(e *Env) {
	in := func(name string) string { return filepath.Join(e.dir, name) }
	for _, name := range []string{"run", "one", "two"} {
		check("mkdir", os.Mkdir(in(name), 0o700))
	}
	check("symlink", os.Symlink(in("run"), in("link")))
	l := e.listen(unix.SOCK_STREAM, fileAddress(in("run/s")))
	var kids []*kid
	for _, own := range []string{"one", "two"} {
		k := e.spawnIn(unix.CLONE_NEWNS, "namesake", []string{in(own), in("run"), in("link/s")})
		k.hear()
		kids = append(kids, k)
	}
	for i, own := range []string{"one", "two"} { // from here, by the name that the file has here
		c := e.dial(l, fileAddress(in(own+"/s")))
		e.accepted(c, kids[i].hear().Inodes[0])
		e.main.put(c.client, 61, write)
		e.main.read(c.client, 71, 4096)
	}
	c := e.dial(l, fileAddress(in("link/s")))
	e.accept(l, c)
	e.roundTrip(c.client, c.server, 63, write)
	for _, k := range kids { // among themselves, all at once
		inodes := k.hear().Inodes
		within := &conn{client: &sock{inode: inodes[0]}}
		within.up = e.flow(Flow{Name: "client to server", Type: c.up.Type, From: inodes[0], Path: c.up.Path, Role: c.up.Role, Conn: e.newConn()})
		e.accepted(within, inodes[1])
	}
	for range 7 {
		for _, k := range kids {
			k.tell()
		}
		e.roundTrip(c.client, c.server, 64, write)
		for _, k := range kids {
			k.hear()
		}
	}
}

// roleNamesake mounts a folder of its own over one that all have, and listens
// there: to one from outside, and to itself.
func roleNamesake(h *home) {
	own, shared, link := h.args[0], h.args[1], h.args[2]
	check("mount", (&puppetCall{Text: own, Other: shared}).mount())
	l := h.e.listen(unix.SOCK_STREAM, fileAddress(filepath.Join(shared, "s")))
	h.say(message{Text: "ready"})
	c := &conn{up: &Flow{}, client: &sock{}}
	h.e.accept(l, c)
	h.say(message{Inodes: []uint64{c.server.inode}})
	h.t.read(c.server, 61, 4096)
	h.t.put(c.server, 71, write)
	within := h.e.dial(l, fileAddress(link))
	h.e.accept(l, within)
	h.say(message{Inodes: []uint64{within.client.inode, within.server.inode}})
	for range 7 {
		h.await()
		h.e.roundTrip(within.client, within.server, 65, write)
		h.say(message{Text: "told"})
	}
}
