package wireshark

import (
	"os"
	"path/filepath"
)

// Found is a file of ours among Wireshark's.
type Found struct {
	Path string
	Ours bool // it is this version's: the dissector of this program, a link to it
}

// FindDissectors gives the dissectors that Wireshark loads from the folders.
func FindDissectors(f Folders) []Found {
	var all []Found
	for _, dir := range f.Lua {
		path := filepath.Join(dir, DissectorName)
		text, err := os.ReadFile(path) // through a link too, as Wireshark does
		if err == nil {
			all = append(all, Found{path, string(text) == dissector})
		}
	}
	return all
}

// FindExtcaps gives what Wireshark calls for sockcap's interface, and whether
// that is executable.
func FindExtcaps(f Folders, executable string) []Found {
	want, err := os.Stat(executable)
	if err != nil {
		return nil
	}
	var all []Found
	for _, dir := range f.Extcap {
		path := filepath.Join(dir, "sockcap")
		if _, err := os.Lstat(path); err != nil {
			continue
		}
		have, err := os.Stat(path)
		all = append(all, Found{path, err == nil && os.SameFile(want, have)})
	}
	return all
}
