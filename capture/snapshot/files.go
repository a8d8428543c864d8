package snapshot

import (
	"io/fs"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/sockcap/sockcap/capture/container"
)

// maxBelow bounds how many files of directories are looked at.
const maxBelow = 65536

// Files is a choice of sockets by what a name leads to now: symbolic links,
// bind mounts and relative names are seen through.
type Files struct {
	files map[identity]bool
	dirs  []string // resolved, each with its slash
}

// identity is of the file that bind(2) made.
type identity struct{ device, inode uint32 }

// FindFiles looks patterns of [filepath.Glob] up: the socket files of these
// names, and all those below directories of these names, in our own file system
// and the host's, unless that is nil. The zero Files, of no or an empty pattern,
// has none.
func FindFiles(host *container.Root, globs ...string) *Files {
	f := &Files{files: make(map[identity]bool)}
	for _, root := range container.Roots(host) {
		left := maxBelow
		for _, glob := range globs {
			names, _ := root.Glob(glob) // the one error is a pattern's
			for _, name := range names {
				f.find(root, name, &left)
			}
		}
	}
	return f
}

func (f *Files) find(root *container.Root, name string, left *int) {
	info, err := root.Stat(name)
	switch {
	case err != nil:
	case info.IsDir():
		f.below(root, name, left)
	default:
		f.add(info)
	}
}

// Literal is the pattern of [filepath.Glob] that only a name itself matches.
func Literal(name string) string {
	return strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`).Replace(name)
}

func (f *Files) below(root *container.Root, name string, left *int) {
	if dir, err := root.Resolve(name); err == nil {
		f.dirs = append(f.dirs, strings.TrimSuffix(dir, "/")+"/")
	}
	root.WalkDir(name+"/", func(_ string, d fs.DirEntry, err error) error {
		if *left--; *left < 0 {
			return fs.SkipAll
		}
		if err != nil || d.Type()&fs.ModeSocket == 0 {
			return nil // what can't be read is passed over
		}
		if info, err := d.Info(); err == nil {
			f.add(info)
		}
		return nil
	})
}

func (f *Files) add(info fs.FileInfo) {
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok || info.Mode()&fs.ModeSocket == 0 {
		return
	}
	device := unix.Major(st.Dev)<<20 | unix.Minor(st.Dev) // MKDEV, as unix_diag tells it
	f.files[identity{device, uint32(st.Ino)}] = true      // and of the inode the lower half
}

// Has reports whether a socket is chosen. Nil chooses none.
func (f *Files) Has(s *Socket) bool {
	if f == nil || s == nil || s.File == 0 {
		return false
	}
	if f.files[identity{s.Device, s.File}] {
		return true
	}
	for _, dir := range f.dirs {
		if strings.HasPrefix(s.Address, dir) {
			return true
		}
	}
	return false
}
