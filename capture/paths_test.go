package capture

import (
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/sockcap/sockcap/capture/filter"
	"github.com/sockcap/sockcap/capture/internal/workload"
	"github.com/sockcap/sockcap/pcapng"
)

// TestPaths: a socket is chosen by the identity of its file, however it was
// named, or below a directory, or by its abstract name; nothing else is.
func TestPaths(t *testing.T) {
	testPaths(t, func(t *testing.T, w *pathWorld) Options { return Options{Paths: w.options} })
}

// TestFilterPaths: as primitives of an expression they choose the same, with
// wildcards too.
func TestFilterPaths(t *testing.T) {
	testPaths(t, func(t *testing.T, w *pathWorld) Options {
		text := "path " + w.in("sour*/[s]")
		for _, name := range w.options {
			if name != w.in("source/s") {
				text += " or path " + strconv.Quote(name)
			}
		}
		e, err := filter.Parse("("+text+") and not fds", filter.Lookup{})
		if err != nil {
			t.Fatal(err)
		}
		return Options{Filter: e}
	})
}

func testPaths(t *testing.T, options func(*testing.T, *pathWorld) Options) {
	eachSet(t, func(t *testing.T, set string) {
		inParallel(t)
		w := newPathWorld(t)
		o := options(t, w)
		o.Hooks = set
		l := startLive(t, o, nil)
		w.talk()
		l.wait("the last", func(all []*pcapng.Packet) bool {
			return slices.ContainsFunc(all, func(p *pcapng.Packet) bool { return string(p.Data) == "wanted: last" })
		})
		all, stats := l.end()
		var got []string
		for _, p := range all {
			if p.Event == pcapng.EventData {
				got = append(got, string(p.Data))
			}
		}
		slices.Sort(got)
		slices.Sort(w.wanted)
		if !slices.Equal(got, w.wanted) {
			t.Errorf("captured %q\nwant %q", got, w.wanted)
		}
		if int(stats.Captured) != len(w.wanted) || int(stats.Filtered) < w.others {
			t.Errorf("%d wanted, at least %d others: %+v", len(w.wanted), w.others, stats)
		}
	})
}

// pathWorld is a folder with sockets that are wanted, and others.
type pathWorld struct {
	t       *testing.T
	dir     string
	options []string
	wanted  []string // what is sent on wanted sockets
	others  int      // how often something is sent on others
}

