package workload

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/sockcap/sockcap/pcapng"
)

func nameCases() []Case {
	return []Case{
		{Name: "name-abstract", About: "abstract names: NULs, control bytes, not UTF-8, 107 bytes", run: nameAbstract},
		{Name: "name-autobind", About: "names that the kernel gives", run: nameAutobind},
		{Name: "name-relative", About: "bound by a relative path, and one with dots", run: nameRelative},
		{Name: "name-moved", About: "socket file renamed, unlinked or replaced after bind, reached by symlink", run: nameMoved},
		{Name: "name-odd-file", About: "socket files named @x, with escape sequences, of 107 and 108 bytes", run: nameOddFile},
		{Name: "name-same", About: "the same name in two mount namespaces and outside of them, each another file, reached by a symlink and from outside", run: nameSame},
	}
}

// exchange talks over a listener and over a datagram socket bound to a.
func (e *Env) exchange(stream, dgram address) {
	l := e.listen(unix.SOCK_STREAM, stream)
	c := e.dial(l, nil)
	e.accept(l, c)
	e.roundTrip(c.client, c.server, 33, write)
	e.roundTrip(c.server, c.client, 34, write)

	r, s := e.bind(e.socket(unix.SOCK_DGRAM), dgram), e.socket(unix.SOCK_DGRAM)
	e.datagrams(s, r, pcapng.RoleClient)
	e.main.put(s, 35, sendTo(dgram))
	e.main.readMessages(r, 1)
}

func nameAbstract(e *Env) {
	own := fmt.Sprintf("wl%d", os.Getpid())
	for i, suffix := range []string{"a", "nul\x00inside", "nul at the end\x00", "\x1b[31mred\x07\r\n", "\xff\xfe\xc3", "@at", ` "quoted"=`, ""} {
		unique := fmt.Sprintf("%s-%d", own, i)
		e.exchange(abstractAddress(unique+suffix), abstractAddress("\x00\x00"+unique+suffix))
	}
	long := own + strings.Repeat("x", sunPath-2-len(own))
	e.exchange(abstractAddress(long+"y"), abstractAddress(long+"\x00"))
}

func nameAutobind(e *Env) {
	l := e.bind(e.socket(unix.SOCK_STREAM), newAddress(""))
	l.bound = e.nameOf(l)
	check("listen", unix.Listen(l.fd, 1))
	c := e.dial(l, nil)
	e.accept(l, c)
	e.roundTrip(c.client, c.server, 44, write)

	r := e.bind(e.socket(unix.SOCK_DGRAM), newAddress(""))
	r.bound = e.nameOf(r)
	s := e.bind(e.socket(unix.SOCK_DGRAM), newAddress(""))
	s.bound = e.nameOf(s)
	e.datagrams(s, r, pcapng.RoleClient)
	e.datagrams(r, s, pcapng.RoleServer)
	e.main.put(s, 45, sendTo(r.bound))
	e.main.readMessages(r, 1)
	e.main.put(r, 46, sendTo(s.bound))
	e.main.readMessages(s, 1)
}

func (e *Env) nameOf(s *sock) address {
	a, err := localAddress(s.fd)
	check("getsockname", err)
	return a
}

func nameRelative(e *Env) {
	check("chdir", os.Chdir(e.dir))
	defer os.Chdir("/")
	e.exchange(fileAddress("rel"), fileAddress("./rel.dgram"))
	check("mkdir", os.Mkdir("sub", 0o700))
	e.exchange(fileAddress("sub/../dots"), fileAddress("sub//dots.dgram"))
}

func nameMoved(e *Env) {
	l := e.listen(unix.SOCK_STREAM, nil)
	was := contractPath(l.bound)
	check("rename", os.Rename(was, was+".new"))
	c := e.dial(l, fileAddress(was+".new"))
	e.accept(l, c)
	e.roundTrip(c.client, c.server, 51, write)
	check("symlink", os.Symlink(was+".new", was+".link"))
	c = e.dial(l, fileAddress(was+".link"))
	e.accept(l, c)
	e.roundTrip(c.client, c.server, 52, write)

	other := e.listen(unix.SOCK_STREAM, fileAddress(was)) // the name that l had
	c2 := e.dial(other, nil)
	e.accept(other, c2)
	check("unlink", os.Remove(was+".new"))
	e.roundTrip(c2.client, c2.server, 53, write)
	e.roundTrip(c.server, c.client, 54, write)

	r, s := e.receiver(), e.socket(unix.SOCK_DGRAM)
	e.datagrams(s, r, pcapng.RoleClient).Conn = e.newConn()
	check("connect", connect(s.fd, r.bound))
	check("unlink", os.Remove(contractPath(r.bound)))
	e.main.put(s, 55, write)
	e.main.readMessages(r, 1)
}

func nameOddFile(e *Env) {
	check("chdir", os.Chdir(e.dir))
	defer os.Chdir("/")
	e.exchange(fileAddress("@x"), fileAddress("@"))
	e.exchange(fileAddress("\x1b]0;title\x07"), fileAddress("a b\"=\n"))
	long := filepath.Join(e.dir, strings.Repeat("p", sunPath))
	e.exchange(fileAddress(long[:sunPath-1]), fileAddress(long[:sunPath-1]+"q"))
}
