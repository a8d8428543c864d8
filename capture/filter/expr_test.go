package filter

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/sockcap/sockcap/pcapng"
)

// names is a Lookup with a few names.
func names() Lookup {
	find := func(kind string, known map[string]uint32) func(string) (uint32, error) {
		return func(name string) (uint32, error) {
			if n, ok := known[name]; ok {
				return n, nil
			}
			return 0, errors.New("no such " + kind)
		}
	}
	return Lookup{
		User:  find("user", map[string]uint32{"root": 0, "alice": 1000}),
		Group: find("group", map[string]uint32{"wheel": 10}),
		NetNS: find("network namespace", map[string]uint32{"blue": 4026532201}),
	}
}

// primitives are all kinds of primitives, each with what it means.
func primitives() map[string]func(p *pcapng.Packet) bool {
	type packet = *pcapng.Packet
	pid := func(p packet, n uint32) (src, dst bool) {
		return p.Sender.PID == n, p.Peer.PID == n || p.Reader != nil && p.Reader.PID == n
	}
	return map[string]func(p packet) bool{
		"/run/docker.sock":       func(p packet) bool { return p.Path == "/run/docker.sock" },
		"path /run":              func(p packet) bool { return strings.HasPrefix(p.Path, "/run/") },
		"/run/":                  func(p packet) bool { return strings.HasPrefix(p.Path, "/run/") },
		"path docker.sock":       func(p packet) bool { return path.Base(p.Path) == "docker.sock" },
		"path *.sock":            func(p packet) bool { return path.Ext(p.Path) == ".sock" && p.Path[0] != '@' },
		"/run/*/bus":             func(p packet) bool { return p.Path == "/run/user/bus" || p.Path == "/run/dbus/bus" },
		"/run/user*":             func(p packet) bool { return strings.HasPrefix(p.Path, "/run/user") },
		`"/run/a b*"`:            func(p packet) bool { return p.Path == "/run/a b*" },
		`/run/a\ b*`:             func(p packet) bool { return strings.HasPrefix(p.Path, "/run/a b") },
		"@/tmp/.X11-unix/X0":     func(p packet) bool { return p.Path == "@/tmp/.X11-unix/X0" },
		"@*":                     func(p packet) bool { return strings.HasPrefix(p.Path, "@") },
		`path "@nul\x00"`:        func(p packet) bool { return p.Path == "@nul\x00" },
		"/run/docker.sock @gone": func(p packet) bool { return p.Path == "/run/docker.sock" },
		"dst path /run/docker.sock": func(p packet) bool {
			return p.Path == "/run/docker.sock" && (p.Type == pcapng.Datagram || p.Role == pcapng.RoleClient)
		},
		"src /run/docker.sock": func(p packet) bool {
			return p.Path == "/run/docker.sock" && p.Type != pcapng.Datagram && p.Role == pcapng.RoleServer
		},
		"comm curl": func(p packet) bool {
			return p.Sender.Comm == "curl" || p.Peer.Comm == "curl" || p.Reader != nil && p.Reader.Comm == "curl"
		},
		"src comm cu*":     func(p packet) bool { return strings.HasPrefix(p.Sender.Comm, "cu") },
		"comm kworker/?:0": func(p packet) bool { return p.Sender.Comm == "kworker/7:0" || p.Peer.Comm == "kworker/7:0" },
		`dst comm "and"`:   func(p packet) bool { return p.Peer.Comm == "and" },
		"pid 5":            func(p packet) bool { src, dst := pid(p, 5); return src || dst },
		"src pid 5":        func(p packet) bool { src, _ := pid(p, 5); return src },
		"dst pid 5":        func(p packet) bool { _, dst := pid(p, 5); return dst },
		"pid 5 or 77": func(p packet) bool {
			a, b := pid(p, 5)
			c, d := pid(p, 77)
			return a || b || c || d
		},
		"uid root":      func(p packet) bool { return p.Sender.UID == 0 || p.Peer.UID == 0 },
		"src uid alice": func(p packet) bool { return p.Sender.UID == 1000 },
		"dst uid 1000":  func(p packet) bool { return p.Peer.UID == 1000 },
		"gid wheel":     func(p packet) bool { return p.Sender.GID == 10 || p.Peer.GID == 10 },
		"inode 40005":   func(p packet) bool { return p.Sender.Inode == 40005 || p.Peer.Inode == 40005 },
		"netns blue":    func(p packet) bool { return p.NetNS == 4026532201 },
		"netns 17":      func(p packet) bool { return p.NetNS == 17 },
		"cgroup docker.service": func(p packet) bool {
			return slices.Contains(strings.Split(p.Cgroup, "/"), "docker.service") || slices.Contains(strings.Split(p.PeerPlace.Cgroup, "/"), "docker.service")
		},
		"src cgroup /system.slice": func(p packet) bool { return strings.HasPrefix(p.Cgroup+"/", "/system.slice/") },
		"cgroup /*.slice/d*": func(p packet) bool {
			return strings.Contains(p.Cgroup, ".slice/d") || strings.Contains(p.PeerPlace.Cgroup, ".slice/d")
		},
		"container 4f2a": func(p packet) bool {
			return strings.HasPrefix(p.Container, "4f2a") || strings.HasPrefix(p.PeerPlace.Container, "4f2a") || p.ContainerName == "4f2a"
		},
		"src container 4f2a": func(p packet) bool { return strings.HasPrefix(p.Container, "4f2a") || p.ContainerName == "4f2a" },
		"container web": func(p packet) bool {
			return slices.Contains([]string{p.Container, p.ContainerName, p.PeerPlace.Container, p.PeerPlace.ContainerName}, "web")
		},
		"dst container w*": func(p packet) bool {
			return strings.HasPrefix(p.PeerPlace.Container, "w") || strings.HasPrefix(p.PeerPlace.ContainerName, "w")
		},
		"exe curl": func(p packet) bool {
			return p.Exe == "/usr/bin/curl" || p.PeerPlace.Exe == "/usr/bin/curl (deleted)"
		},
		"src exe /usr":       func(p packet) bool { return strings.HasPrefix(p.Exe, "/usr/") },
		"dst exe /usr/bin/*": func(p packet) bool { return strings.HasPrefix(p.PeerPlace.Exe, "/usr/bin/") }, // also below one that fits
		"unit d*.service":    func(p packet) bool { return p.Unit == "docker.service" || p.PeerPlace.Unit == "docker.service" },
		"pod web-0":          func(p packet) bool { return p.Pod == "shop/web-0" || p.PeerPlace.Pod == "web-0" },
		"src pod shop/w*":    func(p packet) bool { return p.Pod == "shop/web-0" },
		"stream":             func(p packet) bool { return p.Type == 1 },
		"dgram":              func(p packet) bool { return p.Type == 2 },
		"seqpacket":          func(p packet) bool { return p.Type == 5 },
		"less 100":           func(p packet) bool { return p.Len <= 100 },
		"greater 100":        func(p packet) bool { return p.Len >= 100 },
		"len < 100":          func(p packet) bool { return p.Len < 100 },
		"len<=99":            func(p packet) bool { return p.Len <= 99 },
		"len > 100":          func(p packet) bool { return p.Len > 100 },
		"len>=101":           func(p packet) bool { return p.Len >= 101 },
		"len = 100":          func(p packet) bool { return p.Len == 100 },
		"len == 0":           func(p packet) bool { return p.Len == 0 },
		"len != 0":           func(p packet) bool { return p.Len != 0 },
		"fds":                func(p packet) bool { return p.FDCount != 0 || len(p.FDs) != 0 },
		"inbound":            func(p packet) bool { return p.Role == 1 },
		"outbound":           func(p packet) bool { return p.Role == 2 },
		"data":               func(p packet) bool { return p.Event == 1 },
		"read":               func(p packet) bool { return p.Event == 2 },
		"connect":            func(p packet) bool { return p.Event == 3 },
		"accept":             func(p packet) bool { return p.Event == 4 },
		"listen":             func(p packet) bool { return p.Event == 5 },
		"shutdown":           func(p packet) bool { return p.Event == 6 },
		"close":              func(p packet) bool { return p.Event == 7 },
		"refused":            func(p packet) bool { return p.Event == 8 },
		"snapshot":           func(p packet) bool { return p.Event == 9 },
		"lost":               func(p packet) bool { return p.Event == 10 },
	}
}

