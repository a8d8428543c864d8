package main

import (
	"encoding/hex"
	"io"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// TestOutputInOtherWords: what sockcap writes is passed on in a way that it
// can't know again. That is found all the same, named once, ended and counted;
// and who talks meanwhile for himself stays.
func TestOutputInOtherWords(t *testing.T) {
	t.Run("hexadecimal", func(t *testing.T) {
		t.Parallel()
		inHex(t)
	})
	t.Run("two sockcaps", func(t *testing.T) {
		t.Parallel()
		twoSockcaps(t)
	})
}

func inHex(t *testing.T) {
	dir := t.TempDir()
	passed, other := filepath.Join(dir, "p"), filepath.Join(dir, "o")
	answerAt(t, other, func(string) {})
	p := prepareProcess(t, "none", "-l", "-tq", dir)
	p.start()
	p.expect(p.stderr, "listening on")
	passOnUnread(t, passed, p.stdout, func(b []byte) []byte { return []byte(hex.EncodeToString(b)) })
	if _, err := ask(other, "the first question"); err != nil {
		t.Fatal(err)
	}
	p.expect(p.stderr, passed+": it talks when sockcap writes, and is silent when it does not")
	if _, err := ask(other, "the last question"); err != nil {
		t.Fatal(err)
	}
	p.signal(unix.SIGINT)
	_, stderr := p.end(0)
	if strings.Contains(stderr, "leaving out") || !regexp.MustCompile(`\d packets? left out for talking only when sockcap writes\n`).MatchString(stderr) {
		t.Errorf("stderr %q", stderr)
	}
}

// twoSockcaps: each prints what the other one's output is passed on over. One ends
// that, for it finds the other's out, or because both have written the same (of what
// else they saw), so that it takes that of both for its own.
func twoSockcaps(t *testing.T) {
	dir := t.TempDir()
	other := filepath.Join(dir, "o")
	answerAt(t, other, func(string) {})
	cut, ended := make(chan bool, 1), make(chan string, 2)
	var both [2]*process
	for i, name := range []string{"a", "b"} {
		p := prepareProcess(t, "none", "-l", "-q", dir)
		p.start()
		p.expect(p.stderr, "listening on")
		both[i] = p
		passOnUnread(t, filepath.Join(dir, name), p.stdout, func(b []byte) []byte { return b })
	}
	if _, err := ask(other, "the first question"); err != nil {
		t.Fatal(err)
	}
	for _, p := range both {
		go func() {
			var words strings.Builder
			for {
				line, err := p.stderr.ReadString('\n')
				words.WriteString(line)
				if strings.Contains(line, "it talks when sockcap writes") || strings.Count(words.String(), "leaving out") == len(both) {
					select {
					case cut <- true:
					default: // said already
					}
				}
				if err != nil {
					ended <- words.String()
					return
				}
			}
		}()
	}
	select {
	case <-cut:
	case words := <-ended:
		t.Fatalf("none is left out: %q", words)
	}
	for _, p := range both {
		p.signal(unix.SIGINT)
	}
	t.Logf("%q\n%q", <-ended, <-ended)
	for _, p := range both {
		if err := p.Wait(); err != nil {
			t.Error(err)
		}
	}
}

// passOnUnread is passOnAs where nobody looks at what comes out.
func passOnUnread(t *testing.T, path string, r io.Reader, words func([]byte) []byte) {
	t.Helper()
	far := passOnAs(t, path, r, 4096, words)
	go func() {
		defer far.Close()
		io.Copy(io.Discard, far)
	}()
}
