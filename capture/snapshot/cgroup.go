package snapshot

import "strings"

// cgroup reads /proc/PID/cgroup: the path that says most, and the container
// that is named in one of the paths. With version 1 a line is a hierarchy,
// and not all of them need have been told of a container.
func cgroup(text string) (path, container string) {
	var systemd, other string
	for line := range strings.Lines(text) {
		_, rest, _ := strings.Cut(strings.TrimSuffix(line, "\n"), ":")
		controllers, p, ok := strings.Cut(rest, ":")
		if !ok {
			continue
		}
		if id := containerOf(p); id != "" && container == "" {
			container = id
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
	return path, container
}

// containerOf is the id of the innermost container that a cgroup's path names:
//
//	/docker/ID                                        docker, cgroupfs
//	/system.slice/docker-ID.scope                     docker, systemd
//	/kubepods/besteffort/podUID/ID                    containerd or CRI-O, cgroupfs
//	/kubepods.slice/.../cri-containerd-ID.scope       containerd, systemd
//	/default/ID                                       containerd's ctr
//	/kubepods.slice/.../crio-ID.scope                 CRI-O, systemd
//	/machine.slice/libpod-ID.scope/container          podman
//
// What guards a container from outside (crio-conmon-ID, libpod-conmon-ID) is
// not in it.
func containerOf(path string) string {
	id := ""
	for part := range strings.SplitSeq(path, "/") {
		part = strings.TrimSuffix(part, ".scope")
		prefix, name := "", part
		if i := strings.LastIndexByte(part, '-'); i >= 0 {
			prefix, name = part[:i], part[i+1:]
		}
		if isID(name) && !strings.HasSuffix(prefix, "conmon") {
			id = name
		}
	}
	return id
}

// isID reports whether name is a container's id: 64 hexadecimal digits.
func isID(name string) bool {
	return len(name) == 64 && strings.Trim(name, "0123456789abcdef") == ""
}

// unitOf is the innermost systemd unit in a cgroup's path that is no slice.
func unitOf(path string) string {
	unit := ""
	for part := range strings.SplitSeq(path, "/") {
		if i := strings.LastIndexByte(part, '.'); i > 0 {
			switch part[i+1:] {
			case "service", "scope", "socket", "mount", "swap":
				unit = part
			}
		}
	}
	return unit
}
