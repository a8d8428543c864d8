package wireshark

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

// Folders are where the Wireshark of a machine, or several, look for what
// others add to them. All are absolute.
type Folders struct {
	Lua      []string // scripts that are loaded at start
	Profiles []string // each profile has a folder below
	Extcap   []string // programs that are asked for interfaces at start
}

// Add adds those of other that f lacks.
func (f *Folders) Add(other Folders) {
	for _, l := range []struct{ to, from *[]string }{
		{&f.Lua, &other.Lua}, {&f.Profiles, &other.Profiles}, {&f.Extcap, &other.Extcap},
	} {
		for _, dir := range *l.from {
			if !slices.Contains(*l.to, dir) {
				*l.to = append(*l.to, dir)
			}
		}
	}
}

// DefaultFolders are a user's own ones, as the Wireshark User's Guide has them
// (Files and Folders), for where there is no tshark to ask. configHome is
// XDG_CONFIG_HOME, if set. Extcap programs are below the configuration up to
// 4.2, beside the plugins from 4.4 on: each version looks at one of the two.
func DefaultFolders(home, configHome string) Folders {
	if !filepath.IsAbs(configHome) { // as the XDG Base Directory Specification asks
		configHome = filepath.Join(home, ".config")
	}
	library, config := filepath.Join(home, ".local/lib/wireshark"), filepath.Join(configHome, "wireshark")
	return Folders{
		Lua:      []string{filepath.Join(library, "plugins")},
		Profiles: []string{filepath.Join(config, "profiles")},
		Extcap:   []string{filepath.Join(library, "extcap"), filepath.Join(config, "extcap")},
	}
}

// patience is how long tshark may take to name its folders.
const patience = 30 * time.Second

// AskFolders asks tshark, an executable file, for the folders of the user that
// runs it and for those of all users. The environment is ours: HOME and others
// decide. Wireshark itself, which may be installed without tshark, can't be
// asked.
func AskFolders(ctx context.Context, tshark string) (personal, global Folders, err error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, tshark, "-G", "folders")
	cmd.WaitDelay = time.Second
	out, err := cmd.Output()
	if err != nil {
		return Folders{}, Folders{}, &Error{Op: "run", Name: tshark + " -G folders", Err: err}
	}
	personal, global = parseFolders(out)
	if len(personal.Lua) == 0 || len(global.Lua) == 0 {
		err := errors.New("names no folder for Lua plugins")
		return Folders{}, Folders{}, &Error{Op: "run", Name: tshark + " -G folders", Err: err,
			Hint: "a Wireshark built without Lua can't decode a capture; sockcap -y RAW writes one that it can"}
	}
	return personal, global, nil
}

// parseFolders reads what tshark -G folders prints: a name, a colon, a path.
func parseFolders(out []byte) (personal, global Folders) {
	named := map[string]string{}
	for lines := bufio.NewScanner(bytes.NewReader(out)); lines.Scan(); {
		name, dir, _ := strings.Cut(lines.Text(), ":")
		if dir = strings.TrimSpace(dir); filepath.IsAbs(dir) {
			named[name] = filepath.Clean(dir)
		}
	}
	// 4.0 names one extcap folder, the global one; it looks below the
	// personal configuration too.
	if dir, ok := named["Extcap path"]; ok {
		named["Global Extcap path"] = dir
		if config, ok := named["Personal configuration"]; ok {
			named["Personal Extcap path"] = filepath.Join(config, "extcap")
		}
	}
	of := func(who string) Folders {
		var f Folders
		if dir, ok := named[who+" Lua Plugins"]; ok {
			f.Lua = []string{dir}
		}
		if dir, ok := named[who+" configuration"]; ok {
			f.Profiles = []string{filepath.Join(dir, "profiles")}
		}
		if dir, ok := named[who+" Extcap path"]; ok {
			f.Extcap = []string{dir}
		}
		return f
	}
	return of("Personal"), of("Global")
}

// Action is what became of a file.
type Action string

const (
	Put       Action = "put"       // written, or written anew
	Linked    Action = "linked"    // a symbolic link was made
	Unchanged Action = "unchanged" // was there already
	Kept      Action = "kept"      // somebody changed it: it stays as it is
	Removed   Action = "removed"
)