// somePacket is a packet of values that the primitives ask for, and others.
func somePacket(r *rand.Rand) *pcapng.Packet {
	one := func(of ...string) string { return of[r.IntN(len(of))] }
	end := func() pcapng.Endpoint {
		return pcapng.Endpoint{
			PID: []uint32{0, 5, 77, 500}[r.IntN(4)], UID: []uint32{0, 1000, pcapng.Unknown}[r.IntN(3)],
			GID: []uint32{0, 10, pcapng.Unknown}[r.IntN(3)], Inode: []uint64{0, 40005, 5}[r.IntN(3)],
			Comm: one("", "curl", "cupsd", "kworker/7:0", "and", "x\x1b[2J"),
		}
	}
	p := &pcapng.Packet{
		Event: pcapng.Event(1 + r.IntN(11)), Type: pcapng.SocketType([]int{1, 2, 5}[r.IntN(3)]), Role: pcapng.Role(r.IntN(3)),
		Sender: end(), Peer: end(), Len: []uint32{0, 99, 100, 101}[r.IntN(4)], NetNS: []uint32{0, 17, 4026532201}[r.IntN(3)],
		Path: one("", "/run/docker.sock", "/run/docker.sock2", "/run/user/bus", "/run/dbus/bus", "/run/a b*", "/run/a b2", "/tmp/docker.sock",
			"docker.sock", "@/tmp/.X11-unix/X0", "@nul\x00", "@docker.sock", "/running"),
		Cgroup:    one("", "/", "/system.slice", "/system.slice/docker.service", "/system.slicer", "/user.slice/docker.service/x"),
		Container: one("", "4f2a77", "4f2b77", "web", "web2"), FDCount: uint32(r.IntN(2)),
		ContainerName: one("", "web", "4f2a", "db"), Exe: one("", "/usr/bin/curl", "/usr/local/curl2"),
		Unit: one("", "docker.service", "ssh.service"), Pod: one("", "shop/web-0", "shop/db-0"),
		PeerPlace: pcapng.Place{
			Cgroup: one("", "/system.slice/docker.service", "/x.slice/d/y"), Container: one("", "4f2a99", "web"), ContainerName: one("", "web", "w\n"),
			Exe: one("", "/usr/bin/curl (deleted)", "/usr/bin/w/x"), Unit: one("", "docker.service"), Pod: one("", "web-0"),
		},
	}
	if r.IntN(3) == 0 {
		p.Reader = &pcapng.Endpoint{PID: []uint32{0, 5, 77}[r.IntN(3)], Comm: one("", "curl")}
	}
	return p
}

