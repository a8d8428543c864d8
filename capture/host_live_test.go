package capture

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/sockcap/sockcap/capture/container"
	"github.com/sockcap/sockcap/capture/filter"
	"github.com/sockcap/sockcap/capture/internal/workload"
	"github.com/sockcap/sockcap/pcapng"
)

// TestHostPaths: in a container, a path is the host's too: a file's, a link's, a
// directory's, and with wildcards.
func TestHostPaths(t *testing.T) {
	eachSet(t, func(t *testing.T, set string) {
		inParallel(t)
		for by, options := range map[string]func() (Options, error){
			"paths": func() (Options, error) {
				return Options{Paths: []string{"/of-host/s", "/of-host/link", "/of-host/dir", "/of-host/last"}}, nil
			},
			"filter": func() (o Options, err error) {
				o.Filter, err = filter.Parse("(/of-host/[s] or /of-host/link or /of-host/dir or /of-host/l?st) and data", filter.Lookup{})
				return o, err
			},
		} {
			dir := t.TempDir()
			in := func(name string) string { return filepath.Join(dir, "of-host", name) }
			if err := os.MkdirAll(in("dir"), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.Symlink("/of-host/linked", in("link")); err != nil {
				t.Fatal(err)
			}
			o, err := options()
			if err != nil {
				t.Fatal(err)
			}
			o.Hooks, o.BufferSize = set, 1<<20
			if o.Host, err = container.OpenRoot(dir); err != nil {
				t.Fatal(err)
			}
			l := startLive(t, o, nil)
			p := newPuppet(t, workload.PuppetConfig{})
			for _, name := range []string{"s", "other", "linked", "dir/s", "last"} {
				p.exchange(in(name), name)
			}
			l.wait("the last", func(all []*pcapng.Packet) bool {
				return slices.ContainsFunc(all, func(p *pcapng.Packet) bool { return string(p.Data) == "last" })
			})
			all, _ := l.end()
			var got []string
			for _, p := range kept(all, isData) {
				got = append(got, string(p.Data))
			}
			if want := []string{"s", "linked", "dir/s", "last"}; !slices.Equal(got, want) {
				t.Errorf("%s: captured %q, want %q", by, got, want)
			}
		}
	})
}
