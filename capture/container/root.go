package container

import (
	"bytes"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// Root is the file system of the host, as a process in a container sees it: a
// name is looked up below it, and so is what a symbolic link leads to. A nil
// Root is the file system that this process has itself. It may be used by
// several goroutines.
type Root struct {
	dir *os.File // O_PATH
}

// OpenHost opens the host's file system, with nil for a process that has the
// same root, and so is in no container. It is the root of the first process, or
// where that is closed even to root, of the one nearest to it that this process
// descends from, as of what has started the container. It needs the host's pid
// namespace, SYS_PTRACE, and a security module that does not keep it from these
// processes, as AppArmor's profile for containers does. What is opened stays
// open to who gives these up later.
func OpenHost() (*Root, error) {
	var own unix.Stat_t
	if err := unix.Stat("/", &own); err != nil {
		return nil, &fs.PathError{Op: "stat", Path: "/", Err: err}
	}
	var first error
	for _, pid := range slices.Backward(ancestors()) {
		name := fmt.Sprintf("/proc/%d/root", pid)
		var host unix.Stat_t
		switch err := unix.Stat(name, &host); {
		case err != nil && first == nil:
			first = &fs.PathError{Op: "stat", Path: name, Err: err}
		case err != nil:
		case own.Dev == host.Dev && own.Ino == host.Ino:
			return nil, nil
		default:
			return OpenRoot(name)
		}
	}
	return nil, first
}

// maxAncestors is how many there may be, far more than there are: their numbers
// are read one by one, and may be used again meanwhile.
const maxAncestors = 1024

// ancestors are the processes that this one descends from, the first of all
// last, as far as they are shown; empty in a pid namespace of its own.
func ancestors() []int {
	var all []int
	for pid := os.Getppid(); pid > 0 && len(all) < maxAncestors; pid = parentOf(pid) {
		all = append(all, pid)
	}
	return all
}

// parentOf is the parent of a process, 0 if there is none.
func parentOf(pid int) (parent int) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0
	}
	fmt.Sscanf(string(stat[bytes.LastIndexByte(stat, ')')+1:]), " %1s %d", new(string), &parent) // 0 if that is not there
	return parent
}

// OpenRoot opens a directory as a root.
func OpenRoot(name string) (*Root, error) {
	fd, err := unix.Open(name, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: name, Err: err}
	}
	r := &Root{dir: os.NewFile(uintptr(fd), name)}
	if _, err := r.Stat("/"); err != nil { // as where openat2 is refused
		r.dir.Close()
		return nil, err
	}
	return r, nil
}

// Close closes it, with nil too.
func (r *Root) Close() error {
	if r == nil {
		return nil
	}
	return r.dir.Close()
}

// Roots are this process's own root and the host's, unless that is nil.
func Roots(host *Root) []*Root {
	if host == nil {
		return []*Root{nil}
	}
	return []*Root{nil, host}
}

// Name is a name by which this process, and no other, can open the root, as
// long as there is the Root; "/" is its own.
func (r *Root) Name() string {
	if r == nil {
		return "/"
	}
	return fmt.Sprintf("/proc/self/fd/%d", r.dir.Fd())
}

// open opens a name without waiting for whoever is at the other end of it.
func (r *Root) open(name string, flags uint64) (*os.File, error) {
	how := unix.OpenHow{
		Flags:   flags | unix.O_CLOEXEC | unix.O_NONBLOCK,
		Resolve: unix.RESOLVE_IN_ROOT | unix.RESOLVE_NO_MAGICLINKS,
	}
	if flags&unix.O_PATH != 0 {
		how.Flags &^= unix.O_NONBLOCK
	}
	for {
		fd, err := unix.Openat2(int(r.dir.Fd()), name, &how)
		switch err {
		case nil:
			return os.NewFile(uintptr(fd), name), nil
		case unix.EAGAIN, unix.EINTR: // something was renamed meanwhile
			continue
		}
		return nil, &fs.PathError{Op: "open", Path: name, Err: err}
	}
}

// OpenFile opens a file for reading that is no symbolic link. It does not wait,
// whatever stands there.
func (r *Root) OpenFile(name string) (*os.File, error) {
	if r == nil {
		return os.OpenFile(name, os.O_RDONLY|unix.O_NONBLOCK|unix.O_NOFOLLOW, 0)
	}
	return r.open(name, unix.O_RDONLY|unix.O_NOFOLLOW)
}

// Stat describes what a name leads to.
func (r *Root) Stat(name string) (fs.FileInfo, error) {
	if r == nil {
		return os.Stat(name)
	}
	return r.stat(name, 0)
}

func (r *Root) stat(name string, flags uint64) (fs.FileInfo, error) {
	f, err := r.open(name, unix.O_PATH|flags)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return f.Stat()
}

// Resolve is a name without symbolic links, from the root on.
func (r *Root) Resolve(name string) (string, error) {
	if r == nil {
		return filepath.EvalSymlinks(name)
	}
	f, err := r.open(name, unix.O_PATH)
	if err != nil {
		return "", err
	}
	defer f.Close()
	root, err := os.Readlink(r.Name())
	if err != nil {
		return "", err
	}
	whole, err := os.Readlink(fmt.Sprintf("/proc/self/fd/%d", f.Fd()))
	return path.Clean("/" + strings.TrimPrefix(whole, strings.TrimSuffix(root, "/"))), err
}

// Glob is [filepath.Glob], for patterns that begin with a slash.
func (r *Root) Glob(pattern string) ([]string, error) {
	if r == nil {
		return filepath.Glob(pattern)
	}
	names, err := fs.Glob(below{r}, pattern)
	for i, name := range names {
		names[i] = path.Join("/", name) // which the first directory's have lost
	}
	return names, err
}

// WalkDir is [filepath.WalkDir].
func (r *Root) WalkDir(name string, fn fs.WalkDirFunc) error {
	if r == nil {
		return filepath.WalkDir(name, fn)
	}
	return fs.WalkDir(below{r}, name, fn)
}

// below gives a root to io/fs, whose functions take names with a slash at their
// beginning as they are, but for one that is nothing else.
type below struct{ root *Root }

func (b below) Open(name string) (fs.File, error) { return b.root.open(name, unix.O_RDONLY) }

func (b below) Stat(name string) (fs.FileInfo, error) { return b.root.Stat(name) }

func (b below) ReadDir(name string) ([]fs.DirEntry, error) {
	if name == "" {
		name = "/"
	}
	f, err := b.root.open(name, unix.O_RDONLY|unix.O_DIRECTORY)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	all, err := f.ReadDir(-1)
	slices.SortFunc(all, func(a, b fs.DirEntry) int { return strings.Compare(a.Name(), b.Name()) })
	for i, e := range all {
		all[i] = entry{e, b.root, path.Join(name, e.Name())}
	}
	return all, err
}

// entry is a directory's, described by what is below the root; that of an
// [os.File] would be looked for below ours.
type entry struct {
	fs.DirEntry
	root *Root
	name string
}

func (e entry) Info() (fs.FileInfo, error) { return e.root.stat(e.name, unix.O_NOFOLLOW) }
