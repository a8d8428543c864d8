package bpf

import "testing"

func TestPathOf(t *testing.T) {
	for _, c := range []struct {
		names string
		flags uint32
		want  string
	}{
		{"", 0, "/"},
		{"passwd\x00etc\x00", 0, "/etc/passwd"},
		{"f\x00d\x00", PathDeleted, "/d/f (deleted)"},
		{"f\x00d\x00", PathCut, "d/f"},
		{"f\x00d\x00", PathCut | PathDeleted, "d/f (deleted)"},
		{"f\x00d\x00par", PathCut, "d/f"},
		{"par", PathCut, ""},
		{"memfd:x\x00", PathLone, "/memfd:x (deleted)"},
		{"\x00", PathLone, "/ (deleted)"},
		{"no end", 0, "/no end"},
		{"a\nb\x00", 0, "/a\nb"},
	} {
		if got := PathOf([]byte(c.names), c.flags); got != c.want {
			t.Errorf("PathOf(%q, %d) = %q, want %q", c.names, c.flags, got, c.want)
		}
	}
}
