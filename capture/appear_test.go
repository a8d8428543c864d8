package capture

import (
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sockcap/sockcap/capture/filter"
	"github.com/sockcap/sockcap/capture/internal/workload"
	"github.com/sockcap/sockcap/pcapng"
)

// TestNameAppears: a name that comes to lead to the file of a socket, by a link
// or because the file is renamed, chooses it from then on, though the kernel
// side was told before that it does not. What was sent on it before is not
// kept.
func TestNameAppears(t *testing.T) {
	eachSet(t, func(t *testing.T, set string) {
		inParallel(t)
		for how, appear := range map[string]func(old, name string) error{"link": os.Symlink, "rename": os.Rename} {
			for _, by := range []string{"paths", "filter"} {
				dir := t.TempDir()
				name, marker := filepath.Join(dir, "name"), filepath.Join(dir, "marker")
				o := Options{Hooks: set, Paths: []string{name, marker}, BufferSize: 1 << 20}
				if by == "filter" {
					var err error
					o.Paths = nil
					if o.Filter, err = filter.Parse(name+" "+marker+" and data", filter.Lookup{}); err != nil {
						t.Fatal(err)
					}
				}
				l := startLive(t, o, nil)
				p := newPuppet(t, workload.PuppetConfig{})
				listener := p.listen(unix.SOCK_STREAM, filepath.Join(dir, "old"))
				client, server := p.dial(listener, unix.SOCK_STREAM, filepath.Join(dir, "old"))
				p.pass(client, server, "early")
				p.exchange(marker, "marker")
				l.wait("the marker", func(all []*pcapng.Packet) bool { return len(kept(all, isData)) > 0 }) // so the name is judged
				p.pass(client, server, "early")
				p.must(appear(filepath.Join(dir, "old"), name))
				for i, limit := 0, time.Now().Add(patience); ; i++ {
					p.pass(client, server, "late "+strconv.Itoa(i))
					if len(kept(l.all(), isData)) > 1 {
						break
					}
					if time.Now().After(limit) {
						t.Fatalf("%s, %s: waited in vain: %+v", how, by, l.s.Stats())
					}
				}
				p.pass(client, server, "last")
				all, _ := l.end()
				all = kept(all, isData)
				if slices.ContainsFunc(all, func(c *pcapng.Packet) bool { return string(c.Data) == "early" }) || string(all[len(all)-1].Data) != "last" {
					t.Errorf("%s, %s: kept %s", how, by, showAll(all))
				}
			}
		}
	})
}