func parse(t testing.TB, text string) *Expr {
	t.Helper()
	e, err := Parse(text, names())
	if err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return e
}

// sameAgain parses what e says of itself, without a lookup.
func sameAgain(t *testing.T, e *Expr) {
	t.Helper()
	again, err := Parse(e.String(), Lookup{})
	if err != nil {
		t.Fatalf("%s, again: %v", e, err)
	}
	if !reflect.DeepEqual(again, e) {
		t.Fatalf("%q became %q", e, again)
	}
}

// TestPrimitives: each means what the table says, of packets at random and of
// those of real programs, and each is true and false of some.
func TestPrimitives(t *testing.T) {
	all := goldenPackets(t)
	r := rand.New(rand.NewPCG(1, 2))
	for range 4099 {
		all = append(all, somePacket(r))
	}
	for text, want := range primitives() {
		e, kept := parse(t, text), 0
		for _, p := range all {
			got := e.Match(p)
			if got != want(p) {
				t.Errorf("%s of %+v: %v", text, *p, got)
				break
			}
			if got {
				kept++
			}
		}
		if kept == 0 || kept == len(all) {
			t.Errorf("%s keeps %d of %d: tells nothing", text, kept, len(all))
		}
		sameAgain(t, e)
	}
}

func goldenPackets(t *testing.T) []*pcapng.Packet {
	t.Helper()
	files, err := filepath.Glob("../../testdata/capture/*.pcapng")
	if err != nil || len(files) < 10 {
		t.Fatalf("%d goldens, %v", len(files), err)
	}
	var all []*pcapng.Packet
	for _, name := range files {
		f, err := os.Open(name)
		if err != nil {
			t.Fatal(err)
		}
		r, err := pcapng.NewReader(f)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		for p, err := range r.Packets() {
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			all = append(all, p.Clone())
		}
		f.Close()
	}
	return all
}

