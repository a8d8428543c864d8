package main

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/sockcap/sockcap/pcapng"
)

// asksName is what this binary is called as a command that asks a question at
// a path and prints the answer.
const asksName = "asks"

func asks(path, question string) int {
	answer, err := ask(path, question)
	if err != nil {
		fmt.Fprintln(os.Stderr, "asks:", err)
		return 1
	}
	fmt.Println(answer)
	return 0
}

func ask(path, question string) (string, error) {
	c, err := net.DialUnix("unix", nil, &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		return "", err
	}
	defer c.Close()
	if _, err := io.WriteString(c, question); err != nil {
		return "", err
	}
	if err := c.CloseWrite(); err != nil {
		return "", err
	}
	answer, err := io.ReadAll(c)
	return string(answer), err
}

// answerAt answers questions at path, one after the other, and calls asked
// before each answer.
func answerAt(t *testing.T, path string, asked func(question string)) {
	t.Helper()
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	t.Cleanup(func() {
		l.Close()
		<-done
	})
	go func() {
		defer close(done)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			question, err := io.ReadAll(c)
			if err == nil {
				asked(string(question))
				_, err = io.WriteString(c, "answer to "+string(question))
			}
			if err = errors.Join(err, c.Close()); err != nil {
				t.Error(err)
			}
		}
	}()
}

// TestCommandMake: of what make's recipes ask a server, and of their answers,
// every byte is in the file, and nothing of what others ask it.
func TestCommandMake(t *testing.T) {
	dir := t.TempDir()
	path, file := filepath.Join(dir, "server"), filepath.Join(dir, "out.pcapng")
	strangers := make(chan struct{}, 1)
	answerAt(t, path, func(question string) {
		if strings.Contains(question, "target") {
			select {
			case strangers <- struct{}{}:
			default:
			}
		}
	})
	makefile := "all: $(addprefix target,$(shell seq 7))\n" +
		"target%:\n\t@'" + asCommand(t, asksName) + "' '" + path + "' $@\n" +
		"\t@('" + asCommand(t, asksName) + "' '" + path + "' second-$@) && exit 0\n"
	if err := os.WriteFile(filepath.Join(dir, "Makefile"), []byte(makefile), 0o600); err != nil {
		t.Fatal(err)
	}
	asked := make(chan int)
	go func() { // a stranger asks whenever make has
		n := 0
		for range strangers {
			if _, err := ask(path, fmt.Sprint("stranger ", n)); err != nil {
				t.Error(err)
			}
			n++
		}
		asked <- n
	}()
	p := startAlone(t, "none", "-w", file, "--", "make", "-s", "-C", dir, "-j2")
	stdout, stderr := p.end(0)
	close(strangers)
	if n := <-asked; n == 0 {
		t.Error("no stranger has asked")
	}
	var want []string
	for i := 1; i <= 7; i++ {
		for _, question := range []string{fmt.Sprint("target", i), fmt.Sprint("second-target", i)} {
			want = append(want, question, "answer to "+question)
			if !strings.Contains(stdout, "answer to "+question+"\n") {
				t.Errorf("make says %q, without %q", stdout, question)
			}
		}
	}
	slices.Sort(want)
	if got := dataIn(t, file, path); !slices.Equal(got, want) {
		t.Errorf("captured %q\nwant %q\n%s", got, want, stderr)
	}
}

// dataIn is the payloads at a path in a capture file, sorted.
func dataIn(t *testing.T, name, path string) []string {
	t.Helper()
	var all []string
	for _, p := range readPackets(t, name) {
		if p.Event == pcapng.EventData && p.Path == path {
			all = append(all, string(p.Data))
		}
	}
	slices.Sort(all)
	return all
}
