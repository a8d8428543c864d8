package filter

import (
	"strings"
	"testing"
)

func TestPathsMatch(t *testing.T) {
	for _, tt := range []struct {
		names   string // separated by spaces
		address string
		want    bool
	}{
		{"", "/run/docker.sock", true},
		{"", "", true},
		{"/run/docker.sock", "/run/docker.sock", true},
		{"/run/docker.sock", "/run/docker.sock2", false},
		{"/run/docker.sock", "/run/docker", false},
		{"/run/docker.sock", "", false},
		{"/run/docker.sock", "@/run/docker.sock", false},
		{"/run/docker.sock", "docker.sock", false},
		{"/run", "/run/systemd/private", true},
		{"/run/", "/run/systemd/private", true},
		{"/run//systemd/../", "/run/a", true},
		{"/run", "/run//systemd//private", true},
		{"/run", "/running/a", false},
		{"/run", "/run/../tmp/a", false},
		{"/", "/tmp/a", true},
		{"/", "@a", false},
		{"/", "a", false},
		{"@a", "@a", true},
		{"@a", "@a\x00", false},
		{"@a", "@a/b", false},
		{"@a", "./@a", false},
		{"@/a", "@/a/b", false},
		{"/a @b", "@b", true},
		{"/a @b", "/a/c", true},
		{"/a @b", "/b", false},
	} {
		if got := NewPaths(strings.Fields(tt.names)).Match(tt.address); got != tt.want {
			t.Errorf("NewPaths(%q).Match(%q) = %v, want %v", tt.names, tt.address, got, tt.want)
		}
	}
}

func TestMatchDoesNotAllocate(t *testing.T) {
	p := NewPaths([]string{"/run/docker.sock", "@b"})
	if n := testing.AllocsPerRun(101, func() { p.Match("/run/docker.sock") }); n != 0 {
		t.Errorf("Match allocates %v times", n)
	}
}

// TestAbove: a pattern fits the one directory above an address that has as many
// slashes as it, if any.
func TestAbove(t *testing.T) {
	for _, c := range []struct {
		glob, address string
		fits          bool
	}{
		{"/a*", "/ab/c/d", true}, {"/a*", "/b/ab", false}, {"/*", "/", true}, {"/*/*", "/a", false}, {"/*/*", "/a/b/c", true},
		{"[/a]b/*", "ab/c/d", true}, {"[/a]b*", "ab/c", true}, {"[/a]b*", "/b", false}, {`*\/?`, "a/b/c", true}, {"*/a", "x/a/b", true}, {"*/a", "x/y/a", false},
	} {
		p, err := newPattern(c.glob)
		if err != nil {
			t.Fatal(err)
		}
		if got := p.matchAddress(c.address); got != c.fits {
			t.Errorf("%s of %s: %v", c.glob, c.address, got)
		}
	}
}