// Step is one file that is installed, or taken away.
type Step struct {
	Action Action
	Path   string
	Target string // of a link
}

// Install puts the dissector and the profile into the folders, and links
// executable, an absolute path, into those for extcap programs; everyone says
// whether all users are to run it, or the current one. Folders that lack are
// made.
//
// A file appears whole or not at all, and never through a symbolic link in its
// own place. The dissector and the link are replaced. A file of the profile is
// replaced if it is as an Install before has put it, which a list beside it
// tells; otherwise it is kept, for Wireshark writes the user's preferences
// there.
//
// Install stops at the first error, which is an *Error, and returns what was
// done before it. The links come last.
func Install(f Folders, executable string, everyone bool) ([]Step, error) {
	in := &installation{}
	err := in.install(f, executable, everyone)
	if err == nil {
		return in.steps, nil // not a nil *Error
	}
	if everyone && errors.Is(err, fs.ErrPermission) {
		err.Hint = "run it as root; without --system it is for you alone"
	}
	return in.steps, err
}

// installation collects what was done.
type installation struct{ steps []Step }

func (in *installation) install(f Folders, executable string, everyone bool) *Error {
	for _, dir := range f.Lua {
		path := filepath.Join(dir, DissectorName)
		if err := in.putDissector(path); err != nil {
			return &Error{Op: "put", Name: path, Err: err}
		}
	}
	for _, dir := range f.Profiles {
		if err := in.putProfile(filepath.Join(dir, ProfileName)); err != nil {
			return err
		}
	}
	if len(f.Extcap) == 0 {
		return nil
	}
	if err := checkRunnable(executable, everyone); err != nil {
		hint := "copy it to where it can be run, and call that one: sudo install sockcap /usr/local/bin"
		return &Error{Op: "link", Name: executable, Err: err, Hint: hint}
	}
	for _, dir := range f.Extcap {
		path := filepath.Join(dir, "sockcap")
		if err := in.putLink(path, executable); err != nil {
			return &Error{Op: "link", Name: path, Err: err}
		}
	}
	return nil
}

func (in *installation) did(a Action, path, target string) {
	in.steps = append(in.steps, Step{Action: a, Path: path, Target: target})
}

func (in *installation) putDissector(path string) error {
	if have, err := readRegular(path); err == nil && string(have) == dissector {
		in.did(Unchanged, path, "")
		return nil
	}
	return in.put(path, []byte(dissector))
}

func (in *installation) put(path string, data []byte) error {
	if err := replaceFile(path, data); err != nil {
		return err
	}
	in.did(Put, path, "")
	return nil
}

// sumsName is the list of what Install has put into a profile's folder, in the
// form of sha256sum(1). Wireshark looks at no file of that name.
const sumsName = "sockcap.sha256"

func (in *installation) putProfile(dir string) *Error {
	names, err := fs.Glob(Profile(), "*") // sorted
	if err != nil {
		return &Error{Op: "list", Name: ProfileName, Err: err}
	}
	list := filepath.Join(dir, sumsName)
	before, now := readSums(list), []byte(nil)
	for _, name := range names {
		path := filepath.Join(dir, name)
		data, err := fs.ReadFile(Profile(), name)
		if err != nil {
			return &Error{Op: "read", Name: name, Err: err}
		}
		ours, err := in.putUnlessChanged(path, data, before[name])
		if err != nil {
			return &Error{Op: "put", Name: path, Err: err}
		}
		if ours {
			now = fmt.Appendf(now, "%s  %s\n", sumOf(data), name)
		}
	}
	if have, err := readRegular(list); err == nil && bytes.Equal(have, now) {
		in.did(Unchanged, list, "")
		return nil
	}
	if err := in.put(list, now); err != nil {
		return &Error{Op: "put", Name: list, Err: err}
	}
	return nil
}