// somewhat is an expression at random, and what it means, found without a
// tree: from left to right, not first.
func somewhat(r *rand.Rand, depth int, keys []string, meaning map[string]func(*pcapng.Packet) bool) (string, func(*pcapng.Packet) bool) {
	var text string
	var all func(*pcapng.Packet) bool
	for i := range 1 + r.IntN(4) {
		key := keys[r.IntN(len(keys))]
		operand, is := "("+key+")", meaning[key]
		if depth > 0 && r.IntN(3) == 0 {
			operand, is = somewhat(r, depth-1, keys, meaning)
			operand = "( " + operand + ")"
		}
		if r.IntN(3) == 0 {
			inner := is
			operand, is = []string{"not ", "!", "! "}[r.IntN(3)]+operand, func(p *pcapng.Packet) bool { return !inner(p) }
		}
		left := all
		switch {
		case i == 0:
			text, all = operand, is
		case r.IntN(2) == 0:
			text += []string{" and ", " && ", "&&"}[r.IntN(3)] + operand
			all = func(p *pcapng.Packet) bool { return left(p) && is(p) }
		default:
			text += []string{" or ", " || ", "||\n"}[r.IntN(3)] + operand
			all = func(p *pcapng.Packet) bool { return left(p) || is(p) }
		}
	}
	return text, all
}

