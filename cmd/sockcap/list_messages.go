package main

// What `sockcap list` says, besides messages.go.

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"github.com/sockcap/sockcap/capture/snapshot"
)

// What a shell says of it.
const (
	shortList    = "show the sockets of this moment"
	listIDsWords = "with inodes, file, memory, unit"
	numericWords = "users as numbers"
)

const helpList = `Usage: sockcap list [OPTION]... [EXPRESSION]
Show the Unix domain sockets of this moment: each connection once, with both
ends, and each socket that has none; all, or those that the expression keeps.

  -e                inodes, network namespace, file, descriptor, memory, unit
  -n                users as numbers
  --json            an object a line
  EXPRESSION        /PATH @NAME (or all below a directory), comm GLOB, pid N,
                    uid NAME, gid NAME, exe, cgroup, unit or pod GLOB,
                    container ID or NAME, inode N, netns N, stream, dgram,
                    seqpacket; and, or, not, ( )
  --path, --comm, --pid, --uid, --container, --cgroup    the same, with a value
  -h, --help

STATE  listen, unconn, estab; pending: not accepted yet; closed: the peer is
QUEUE  connections that wait, of as many as may; or bytes that have not been
       read: by the client (<), by the server (>)
CLIENT, SERVER  who holds it; -: no socket there, or none that can be seen;
       ?: a socket that nobody is seen to hold, as of other users
-e     file=DEVICE/INODE of the socket file; fd= in the first process; mem=
       bytes taken/allowed to receive (r), to send (w: what nobody has read)
`

// sayNothing tells why there is nothing to list.
func (h *host) sayNothing(c *socketChoice, s *snapshot.Snapshot) {
	if c.expr.All() {
		h.say("", "there is no socket")
		return
	}
	h.say("", "no socket matches%s", unusedWords(c.unused(s, h.root)))
	if n := s.Hidden.Processes; n > 0 && c.expr.Uses("comm", "pid", "uid", "gid", "exe", "cgroup", "container", "unit", "pod") != "" {
		h.say("", "hidden are %s of other users, whose sockets might", countOf(uint64(n), "process", "processes"))
		h.say("hint: ", "run as root, or grant it cap_sys_ptrace")
	}
}

// unusedWords says why no socket has these addresses, after what follows from
// that; it is empty if there are none.
func unusedWords(all []unusedPath) string {
	var words []string
	for _, u := range all {
		words = append(words, unusedWord(&u))
	}
	if len(words) == 0 {
		return ""
	}
	return ": " + strings.Join(words, "; ")
}

func unusedWord(u *unusedPath) string {
	name := quoteName(u.name)
	var path *fs.PathError
	switch {
	case errors.Is(u.err, fs.ErrNotExist):
		return name + " does not exist"
	case errors.As(u.err, &path):
		return name + ": " + path.Err.Error()
	case u.err != nil:
		return name + ": " + u.err.Error()
	case strings.HasPrefix(u.name, "@"):
		return "no socket has the name " + name
	case u.mode.IsDir():
		return "no socket is in use below " + name
	case u.mode&fs.ModeSocket == 0:
		return name + " is no socket"
	}
	return "nobody listens on " + name + ", which was left behind"
}

// sayHidden tells what was not to be seen of these links, if anything.
func (h *host) sayHidden(s *snapshot.Snapshot, links []snapshot.Link) {
	if s.Truncated {
		h.say("warning: ", "there are more than %s, which is as many as are looked at", count(uint64(len(s.Sockets)), "socket"))
	}
	var lacks []string
	if n := s.Hidden.Namespaces; n > 0 {
		lacks = append(lacks, "cap_sys_admin")
		h.say("", "hidden are the sockets of %s", count(uint64(n), "other network namespace"))
	}
	without := 0
	for i := range links {
		for _, end := range []*snapshot.Socket{links[i].Client, links[i].Server} {
			if end != nil && len(end.Holders) == 0 {
				without++
			}
		}
	}
	if s.Hidden.Processes > 0 && without > 0 {
		lacks = append(lacks, "cap_sys_ptrace")
		h.say("", "hidden are %s of other users, who may hold the %s without a process",
			countOf(uint64(s.Hidden.Processes), "process", "processes"), count(uint64(without), "socket"))
	}
	if len(lacks) > 0 {
		h.say("hint: ", "run as root, or grant it %s", strings.Join(lacks, ","))
	}
}

// countOf is count for what has a plural of its own.
func countOf(n uint64, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}