func newPathWorld(t *testing.T) *pathWorld {
	w := &pathWorld{t: t, dir: t.TempDir()}
	for _, d := range []string{"dir", "dir/deep", "dirx", "linked", "source", "target", "relative", "real"} {
		if err := os.Mkdir(w.in(d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for link, to := range map[string]string{"link": "linked/s", "dirlink": "real"} {
		if err := os.Symlink(w.in(to), w.in(link)); err != nil {
			t.Fatal(err)
		}
	}
	w.options = []string{
		w.in("exact"), w.in("dir"), w.in("link"), w.in("source/s"), w.in("relative/s"),
		w.in("dirlink"), w.in("late"), w.in("again"), w.dir + "/./unclean", "@" + w.dir + "\x00abstract", w.in("dgram"), w.in("last"),
	}
	return w
}

func (w *pathWorld) in(name string) string { return filepath.Join(w.dir, name) }

// keep and drop give what is sent on a socket that is wanted, and on one that
// is not.
func (w *pathWorld) keep(what string) string {
	w.wanted = append(w.wanted, "wanted: "+what)
	return "wanted: " + what
}

func (w *pathWorld) drop(what string) string {
	w.others++
	return "unwanted: " + what
}

// talk sends on all of them, on the one named last at last.
func (w *pathWorld) talk() {
	p := newPuppet(w.t, workload.PuppetConfig{Dir: w.in("relative")})
	p.exchange(w.in("exact"), w.keep("exact"))
	p.exchange(w.in("exactly"), w.drop("a longer name"))
	p.exchange(w.in("dir/s"), w.keep("in a directory"))
	p.exchange(w.in("dir/deep/s"), w.keep("below a directory"))
	p.exchange(w.in("dirx/s"), w.drop("in a directory with a longer name"))
	p.exchange(w.in("linked/s"), w.keep("through a symbolic link"))
	p.exchange(w.in("linked/other"), w.drop("beside what a link names"))
	p.exchange(w.in("real/s"), w.keep("in a directory that a link names"))
	p.exchange("s", w.keep("bound by a relative name"))
	p.exchange("other", w.drop("bound by another relative name"))
	p.exchange(w.dir+"/dir/../unclean", w.keep("a name with dots"))
	p.exchange(w.in("late"), w.keep("a file that appears later"))
	p.exchange("@"+w.dir+"\x00abstract", w.keep("abstract"))
	p.exchange("@"+w.dir+"\x00abstracts", w.drop("a longer abstract name"))
	p.exchange("@"+w.dir, w.drop("a shorter abstract name"))

	l := p.listen(unix.SOCK_STREAM, w.in("again"))
	p.talk(l, w.in("again"), w.keep("before it is made again"))
	w.remove("again")
	l2 := p.listen(unix.SOCK_STREAM, w.in("again"))
	p.talk(l2, w.in("again"), w.keep("made again"))

	r, s := p.socket(unix.SOCK_DGRAM), p.socket(unix.SOCK_DGRAM)
	p.must(p.Bind(r, w.in("dgram")))
	for range 2 {
		_, err := p.Send(s, []byte(w.keep("datagram")), w.in("dgram"))
		p.must(err)
		p.receive(r, "wanted: datagram")
	}
	a, b := p.pair(unix.SOCK_STREAM)
	p.pass(a, b, w.drop("no name"))

	private := newPuppet(w.t, workload.PuppetConfig{Clone: unix.CLONE_NEWNS})
	p.must(private.BindMount(w.in("source"), w.in("target")))
	private.exchange(w.in("target/s"), w.keep("bind mount"))
	private.exchange(w.in("target/other"), w.drop("bind mount, beside"))
	p.exchange(w.in("last"), w.keep("last"))
}

func (w *pathWorld) remove(name string) {
	if err := os.Remove(w.in(name)); err != nil {
		w.t.Fatal(err)
	}
}

// TestPathsBelow: a directory means all below it also where the name that was
// bound does not say so.
func TestPathsBelow(t *testing.T) {
	eachSet(t, func(t *testing.T, set string) {
		inParallel(t)
		dir := t.TempDir()
		for _, d := range []string{"chosen", "chosen/deep", "other"} {
			if err := os.Mkdir(filepath.Join(dir, d), 0o755); err != nil {
				t.Fatal(err)
			}
		}
		l := startLive(t, Options{Hooks: set, Paths: []string{filepath.Join(dir, "chosen")}}, nil)
		p := newPuppet(t, workload.PuppetConfig{Dir: filepath.Join(dir, "chosen/deep")})
		p.exchange("relative", "wanted: relative")
		private := newPuppet(t, workload.PuppetConfig{Clone: unix.CLONE_NEWNS})
		p.must(private.BindMount(filepath.Join(dir, "chosen"), filepath.Join(dir, "other")))
		private.exchange(filepath.Join(dir, "other/mounted"), "wanted: mounted")
		p.exchange(filepath.Join(dir, "chosen/last"), "last")
		l.wait("the last", func(all []*pcapng.Packet) bool {
			return slices.ContainsFunc(all, func(p *pcapng.Packet) bool { return string(p.Data) == "last" })
		})
		all, _ := l.end()
		text := bytesOf(all)
		for _, want := range []string{"wanted: relative", "wanted: mounted"} {
			if !strings.Contains(text, want) {
				t.Errorf("captured %q, want %q in it", text, want)
			}
		}
	})
}

// TestFilesForgotten: of the files that were not chosen only the last are
// remembered; one that was goes on to be, though its name leads nowhere by now.
func TestFilesForgotten(t *testing.T) {
	name := filepath.Join(t.TempDir(), "s")
	if err := os.WriteFile(name, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	var st unix.Stat_t
	if err := unix.Stat(name, &st); err != nil {
		t.Fatal(err)
	}
	f := newPathFilter(filter.NewPaths([]string{name}), []string{name}, nil)
	bound := func(file uint64) *socket {
		of := &socket{path: "/elsewhere"}
		of.info.File, of.info.Device = file, kernelDevice(st.Dev)
		return of
	}
	if !f.keeps(bound(st.Ino)) {
		t.Fatal("the file is not found")
	}
	if err := os.Remove(name); err != nil {
		t.Fatal(err)
	}
	for i := range uint64(3 * maxOthers) {
		if f.keeps(bound(1<<60 + i)) {
			t.Fatal("another file is taken for it")
		}
	}
	if !f.keeps(bound(st.Ino)) {
		t.Error("the file is not chosen any more")
	}
	if n := f.files.len() + f.other.len(); n > 2*maxOthers+1 {
		t.Errorf("%d files are remembered", n)
	}
}