// TestExpressions: any of them means what its parts mean.
func TestExpressions(t *testing.T) {
	meaning := primitives()
	var keys []string
	for key := range meaning {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	r := rand.New(rand.NewPCG(3, 4))
	for range 1009 {
		text, want := somewhat(r, 3, keys, meaning)
		e := parse(t, text)
		for range 31 {
			if p := somePacket(r); e.Match(p) != want(p) {
				t.Fatalf("%s (%s)\nof %+v: %v", text, e, *p, e.Match(p))
			}
		}
		sameAgain(t, e)
	}
}

// TestString: how expressions are read, and printed in full.
func TestString(t *testing.T) {
	for text, want := range map[string]string{
		"": "", " \n": "",
		"/a":                         "path /a",
		"/a/ /b @c":                  "path /a or path /b or path @c",
		"/a /b and pid 5":            "(path /a or path /b) and pid 5",
		"not /a /b":                  "not (path /a or path /b)",
		"pid 5 and /a /b":            "pid 5 and (path /a or path /b)",
		"pid 1 or pid 2 and pid 3":   "(pid 1 or pid 2) and pid 3",
		"pid 1 and pid 2 or pid 3":   "(pid 1 and pid 2) or pid 3",
		"pid 1 or (pid 2 and pid 3)": "pid 1 or (pid 2 and pid 3)",
		"(pid 1 or 2) or (3 or 4)":   "pid 1 or pid 2 or pid 3 or pid 4",
		"not pid 1 and 2":            "not pid 1 and pid 2",
		"src pid 1 or 2":             "src pid 1 or src pid 2",
		"uid root and gid wheel":     "uid 0 and gid 10",
		"comm data or x and read":    "(comm data or comm x) and read",
		"less 10 and greater 2":      "len <= 10 and len >= 2",
		"len==7":                     "len = 7",
		`comm "a b"`:                 `comm "a b"`,
		`comm a\ b`:                  `comm "a b"`,
		`comm a\ *`:                  `comm a\ *`,
		`comm "*"`:                   `comm "*"`,
		`comm \*`:                    `comm "*"`,
		`comm "or" or "and"`:         `comm "or" or comm "and"`,
		"@a=b,c>d!":                  `path "@a=b,c>d!"`,
		"/a&b":                       `path "/a&b"`,
		"src /a or @b":               "src path /a or path @b",
		"/a//b/../c":                 "path /a/c",
	} {
		e, err := Parse(text, names())
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		if got := e.String(); got != want {
			t.Errorf("%s: %s, want %s", text, got, want)
		}
		sameAgain(t, e)
	}
}

// TestErrors: each names its place, in characters, and what is wrong.
func TestErrors(t *testing.T) {
	for text, want := range map[string]string{
		"pid":                             `column 4: the end stands after pid, where its value should`,
		"pid five":                        `column 5: pid "five": expected a number`,
		"pid 0":                           `column 5: pid 0: expected 1 to 4294967295`,
		"pid 4294967296":                  `column 5: pid 4294967296: expected 1 to 4294967295`,
		"pid 99999999999999999999":        `column 5: pid 99999999999999999999: expected 1 to 4294967295`,
		"pid -1":                          `column 5: pid "-1": expected a number`,
		"uid bob":                         `column 5: uid "bob": no such user`,
		"uid 4294967295":                  `column 5: uid 4294967295: expected 0 to 4294967294`,
		"gid bob":                         `column 5: gid "bob": no such group`,
		"netns red":                       `column 7: netns "red": no such network namespace`,
		"pid 5 comm curl":                 `column 7: "comm" stands where the expression should go on with and, or, or end`,
		"/a b":                            `column 4: "b" stands where the expression should go on with and, or, or end`,
		"/ä pid 5":                        `column 4: "pid" stands where the expression should go on with and, or, or end`,
		"pid 5 and":                       `column 10: the expression ends where a primitive should stand`,
		"and pid 5":                       `column 1: "and" stands where a primitive should`,
		"pid 5 and or pid 6":              `column 11: "or" stands where a primitive should`,
		"(pid 5":                          `column 1: ( without its )`,
		"pid 5)":                          `column 6: ) without its (`,
		"()":                              `column 2: ")" stands where a primitive should`,
		"pid 5 & pid 6":                   `column 7: "&" is no sign`,
		"port 80":                         `column 1: "port" is no primitive`,
		"docker.sock":                     `column 1: "docker.sock" is no primitive`,
		"src":                             `column 4: the end stands after src, where what is asked of one end should`,
		"dst netns blue":                  `column 5: netns has no ends`,
		"cgroup 17":                       `column 8: cgroup 17: a packet has no numbers of control groups`,
		"len 5":                           `column 5: "5" stands after len, where one of < <= > >= = != should`,
		"len > x":                         `column 7: "x" stands after len, where a number of bytes up to 4294967295 should`,
		"less 4294967296":                 `column 6: "4294967296" stands after less, where a number of bytes up to 4294967295 should`,
		`comm ""`:                         `column 6: comm has an empty value`,
		`comm "a`:                         `column 6: a quoted word does not end, or has a wrong escape`,
		`comm "a"b`:                       `column 9: a quoted word goes on after its quote`,
		"comm a[b":                        `column 6: comm "a[b": has a [ that is no [a-z] or [^a-z]`,
		"/a[!b]":                          `column 1: path "/a[!b]": has a [ that is no [a-z] or [^a-z]`,
		`comm a\`:                         `column 6: comm "a\\": ends in a backslash, which takes the next character for itself`,
		"comm and":                        `column 6: "and" stands after comm, where its value should`,
		"pid 5 or\npid six":               `line 2, column 5: pid "six": expected a number`,
		strings.Repeat("(", 5000):         `column 601: the expression is too deep`,
		strings.Repeat("!", 5000) + "fds": `column 601: the expression is too deep`,
		"fds" + strings.Repeat(" or fds and fds", 200): `column 1497: the expression is too deep`,
	} {
		_, err := Parse(text, names())
		wrong := (*Error)(nil)
		if !errors.As(err, &wrong) || err.Error() != want {
			t.Errorf("%.40s: %v\nwant %s", text, err, want)
		}
	}
	for text, want := range map[string]string{
		"pid 5 comm curl": hintJoin,
		"/a b":            "a path with blanks in it stands in double quotes",
		"port 80":         "Unix sockets have no hosts or ports",
		"./docker.sock":   `name the socket from the root, as "$PWD/docker.sock"`,
		"comm or":         `quote it: "or"`,
		"cgroup 17":       "name its path",
	} {
		_, err := Parse(text, names())
		if wrong := (*Error)(nil); !errors.As(err, &wrong) || !strings.Contains(wrong.Hint, want) {
			t.Errorf("%s: %v, hint %q, want %q", text, err, wrong.Hint, want)
		}
	}
}

// TestPrimitive: a value from elsewhere is taken whole.
func TestPrimitive(t *testing.T) {
	for _, c := range []struct{ keyword, value, want string }{
		{"path", "/a b", `path "/a b"`},
		{"path", "/a b*", `path /a\ b*`},
		{"comm", "or", `comm "or"`},
		{"uid", "alice", "uid 1000"},
	} {
		e, err := Primitive(c.keyword, c.value, names())
		if err != nil || e.String() != c.want {
			t.Errorf("%s %s: %v, %v, want %s", c.keyword, c.value, e, err, c.want)
		}
		sameAgain(t, e)
	}
	if _, err := Primitive("pid", "x", names()); err == nil || err.Error() != `pid "x": expected a number` {
		t.Errorf("pid x: %v", err)
	}
}

// TestJoined: And and Or make of several what they are called, and change none.
func TestJoined(t *testing.T) {
	one := parse(t, "pid 1 or 2 or 3")
	for _, c := range []struct {
		got  *Expr
		want string
	}{
		{Or(one, parse(t, "pid 4")), "pid 1 or pid 2 or pid 3 or pid 4"},
		{Or(one, parse(t, "pid 5")), "pid 1 or pid 2 or pid 3 or pid 5"},
		{And(one, nil, parse(t, "fds and data")), "(pid 1 or pid 2 or pid 3) and fds and data"},
		{Or(one, &Expr{}), ""},
		{And(), ""},
		{one, "pid 1 or pid 2 or pid 3"},
	} {
		if got := c.got.String(); got != c.want {
			t.Errorf("%s, want %s", got, c.want)
		}
	}
	// What shares memory shows only when the other was made after it.
	a, b := Or(one, parse(t, "pid 6")), Or(one, parse(t, "pid 7"))
	if a.String() == b.String() {
		t.Errorf("%s twice", a)
	}
}

// TestExprPaths: which expressions are nothing but addresses.
func TestExprPaths(t *testing.T) {
	for text, want := range map[string][]string{
		"/a": {"/a"}, "/a @b": {"/a", "@b"}, `/a or path "/b c"`: {"/a", "/b c"}, `/a\*`: {"/a*"},
		"": nil, "/a*": nil, "/a and /b": nil, "not /a": nil, "/a or pid 5": nil, "path a": nil, "src path /a": nil,
	} {
		got, ok := parse(t, text).Paths()
		if ok != (want != nil) || ok && !slices.Equal(got, want) {
			t.Errorf("%s: %q, %v, want %q", text, got, ok, want)
		}
	}
}

func TestUses(t *testing.T) {
	e := parse(t, "not (/a and (cgroup x or fds))")
	for want, keywords := range map[string][]string{"cgroup": {"fds", "cgroup"}, "path": {"uid", "path"}, "fds": {"fds"}, "": {"comm", "uid"}} {
		if got := e.Uses(keywords...); got != want {
			t.Errorf("%q: uses %q, want %q", keywords, got, want)
		}
	}
	if got := (&Expr{}).Uses("path"); got != "" {
		t.Errorf("nothing uses %q", got)
	}
	n := 0
	e.EachPath(func(p *Path) { n++ })
	if n != 1 {
		t.Errorf("%d paths", n)
	}
}

func TestExprDoesNotAllocate(t *testing.T) {
	e := parse(t, "(/run/*/bus or comm x?z* or pid 5) and not (len > 7 or cgroup docker*) and not path docker.sock")
	p := somePacket(rand.New(rand.NewPCG(5, 6)))
	p.Path, p.Cgroup, p.PeerPlace.Cgroup, p.Len = "/run/dbus/bus", "/a/b/c", "/d", 7
	if !e.Match(p) {
		t.Fatalf("%s does not keep it", e)
	}
	if n := testing.AllocsPerRun(101, func() { e.Match(p) }); n != 0 {
		t.Errorf("Match allocates %v times", n)
	}
}

// FuzzParse: no text panics, and an expression prints as itself.
func FuzzParse(f *testing.F) {
	for text := range primitives() {
		f.Add(text)
	}
	for _, text := range []string{`comm "a b" or 'x and !(src /a[^\]-z]? || len!=5)`, "/a @b&&c\\ d*", "((", `"\xff`, "uid root or alice", "cgroup a\\/"} {
		f.Add(text)
	}
	p := somePacket(rand.New(rand.NewPCG(7, 8)))
	f.Fuzz(func(t *testing.T, text string) {
		e, err := Parse(text, names())
		if err != nil {
			wrong := (*Error)(nil)
			if !errors.As(err, &wrong) || wrong.Column < 1 || wrong.Column > len(text)+1 {
				t.Errorf("%q: %#v", text, err)
			}
			return
		}
		p.Path, p.Sender.Comm, p.Cgroup, p.Container = text, text, text, text
		got := e.Match(p)
		sameAgain(t, e)
		if again := parse(t, e.String()); again.Match(p) != got {
			t.Errorf("%q: %v, %q: %v", text, got, again, !got)
		}
	})
}

// FuzzGlob: globs fit what those of package path fit, where they are the same:
// ASCII, as path takes a character apart, and no class that one of them refuses.
func FuzzGlob(f *testing.F) {
	for _, s := range [][2]string{{"a*b?c", "aXbYc"}, {"*a*b*", "xaxbx"}, {"[a-c]*[^x]", "bz"}, {`\*[\]]`, "*]"}, {"*/?", "a/b"}, {"**", "a/"}} {
		f.Add(s[0], s[1])
	}
	f.Fuzz(func(t *testing.T, glob, name string) {
		p, err := newPattern(glob)
		if err != nil {
			return
		}
		got := p.match(name, false)
		if strings.ContainsFunc(glob+name, func(r rune) bool { return r > 126 }) || strings.Contains(glob, "[") && strings.Contains(name, "/") {
			return // of classes, path lets a slash fit
		}
		want, err := path.Match(glob, name)
		if err != nil || got != want {
			t.Errorf("%q of %q: %v, want %v, %v", glob, name, got, want, err)
		}
	})
}

func TestGlob(t *testing.T) {
	for _, c := range []struct {
		glob, name string
		slashes    bool
		want       bool
	}{
		{"?", "ä", false, true}, {"??", "ä", false, false}, {"?", "\xff", false, true}, {"*?", "ä", false, true}, {"*??", "ä", false, false},
		{"[ä-ü]", "ö", false, true}, {"[^ä]", "ä", false, false}, {"*", "a/b", false, false}, {"*", "a/b", true, true},
		{"a?b", "a/b", false, false}, {"a?b", "a/b", true, true}, {"a[^x]b", "a/b", false, false}, {"a[^x]b", "a/b", true, true},
		{"*a*a*a*a*a*a*a*a*b", strings.Repeat("a", 4099), true, false},
	} {
		p, err := newPattern(c.glob)
		if err != nil || p.match(c.name, c.slashes) != c.want {
			t.Errorf("%q of %.10q, slashes %v: %v, %v, want %v", c.glob, c.name, c.slashes, !c.want, err, c.want)
		}
	}
}

func ExampleParse() {
	e, err := Parse("/run/docker.sock and comm curl or docker", Lookup{})
	fmt.Println(e, err)
	_, err = Parse("pid five", Lookup{})
	fmt.Println(err)
	// Output:
	// (path /run/docker.sock and comm curl) or comm docker <nil>
	// column 5: pid "five": expected a number
}
