package capture

import (
	"io/fs"
	"slices"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/sockcap/sockcap/capture/container"
	"github.com/sockcap/sockcap/capture/filter"
)

// pathFilter keeps the sockets that paths choose: by the identity of the
// socket file, so that a symbolic link, a bind mount or a relative name match
// too, or else by name.
type pathFilter struct {
	paths filter.Paths
	roots []*container.Root
	names []string                           // of files; may not exist yet
	glob  string                             // of more of them, or empty
	files *generations[socketFile, struct{}] // that were chosen: what matched once goes on to, though the file is gone
	other *generations[socketFile, struct{}] // of those looked at that were not
}

// socketFile is a bound address and the file that it made.
type socketFile struct {
	device uint32
	inode  uint64
	path   string
}

// maxOthers is how many files that were not chosen are remembered: others are
// looked at again.
const maxOthers = 8192

// maxBelow bounds how many files of a directory are looked at.
const maxBelow = 65536

// newPathFilter looks names up in our own file system, and in the host's, unless
// that is nil.
func newPathFilter(paths filter.Paths, names []string, host *container.Root) *pathFilter {
	return &pathFilter{
		paths: paths, names: names, roots: container.Roots(host),
		files: newGenerations[socketFile, struct{}](maxSockets), other: newGenerations[socketFile, struct{}](maxOthers),
	}
}

// keeps decides once for each socket, when something is sent on it.
func (f *pathFilter) keeps(s *socket) bool {
	if f.paths.All() {
		return true
	}
	if s.wanted == undecided {
		s.wanted = drop
		if s.path != "" && (f.paths.Match(s.path) || f.same(s)) {
			s.wanted = keep
		}
	}
	return s.wanted == keep
}

// same looks the files up, once for each that was bound: all connections of a
// listener share it.
func (f *pathFilter) same(s *socket) bool {
	if s.info.File == 0 {
		return false
	}
	file := socketFile{s.info.Device, s.info.File, s.path}
	if _, ok := f.files.get(file); ok {
		return true
	}
	if _, ok := f.other.get(file); ok {
		return false
	}
	if slices.ContainsFunc(f.roots, func(root *container.Root) bool { return f.leadTo(root, file) }) {
		f.files.put(file, struct{}{})
		return true
	}
	f.other.put(file, struct{}{})
	return false
}

// leadTo reports whether one of the names leads to a file.
func (f *pathFilter) leadTo(root *container.Root, file socketFile) bool {
	names := f.names
	if f.glob != "" {
		names, _ = root.Glob(f.glob) // the one error is a pattern's
	}
	return slices.ContainsFunc(names, func(name string) bool {
		return !strings.HasPrefix(name, "@") && file.isAt(root, name)
	})
}

// forgetOthers forgets the files that were not chosen, to look at them again.
func (f *pathFilter) forgetOthers() {
	f.other = newGenerations[socketFile, struct{}](maxOthers)
}

// isAt reports whether the file is what name leads to, or lies below that.
func (f socketFile) isAt(root *container.Root, name string) bool {
	info, err := root.Stat(name)
	if err != nil {
		return false
	}
	if !info.IsDir() {
		return f.is(info)
	}
	if dir, err := root.Resolve(name); err == nil && filter.NewPaths([]string{dir}).Match(f.path) {
		return true
	}
	found, left := false, maxBelow
	root.WalkDir(name+"/", func(_ string, d fs.DirEntry, err error) error {
		if left--; left < 0 {
			return fs.SkipAll
		}
		if err != nil || d.Type()&fs.ModeSocket == 0 {
			return nil // what can't be read is passed over
		}
		if info, err := d.Info(); err == nil && f.is(info) {
			found = true
			return fs.SkipAll
		}
		return nil
	})
	return found
}

func (f socketFile) is(info fs.FileInfo) bool {
	st, ok := info.Sys().(*syscall.Stat_t)
	return ok && st.Ino == f.inode && kernelDevice(st.Dev) == f.device
}

// kernelDevice is a device number as the kernel has it inside (MKDEV).
func kernelDevice(dev uint64) uint32 {
	return unix.Major(dev)<<20 | unix.Minor(dev)
}
