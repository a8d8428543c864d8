package bpf

import (
	"bytes"
	"slices"
)

// What walk_path has to say of a file, as enum path_flags.
const (
	PathDeleted = 1 << 0 // the file has no name any more
	PathCut     = 1 << 1 // the first of its directories are missing
	PathLone    = 1 << 2 // a file that never had any: memfd, pipe, ...
)

// PathOf gives the name of a file as readlink of /proc/PID/exe would: names are
// what walk_path left, each with a NUL behind it, the last directory entry
// first. A name that does not begin with "/" is the end of a longer one, from
// the first directory on that is there whole. What is no file (a pipe, a
// socket, an eventfd) has another name, by its inode.
func PathOf(names []byte, flags uint32) string {
	var parts [][]byte
	for len(names) > 0 {
		part, rest, whole := bytes.Cut(names, []byte{0})
		if !whole && flags&PathCut != 0 {
			break // its end is missing
		}
		parts, names = append(parts, part), rest
	}
	slices.Reverse(parts)
	path := bytes.Join(parts, []byte("/"))
	if flags&PathCut == 0 {
		path = append([]byte("/"), path...)
	}
	if flags&(PathDeleted|PathLone) != 0 {
		path = append(path, " (deleted)"...)
	}
	return string(path)
}
