package filter

import (
	"errors"
	"strings"
	"testing"

	"github.com/sockcap/sockcap/pcapng"
)

func TestMatchSockets(t *testing.T) {
	id := strings.Repeat("0123456789abcdef", 4)
	s := Sockets{
		Type: pcapng.Stream, Inodes: []uint64{101, 1 << 40}, NetNS: []uint32{4026531840, 9}, UIDs: []uint32{1000, pcapng.Unknown},
		Processes: []Process{
			{PID: 7, UID: 0, GID: 4, Comm: "nginx"},
			{PID: 4099, UID: 33, GID: pcapng.Unknown, Comm: "php fpm",
				Place: pcapng.Place{Cgroup: "/system.slice/docker-x.scope", Container: id, ContainerName: "web", Exe: "/usr/sbin/php", Unit: "docker-x.scope"}},
		},
	}
	for expr, want := range map[string]bool{
		"": true, "stream": true, "dgram": false, "seqpacket or stream": true, "not stream": false,
		"comm nginx": true, "comm php*": true, `comm "php fpm"`: true, "comm other": false, "not comm other": true, "not comm nginx": false,
		"comm nginx and comm php*": true, "pid 7": true, "pid 4099": true, "pid 8": false, "not pid 7": false, "pid 8 or 7": true,
		"uid 1000": true, "uid 33": true, "uid 0": true, "uid 1": false, "gid 4": true, "gid 0": false,
		"inode 101": true, "inode 1099511627776": true, "inode 100": false, "netns 9": true, "netns 8": false,
		"container 0123": true, "container web": true, "container we": false, "exe php": true, "exe /usr/bin": false, "unit *.scope": true, "pod *": false, "container 1234": false, "cgroup docker-x.scope": true, "cgroup /system.slice": true, "cgroup /user.slice": false,
		"/run/x": true, "/run/y": false, "path x and not /run/y": true, "/run/y or pid 7": true, "(pid 8 or dgram) and stream": false,
	} {
		e, err := ParseSockets(expr, Lookup{})
		if err != nil {
			t.Errorf("%s: %v", expr, err)
			continue
		}
		if got := e.MatchSockets(&s, func(p *Path) bool { return p.Match("/run/x") }); got != want {
			t.Errorf("%s: %v, want %v", expr, got, want)
		}
	}
	none := Sockets{Type: pcapng.Datagram}
	for _, expr := range []string{"comm *", "pid 1", "uid 0", "gid 0", "container *", "cgroup *", "inode 1"} {
		if e, err := ParseSockets(expr, Lookup{}); err != nil || e.MatchSockets(&none, nil) {
			t.Errorf("%s: %v, or true of a socket of which nothing is known", expr, err)
		}
	}
}

// TestParseSockets: what sockets do not have is refused where it stands, unless
// it is a value.
func TestParseSockets(t *testing.T) {
	for expr, column := range map[string]int{
		"pid 7 and len > 5": 11, "less 5": 1, "greater 5": 1, "src pid 5": 1, "/a and dst /b": 8, "fds": 1, "not (data)": 6,
		"connect": 1, "close or listen": 1, "stream or inbound": 11, "outbound": 1, "snapshot": 1, "ä and lost": 1,
		"comm data": 0, `comm len or pid 5`: 0, "path fds": 0, `comm a or "data"`: 0, "@data": 0,
	} {
		_, err := ParseSockets(expr, Lookup{})
		wrong := (*Error)(nil)
		if got := errors.As(err, &wrong); got != (column > 0) || got && wrong.Column != column {
			t.Errorf("%s: %v, want column %d", expr, err, column)
		}
	}
	for _, expr := range []string{"foo", "pid 7 and and", "src pid 7"} {
		_, err := ParseSockets(expr, Lookup{})
		if wrong := (*Error)(nil); !errors.As(err, &wrong) || wrong.Hint != hintSockets {
			t.Errorf("%s: %+v, want a hint at what sockets have", expr, err)
		}
	}
}

// FuzzMatchSockets: what is parsed can be asked, and an expression in full
// means the same.
func FuzzMatchSockets(f *testing.F) {
	for _, expr := range []string{"comm a and (pid 7 or not uid 0)", "/a @b or path c*", "stream or inode 101 or netns 9 or gid 5", "container 01 and cgroup /a", "len > 5"} {
		f.Add(expr)
	}
	s := Sockets{Type: pcapng.Stream, Inodes: []uint64{101}, NetNS: []uint32{9}, UIDs: []uint32{7},
		Processes: []Process{{PID: 7, UID: 7, GID: 7, Comm: "a", Place: pcapng.Place{Cgroup: "/a/b", Container: "01ab"}}}}
	at := func(p *Path) bool { return p.Match("/a") }
	f.Fuzz(func(t *testing.T, text string) {
		e, err := ParseSockets(text, Lookup{})
		if err != nil {
			return
		}
		again, err := ParseSockets(e.String(), Lookup{})
		if err != nil {
			t.Fatalf("%q in full, %q: %v", text, e, err)
		}
		if e.MatchSockets(&s, at) != again.MatchSockets(&s, at) {
			t.Errorf("%q and %q differ", text, e)
		}
	})
}
