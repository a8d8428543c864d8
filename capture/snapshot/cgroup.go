package snapshot

import (
	"strings"

	"github.com/sockcap/sockcap/capture/container"
)

// cgroup reads /proc/PID/cgroup: the path that says most, and what the paths
// tell. With version 1 a line is a hierarchy, and not all of them need have been
// told of a container.
func cgroup(text string) (path string, group container.Group) {
	var contained container.Group
	var systemd, other string
	for line := range strings.Lines(text) {
		_, rest, _ := strings.Cut(strings.TrimSuffix(line, "\n"), ":")
		controllers, p, ok := strings.Cut(rest, ":")
		if !ok {
			continue
		}
		if g := container.Parse(p); g.Container != "" && contained.Container == "" {
			contained = g
		}
		switch {
		case controllers == "":
			path = p
		case controllers == "name=systemd":
			systemd = p
		case len(p) > len(other):
			other = p
		}
	}
	for _, p := range []string{systemd, other} {
		if len(path) <= 1 && p != "" {
			path = p
		}
	}
	group = container.Parse(path)
	if group.Container == "" {
		contained.Unit = group.Unit
		group = contained
	}
	return path, group
}
