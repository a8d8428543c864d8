package main

import (
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/pflag"

	"github.com/sockcap/sockcap/capture/filter"
)

// TestFlagValues: what is offered after a flag is taken, and a flag that is
// not there any more is not offered anything.
func TestFlagValues(t *testing.T) {
	for name, values := range flagValues(testHost()) {
		if slices.Contains([]string{"path", "comm", "pid", "uid", "Z"}, name) {
			continue // what there is on this machine
		}
		for _, v := range values() {
			if strings.HasSuffix(v, ":") {
				v += "7"
			}
			var r raw
			s := pflag.NewFlagSet("", pflag.ContinueOnError)
			r.define(s)
			args := []string{"--" + name, v}
			switch name {
			case "format":
			case "since", "until":
				args = append(args, "--since", "all", "-r", "nats://host/STREAM")
			default:
				args = append(args, "-w", "out")
			}
			if err := s.Parse(args); err != nil {
				t.Errorf("%q: %v", args, err)
			} else if _, err := r.flags(s, nil); err != nil {
				t.Errorf("%q: %v", args, err)
			}
		}
		if commands()["sockcap"].Flags().Lookup(name) == nil && !slices.Contains(pending(), "-"+name) {
			t.Errorf("there is no flag %q", name)
		}
	}
}

// TestPrimitives: each word that is offered where a primitive begins does
// begin one.
func TestPrimitives(t *testing.T) {
	for _, word := range primitives() {
		text := word
		switch {
		case word == "src" || word == "dst":
			text += " pid 7"
		case word == "not":
			text += " fds"
		case word == "len":
			text += " > 7"
		case word == "cgroup":
			text += " x"
		case expectsValue(word) || isComparison(word):
			text += " 7"
		}
		if _, err := filter.Parse(text, lookup()); err != nil {
			t.Errorf("%q: %v", text, err)
		}
	}
}

// TestContinuations: what may follow, and the whole of it makes sense.
func TestContinuations(t *testing.T) {
	h := testHost()
	h.proc = fstest.MapFS{
		"net/unix": {Data: []byte("Num RefCount\n0: 2 0 10000 1 1 7 /run/a\n0: 2 0 10000 1 1 8 @b\n0: 2\n\n")},
		"7/comm":   {Data: []byte("path\n")},
		"8/comm":   {Data: []byte("x y\n")},
		"9/comm":   {Data: []byte("")},
		"self":     {Data: []byte("")},
	}
	operators := []string{"and", "or"}
	for words, want := range map[string][]string{
		"pid":                   {"7", "8", "9"},
		"not comm":              {"path"},
		"comm path":             operators,
		"comm comm":             operators,
		"path comm":             operators,
		"pid 7 and path":        {"/run/a", "@b"},
		"src":                   ends(),
		"(dst":                  ends(),
		"len":                   {"<", "<=", ">", ">=", "=", "!="},
		"len >":                 nil,
		"less":                  nil,
		"container":             nil,
		"less 5":                operators,
		"/run/a":                append(operators, "/run/a"),
		"@b /run/x":             append(operators, "/run/a"),
		"(/run/a or @b)":        operators,
		"":                      append(primitives(), "/run/a"),
		"pid 5 and (":           append(primitives(), "/run/a"),
		"stream && !":           append(primitives(), "/run/a"),
		"pid 5 or 6":            operators,
		"src comm a or dst uid": accounts("/etc/passwd")(),
	} {
		if d := cmp.Diff(want, h.continuations(strings.Fields(words), "")); d != "" {
			t.Errorf("after %q (-want +got):\n%s", words, d)
		}
	}
	if d := cmp.Diff(append(primitives(), "/run/a", "@b"), h.continuations(nil, "@")); d != "" {
		t.Errorf("where @ has begun (-want +got):\n%s", d)
	}
	h.proc = fstest.MapFS{}
	if got := append(append(h.sockets(), h.pids()...), h.comms()...); len(got) > 0 {
		t.Errorf("an empty /proc has %q", got)
	}
}

// FuzzSockets: whatever /proc/net/unix says, what a shell gets are single
// words that begin as addresses do.
func FuzzSockets(f *testing.F) {
	f.Add([]byte("Num RefCount\n0: 2 0 10000 1 1 7 /run/a\n0: 2 0 10000 1 1 8 @b\x00\n"))
	f.Add([]byte("0: 2 0 10000 1 1 7 /run/a b\n       /\n0: 2 0 1 1 1 7 \x1b[2J\n"))
	f.Fuzz(func(t *testing.T, table []byte) {
		h := testHost()
		h.proc = fstest.MapFS{"net/unix": {Data: table}}
		for _, s := range h.sockets() {
			if !isPlain(s) || s[0] != '/' && s[0] != '@' {
				t.Errorf("%q is offered", s)
			}
		}
	})
}