// putUnlessChanged writes the file unless what is there has another sum than
// the one it was put with. It reports whether the file now has this content.
func (in *installation) putUnlessChanged(path string, data []byte, sum string) (ours bool, err error) {
	have, err := readRegular(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return true, in.put(path, data)
	case errors.Is(err, errIrregular):
		in.did(Kept, path, "")
		return false, nil
	case err != nil:
		return false, err
	case bytes.Equal(have, data):
		in.did(Unchanged, path, "")
		return true, nil
	case sumOf(have) == sum:
		return true, in.put(path, data)
	}
	in.did(Kept, path, "")
	return false, nil
}

func sumOf(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}

// readSums gives the sums by file name, none if there is no such list.
func readSums(path string) map[string]string {
	sums := map[string]string{}
	data, _ := readRegular(path)
	for line := range strings.Lines(string(data)) {
		if sum, name, ok := strings.Cut(strings.TrimSuffix(line, "\n"), "  "); ok {
			sums[name] = sum
		}
	}
	return sums
}

func (in *installation) putLink(path, target string) error {
	have, err := os.Readlink(path)
	switch {
	case errors.Is(err, syscall.EINVAL): // no link: a copy, or even the executable itself
		in.did(Kept, path, "")
		return nil
	case err == nil && leadsTo(path, have) == target:
		in.did(Unchanged, path, target)
		return nil
	}
	if err := replaceLink(path, target); err != nil {
		return err
	}
	in.did(Linked, path, target)
	return nil
}

// leadsTo is where the link at path leads. A package's goes by its own folder.
func leadsTo(path, text string) string {
	if filepath.IsAbs(text) {
		return text
	}
	return filepath.Join(filepath.Dir(path), text)
}

// errIrregular: a link, a directory, a device in a file's place.
var errIrregular = errors.New("not a regular file")

// readRegular reads a file that is no link.
func readRegular(path string) ([]byte, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0)
	if errors.Is(err, syscall.ELOOP) {
		return nil, errIrregular
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if info, err := f.Stat(); err != nil || !info.Mode().IsRegular() {
		return nil, errIrregular
	}
	var data bytes.Buffer
	_, err = data.ReadFrom(f)
	return data.Bytes(), err
}

// replaceFile makes path a file of this content in one step. Those who may
// enter the folder may read it, whatever the umask.
func replaceFile(path string, data []byte) (err error) {
	dir := filepath.Dir(path)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	f, err := os.CreateTemp(dir, ".sockcap-") // not *.lua, which Wireshark would load
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			os.Remove(f.Name())
		}
	}()
	_, err = f.Write(data)
	if err = errors.Join(err, f.Chmod(0o644), f.Sync(), f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}

// replaceLink makes path a symbolic link to target in one step.
func replaceLink(path, target string) error {
	dir := filepath.Dir(path)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	temp, err := os.MkdirTemp(dir, ".sockcap-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(temp)
	link := filepath.Join(temp, "link")
	if err := os.Symlink(target, link); err != nil {
		return err
	}
	return os.Rename(link, path)
}

// checkRunnable says why executable can't be run by the current user, or by
// other users than root. One that only a group may run is meant so: whoever is
// not in it has no interface, and no harm.
func checkRunnable(executable string, everyone bool) error {
	if !everyone {
		if syscall.Access(executable, 1) != nil { // X_OK
			return errors.New("you may not run it")
		}
		return nil
	}
	for path := executable; ; path = filepath.Dir(path) {
		info, err := os.Stat(path)
		if err != nil {
			return err
		}
		if info.Mode()&0o011 == 0 {
			return fmt.Errorf("others may not run it: %s is closed to them", path)
		}
		if path == filepath.Dir(path) {
			return nil
		}
	}
}

// Error is what this package's functions return.
type Error struct {
	Op   string // what was tried: run, find, put, link, read, remove
	Name string // of the file or the command
	Hint string // the cure, if known; for a second line "hint: ..."
	Err  error
}

// Error leaves out the names of temporary files.
func (e *Error) Error() string {
	var number syscall.Errno
	if errors.As(e.Err, &number) {
		return e.Op + " " + e.Name + ": " + number.Error()
	}
	return e.Op + " " + e.Name + ": " + e.Err.Error()
}

func (e *Error) Unwrap() error { return e.Err }
