package main

import (
	"strings"
	"testing"
)

func TestFit(t *testing.T) {
	list := func(items ...string) cell {
		return cell{text: strings.Join(items, ","), cut: cutList, items: items}
	}
	path := cell{text: "/run/docker.sock", cut: cutLeft}
	wide := cell{text: "日本語", cut: cutLeft}
	for _, c := range []struct {
		cell  cell
		width int
		want  string
	}{
		{path, 16, "/run/docker.sock"}, {path, 15, "…un/docker.sock"}, {path, 2, "…k"}, {path, 1, "…"},
		{cell{text: "listening"}, 9, "listening"}, {cell{text: "listening"}, 4, "lis…"}, {cell{text: "listening"}, 1, "…"},
		{wide, 6, "日本語"}, {wide, 5, "…本語"}, {wide, 4, "…語"}, {wide, 2, "…"}, {cell{text: "日本語"}, 4, "日…"},
		{list("a[1]", "b[2]", "c[3]"), 14, "a[1],b[2],c[3]"}, {list("a[1]", "b[2]", "c[3]"), 13, "a[1],b[2]+1"},
		{list("a[1]", "b[2]", "c[3]"), 10, "a[1]+2"}, {list("long[1]", "b[2]"), 8, "lo…[1]+1"}, {list("long[1]"), 6, "lo…[1]"},
		{list("a[1]", "b[2]", "c[3]"), 3, "…[1]+2"}, {list("x"), 0, "…"},
	} {
		if got := c.cell.fit(c.width); got != c.want {
			t.Errorf("%q in %d: %q, want %q", c.cell.text, c.width, got, c.want)
		}
	}
	for text, want := range map[string]int{"": 0, "abc": 3, "ä": 1, "a\u0301": 1, "한": 2, "😀": 2, "…": 1, "µs": 2} {
		if got := textWidth(text); got != want {
			t.Errorf("%q takes %d, want %d", text, got, want)
		}
	}
}
