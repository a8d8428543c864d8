package wireshark

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"syscall"
)

// Uninstall takes away what Install has put into the folders: the dissector, the
// files of the profile with their list, and links to executable. What is not as
// sockcap has put it, because somebody changed it or it is another version's,
// is kept, unless all of these names are to go, by force; a program in the
// place of the link stays in any case. The profile's folder goes when nothing is
// left in it, other folders stay.
//
// It stops at the first error, which is an *Error, and returns what was done
// before it. What is not there is passed over.
func Uninstall(f Folders, executable string, everyone, force bool) ([]Step, error) {
	un := &removal{force: force}
	err := un.uninstall(f, executable)
	if err == nil {
		return un.steps, nil // not a nil *Error
	}
	if everyone && errors.Is(err, fs.ErrPermission) {
		err.Hint = "run it as root; without --system it is for you alone"
	}
	return un.steps, err
}

// removal collects what was done.
type removal struct {
	steps []Step
	force bool
}

func (un *removal) uninstall(f Folders, executable string) *Error {
	for _, dir := range f.Extcap {
		if err := un.removeLink(filepath.Join(dir, "sockcap"), executable); err != nil {
			return err
		}
	}
	for _, dir := range f.Lua {
		if err := un.remove(filepath.Join(dir, DissectorName), sumOf([]byte(dissector))); err != nil {
			return err
		}
	}
	for _, dir := range f.Profiles {
		if err := un.removeProfile(filepath.Join(dir, ProfileName)); err != nil {
			return err
		}
	}
	return nil
}

// remove takes a file away that has one of these sums.
func (un *removal) remove(path string, sums ...string) *Error {
	have, err := readRegular(path)
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ENOTDIR):
		return nil
	case err != nil && !errors.Is(err, errIrregular):
		return &Error{Op: "read", Name: path, Err: err}
	case !un.force && (err != nil || !slices.Contains(sums, sumOf(have))):
		un.did(Kept, path)
		return nil
	}
	return un.unlink(path)
}

func (un *removal) did(a Action, path string) {
	un.steps = append(un.steps, Step{Action: a, Path: path})
}

// unlink takes away what is there, but for a directory: that stops it.
func (un *removal) unlink(path string) *Error {
	if err := syscall.Unlink(path); err != nil {
		return &Error{Op: "remove", Name: path, Err: err}
	}
	un.did(Removed, path)
	return nil
}

// removeLink takes away a link to the executable; with force also one that leads
// elsewhere.
func (un *removal) removeLink(path, executable string) *Error {
	have, err := os.Readlink(path)
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ENOTDIR):
		return nil
	case err != nil && !errors.Is(err, syscall.EINVAL): // which is: no link
		return &Error{Op: "read", Name: path, Err: err}
	case err != nil, leadsTo(path, have) != executable && !un.force:
		un.did(Kept, path)
		return nil
	}
	return un.unlink(path)
}

// removeProfile takes away the files that the list names and this version has,
// then the list, which is of use only beside them.
func (un *removal) removeProfile(dir string) *Error {
	names, err := fs.Glob(Profile(), "*")
	if err != nil {
		return &Error{Op: "list", Name: ProfileName, Err: err}
	}
	list := filepath.Join(dir, sumsName)
	sums := readSums(list)
	for name := range sums {
		if name == filepath.Base(name) && name != "." && name != ".." && !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	for _, name := range names {
		own, _ := fs.ReadFile(Profile(), name) // none if it was an older version's
		if err := un.remove(filepath.Join(dir, name), sums[name], sumOf(own)); err != nil {
			return err
		}
	}
	if _, err := os.Lstat(list); err == nil {
		if err := un.unlink(list); err != nil {
			return err
		}
	}
	if err := syscall.Rmdir(dir); err == nil {
		un.did(Removed, dir)
	}
	return nil
}
