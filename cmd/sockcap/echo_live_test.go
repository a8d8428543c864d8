package main

import (
	"bytes"
	"io"
	"net"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/sockcap/sockcap/pcapng"
)

// TestOutputPassedOn: what sockcap writes into a pipe is passed on over a
// Unix socket, as docker attach or tmux do. That is named once, left out and
// counted; without that each line would make another, without end.
func TestOutputPassedOn(t *testing.T) {
	for _, args := range [][]string{{"-l"}, {"--json", "-l"}, {"-w", "-", "-U"}} {
		t.Run(args[0], func(t *testing.T) { outputPassedOn(t, args) })
	}
}

func outputPassedOn(t *testing.T, args []string) {
	dir := t.TempDir()
	passed, other := filepath.Join(dir, "passed.sock"), filepath.Join(dir, "other.sock")
	answerAt(t, other, func(string) {})
	p := prepareProcess(t, "none", append(args, dir)...)
	p.start()
	p.expect(p.stderr, "listening on")
	got := passOn(t, passed, p.stdout)
	if _, err := ask(other, "the first question"); err != nil {
		t.Fatal(err)
	}
	p.expect(p.stderr, "it carries what sockcap writes")
	if _, err := ask(other, "the last question"); err != nil {
		t.Fatal(err)
	}
	got.wait(t, "the last question")
	p.signal(unix.SIGINT)
	all := got.wait(t, "")
	_, stderr := p.end(0)
	if strings.Contains(stderr, "leaving out") || !strings.Contains(stderr, "of sockcap itself left out") {
		t.Errorf("stderr %q", stderr)
	}
	if n := dataAt(t, args[0], all, passed); n > 0 {
		t.Errorf("%d packets of what was passed on were captured:\n%q", n, all)
	}
}

// dataAt counts the data packets of a path in what was written.
func dataAt(t *testing.T, as, written, path string) (n int) {
	t.Helper()
	if as != "-w" {
		for line := range strings.Lines(written) {
			if strings.Contains(line, path) && (strings.Contains(line, " length ") || strings.Contains(line, `"event":"data"`)) {
				n++
			}
		}
		return n
	}
	for _, p := range decode(t, []byte(written)) {
		if p.Path == path && p.Event == pcapng.EventData && !isHead(p.Data) {
			n++
		}
	}
	return n
}

// isHead reports whether data is how a file begins, which is all that may come
// before the first packet by which it is known.
func isHead(data []byte) bool {
	return bytes.HasPrefix(data, []byte("\x0a\x0d\x0d\x0a")) && !bytes.Contains(data, []byte("\x06\x00\x00\x00"))
}

// passedOn is what came out at the far end.
type passedOn struct {
	more chan []byte
	all  bytes.Buffer
}

// passOn copies from r to a socket at path, and keeps what is read there.
func passOn(t *testing.T, path string, r io.Reader) *passedOn {
	t.Helper()
	far := passOnAs(t, path, r, 64<<10, func(b []byte) []byte { return b })
	p := &passedOn{more: make(chan []byte, 1<<16)}
	go func() {
		defer close(p.more)
		defer far.Close()
		for {
			b := make([]byte, 64<<10)
			n, err := far.Read(b)
			if n > 0 {
				p.more <- b[:n]
			}
			if err != nil {
				return
			}
		}
	}()
	return p
}

// passOnAs copies from r to a socket at path, at most so many bytes at once and
// in other words, and gives its far end.
func passOnAs(t *testing.T, path string, r io.Reader, most int, words func([]byte) []byte) (far net.Conn) {
	t.Helper()
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	near, err := net.DialUnix("unix", nil, &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	if far, err = l.Accept(); err != nil {
		t.Fatal(err)
	}
	l.Close()
	go func() {
		defer near.Close()
		b := make([]byte, most) // no splice
		for {
			n, err := r.Read(b)
			if n > 0 {
				if _, err := near.Write(words(b[:n])); err != nil {
					return
				}
			}
			if err != nil {
				return
			}
		}
	}()
	return far
}

// wait gives all that has come out by the time that words are in it; without
// words, up to the end.
func (p *passedOn) wait(t *testing.T, words string) string {
	t.Helper()
	for words == "" || !strings.Contains(p.all.String(), words) {
		b, ok := <-p.more
		if !ok && words != "" {
			t.Fatalf("no %q in %q", words, p.all.String())
		}
		if !ok {
			break
		}
		p.all.Write(b)
	}
	return p.all.String()
}
