package snapshot

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// namespace is a network namespace.
type namespace struct {
	inode uint32
	file  *os.File // nil for the one that we are in
	names string   // the file that names its sockets
}

// namespaces gives our network namespace, first, and those of all processes
// that let us see it. They are to be closed.
func (t *taker) namespaces() ([]namespace, error) {
	own := inBrackets(readlink(filepath.Join(t.proc, "thread-self/ns/net")), "net:")
	list := []namespace{{inode: uint32(own), names: filepath.Join(t.proc, "thread-self/net/unix")}}
	seen := map[uint64]bool{own: true}
	pids, err := t.pids()
	if err != nil {
		return nil, err
	}
	for _, pid := range pids {
		name := filepath.Join(t.proc, pid, "ns/net")
		inode := inBrackets(readlink(name), "net:")
		if inode == 0 || seen[inode] {
			continue
		}
		if f, err := os.Open(name); err == nil {
			seen[inode] = true // else another process may let us in
			list = append(list, namespace{uint32(inode), f, filepath.Join(t.proc, pid, "net/unix")})
		}
	}
	return list, nil
}

func closeAll(list []namespace) {
	for _, n := range list {
		if n.file != nil {
			n.file.Close()
		}
	}
}

// pids lists the processes.
func (t *taker) pids() ([]string, error) {
	dir, err := os.Open(t.proc)
	if err != nil {
		return nil, &Error{Op: "list", Name: "processes", Err: err}
	}
	defer dir.Close()
	names, err := dir.Readdirnames(-1)
	if err != nil && len(names) == 0 {
		return nil, &Error{Op: "list", Name: "processes", Err: err}
	}
	pids := names[:0]
	for _, name := range names {
		if name[0] >= '1' && name[0] <= '9' {
			pids = append(pids, name)
		}
	}
	return pids, nil
}

func readlink(name string) string {
	target, err := os.Readlink(name)
	if err != nil {
		return ""
	}
	return target
}

// inBrackets is N of "PREFIX[N]", as /proc writes what has no name; 0 if it is
// something else.
func inBrackets(target, prefix string) uint64 {
	rest, ok := strings.CutPrefix(target, prefix+"[")
	if !ok || !strings.HasSuffix(rest, "]") {
		return 0
	}
	n, err := strconv.ParseUint(rest[:len(rest)-1], 10, 64)
	if err != nil {
		return 0
	}
	return n
}

// isRefused tells a lack of rights from a process that is gone.
func isRefused(err error) bool { return errors.Is(err, fs.ErrPermission) }
