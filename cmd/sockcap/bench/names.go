package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/sockcap/sockcap/pcapng"
)

// named says how the messages of talkers were told of: with all their names, a
// name that is another's, or not, or not with all names.
type named struct{ right, wrong, missing int }

func (n *named) add(m named) {
	n.right, n.wrong, n.missing = n.right+m.right, n.wrong+m.wrong, n.missing+m.missing
}

// cells are what tables show of it.
func (n named) cells() []string {
	return []string{fmt.Sprint(n.right), fmt.Sprint(n.wrong), fmt.Sprint(n.missing)}
}

// namesIn compares what a capture says of talkers with who they were.
func namesIn(file, dir string, all []talker) (named, error) {
	var n named
	f, err := os.Open(file)
	if err != nil {
		return n, err
	}
	defer f.Close()
	r, err := pcapng.NewReader(f)
	if err != nil {
		return n, err
	}
	left := make(map[string]talker) // that no packet has told of, by what they say
	for _, t := range all {
		left[t.Name] = t
	}
	for p, err := range r.Packets() {
		if err != nil {
			return n, err
		}
		if p.Event != pcapng.EventData || p.Path != filepath.Join(dir, talkersPath) {
			continue
		}
		t, ok := left[string(p.Data)]
		delete(left, t.Name)
		said := spoken{int(p.Sender.PID), p.Sender.Comm, p.Exe, p.Cmdline}
		switch want := t.spoken(dir); {
		case ok && said == want:
			n.right++
		case ok && said.lacks(want):
			n.missing++
		default: // a name that is not true, or a message that nobody sent
			n.wrong++
		}
	}
	n.missing += len(left)
	return n, nil
}

// spoken is what a packet says of its sender.
type spoken struct {
	pid                int
	comm, exe, cmdline string
}

// spoken is what is true of a talker.
func (t talker) spoken(dir string) spoken {
	return spoken{t.PID, t.Name[:min(len(t.Name), 15)], filepath.Join(dir, t.Name), strings.Join([]string{t.Name, "-n", t.Name}, "\x00")}
}

// lacks reports whether nothing is said that is not true.
func (s spoken) lacks(want spoken) bool {
	return (s.pid == want.pid || s.pid == 0) && (s.comm == want.comm || s.comm == "") &&
		(s.exe == want.exe || s.exe == "") && (s.cmdline == want.cmdline || s.cmdline == "")
}
