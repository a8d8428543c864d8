package main

import (
	"io/fs"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// TestUnusedWords: what is said of a path that no socket has, in one line
// whatever its name is.
func TestUnusedWords(t *testing.T) {
	for _, c := range []struct {
		path unusedPath
		want string
	}{
		{unusedPath{name: "/a", err: &fs.PathError{Op: "stat", Path: "/a", Err: unix.ENOENT}}, "/a does not exist"},
		{unusedPath{name: "/a/b", err: &fs.PathError{Op: "stat", Path: "/a/b", Err: unix.EACCES}}, "/a/b: permission denied"},
		{unusedPath{name: "/a/b", err: unix.ENOTDIR}, "/a/b: not a directory"},
		{unusedPath{name: "@a"}, "no socket has the name @a"},
		{unusedPath{name: "/a", mode: fs.ModeDir | 0o755}, "no socket is in use below /a"},
		{unusedPath{name: "/a", mode: 0o644}, "/a is no socket"},
		{unusedPath{name: "/a", mode: fs.ModeSocket | 0o755}, "nobody listens on /a, which was left behind"},
		{unusedPath{name: "/a\n\x1b", mode: 0o644}, `"/a\n\x1b" is no socket`},
	} {
		if got := unusedWord(&c.path); got != c.want {
			t.Errorf("%+v: %s, want %s", c.path, got, c.want)
		}
	}
}

// TestTopNothing: an empty screen says why, until there is something.
func TestTopNothing(t *testing.T) {
	s := topScreen{at: at(0), seconds: 1, hooks: "tracepoint", nothing: "nothing to show yet"}
	const want = `
06:29:35 tracepoint, 0 packets lost, 0 connections, 0 bytes/s, 0 messages/s
BYTES/s  MSGS/s  LATENCY   TOTAL  TYPE    PATH  CLIENT  SERVER
nothing to show yet
`
	if got := "\n" + string(s.append(nil, &topView{sort: "bytes"}, 0, 0)); got != want {
		t.Errorf("got %s\nwant %s", got, want)
	}
	p := data(1, 1, 0)
	f := newFlowCounter()
	f.count(&p)
	s.rows, s.rest = f.take()
	if got := string(s.append(nil, &topView{sort: "bytes"}, 0, 0)); len(s.rows) != 1 || strings.Contains(got, s.nothing) {
		t.Errorf("with %d rows: %s", len(s.rows), got)
	}
}
