package capture

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/sockcap/sockcap/capture/internal/workload"
	"github.com/sockcap/sockcap/pcapng"
)

// TestSamePath: two containers have sockets of the same name, which are
// different files. Each is chosen alone by what its file is called out here, and
// by a symbolic link to that, as /var/run is one; by the name that they have both
// are.
func TestSamePath(t *testing.T) {
	eachSet(t, func(t *testing.T, set string) {
		for by, want := range map[string][]string{
			"one/s":     {"one: hello", "one: again"},
			"to-one/s":  {"one: hello", "one: again"},
			"two":       {"two: hello", "two: again"},
			"run/s":     {"one: hello", "one: again", "two: hello", "two: again"},
			"another/s": nil,
		} {
			t.Run(filepath.Dir(by), func(t *testing.T) {
				inParallel(t)
				samePath(t, set, by, want)
			})
		}
	})
}

func samePath(t *testing.T, set, by string, want []string) {
	dir := t.TempDir()
	in := func(name string) string { return filepath.Join(dir, name) }
	for _, name := range []string{"run", "one", "two", "last"} {
		if err := os.Mkdir(in(name), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink(in("one"), in("to-one")); err != nil {
		t.Fatal(err)
	}
	l := startLive(t, Options{Hooks: set, Paths: []string{in(by), in("last")}}, nil)
	type container struct {
		puppet
		client, server workload.End
	}
	all := make(map[string]*container)
	for _, name := range []string{"one", "two"} {
		p := newPuppet(t, workload.PuppetConfig{Comm: name, Clone: unix.CLONE_NEWNS})
		p.must(p.BindMount(in(name), in("run")))
		client, server := p.dial(p.listen(unix.SOCK_STREAM, in("run/s")), unix.SOCK_STREAM, in("run/s"))
		all[name] = &container{p, client, server}
	}
	for _, text := range []string{"hello", "again"} { // in turn
		for name, c := range all {
			c.pass(c.client, c.server, name+": "+text)
		}
	}
	newPuppet(t, workload.PuppetConfig{}).exchange(in("last/s"), "last")
	l.wait("the last", func(all []*pcapng.Packet) bool {
		return slices.ContainsFunc(all, func(p *pcapng.Packet) bool { return string(p.Data) == "last" })
	})
	packets, _ := l.end()
	var got []string
	conns := make(map[uint64]string)
	for _, p := range kept(packets, isData) {
		if string(p.Data) == "last" {
			continue
		}
		got = append(got, string(p.Data))
		c := all[p.Sender.Comm]
		if c == nil || p.Sender.PID != uint32(c.PID) || p.Sender.Inode != c.client.Inode || p.Peer.Inode != c.server.Inode || p.Path != in("run/s") {
			t.Errorf("%s", show(p))
		}
		if other := conns[p.ConnID]; other != "" && other != p.Sender.Comm {
			t.Errorf("connection %d is that of %s and of %s", p.ConnID, other, p.Sender.Comm)
		}
		conns[p.ConnID] = p.Sender.Comm
	}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("captured %q, want %q", got, want)
	}
}
