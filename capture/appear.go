package capture

import (
	"fmt"
	"strings"
	"syscall"
	"time"

	"github.com/sockcap/sockcap/capture/container"
	"github.com/sockcap/sockcap/capture/filter"
	"github.com/sockcap/sockcap/capture/snapshot"
)

// appearInterval is how long it may take until a name that has come to lead to
// a socket's file is seen: a link made later, a file that was renamed. One that
// a socket has made itself needs no such look.
const appearInterval = time.Second

// maxAppear bounds how many files a pattern is looked at for.
const maxAppear = 1024

// appearances watches where the names lead that the filter asks for.
type appearances struct {
	next int64 // boot time of the next look
	seen string
}

// lookAgain asks anew of all that matched nothing, if a name leads somewhere
// else than at the last look. What has matched once goes on to.
func (s *Session) lookAgain() error {
	now := bootTime()
	if s.names == nil || now < s.appear.next {
		return nil
	}
	s.appear.next = now + int64(appearInterval)
	seen := s.whereNamesLead()
	if seen == s.appear.seen {
		return nil
	}
	first := s.appear.seen == ""
	s.appear.seen = seen
	if first {
		return nil
	}
	s.paths.forgetOthers()
	for _, f := range s.filter.files {
		f.forgetOthers()
	}
	s.sockets.each(func(of *socket) {
		if of.wanted == drop {
			of.wanted = undecided
		}
	})
	for name, n := range s.names.judged {
		of := &socket{info: n.socket, path: snapshot.Address(n.socket.Address[:n.socket.AddressLen])}
		if paths := s.matches(of); paths != n.paths {
			if err := s.names.judge(name, paths, &n.socket); err != nil {
				return err
			}
		}
	}
	return nil
}

// whereNamesLead is a text that changes when a name leads to another file, or
// something in a directory that it leads to does.
func (s *Session) whereNamesLead() string {
	var b strings.Builder
	b.WriteString("at:") // never empty
	for _, root := range s.paths.roots {
		for _, name := range s.paths.names {
			appendFile(&b, root, name)
		}
		s.filter.expr.EachPath(func(t *filter.Path) {
			names, _ := root.Glob(t.Glob()) // the one error is a pattern's
			for _, name := range names[:min(len(names), maxAppear)] {
				appendFile(&b, root, name)
			}
		})
	}
	return b.String()
}

func appendFile(b *strings.Builder, root *container.Root, name string) {
	var st *syscall.Stat_t
	if !strings.HasPrefix(name, "@") {
		if info, err := root.Stat(name); err == nil {
			st, _ = info.Sys().(*syscall.Stat_t)
		}
	}
	if st == nil {
		b.WriteString(" -")
		return
	}
	fmt.Fprintf(b, " %d:%d", st.Dev, st.Ino)
	if st.Mode&syscall.S_IFMT == syscall.S_IFDIR {
		fmt.Fprintf(b, "@%d.%d", st.Mtim.Sec, st.Mtim.Nsec)
	}
}
