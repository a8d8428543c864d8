// Package container finds what a process runs in by its control group: a
// container, a pod, a systemd unit; and what the container's engine calls it
// ([Names]). It asks no engine: paths and state files tell. Everything that it
// returns is hostile text.
package container

import "strings"

// Group is what a control group's path tells.
type Group struct {
	Container string // id, or the name where the engine has none; empty: not in one
	Named     bool   // Container is a name
	PodUID    string // Kubernetes'
	Unit      string // the innermost systemd unit that is no slice
}

// Parse takes a control group's path apart. The innermost container counts:
//
//	/docker/ID                                        docker, cgroupfs
//	/system.slice/docker-ID.scope                     docker, systemd
//	/kubepods/besteffort/podUID/ID                    containerd or CRI-O, cgroupfs
//	/kubepods.slice/.../cri-containerd-ID.scope       containerd, systemd
//	/default/ID                                       containerd's ctr
//	/kubepods.slice/.../crio-ID.scope                 CRI-O, systemd
//	/machine.slice/libpod-ID.scope/container          podman
//	/machine.slice/systemd-nspawn@NAME.service/...    systemd-nspawn, as a service
//	/machine.slice/machine-NAME.scope/payload         systemd-nspawn
//	/lxc.payload.NAME/..., /lxc/NAME/...              LXC
//
// What guards a container from outside (crio-conmon-ID, libpod-conmon-ID,
// lxc.monitor.NAME, the supervisor of systemd-nspawn) is not in it.
func Parse(path string) Group {
	var g Group
	before := ""
	for part := range strings.SplitSeq(path, "/") {
		if unit := unitOf(part); unit != "" {
			g.Unit = unit
		}
		if uid := podUID(part); uid != "" {
			g.PodUID = uid
		}
		if id := idOf(part); id != "" {
			g.Container, g.Named = id, false
		} else if name := nameOf(part, before); name != "" {
			g.Container, g.Named = name, true
		} else if part == "supervisor" && g.Named && isMachine(before) {
			g.Container, g.Named = "", false
		}
		before = part
	}
	return g
}

// idOf is the id of the container that a part of a path names.
func idOf(part string) string {
	part = strings.TrimSuffix(part, ".scope")
	prefix, name := "", part
	if i := strings.LastIndexByte(part, '-'); i >= 0 {
		prefix, name = part[:i], part[i+1:]
	}
	if !isID(name) || strings.HasSuffix(prefix, "conmon") {
		return ""
	}
	return name
}

// isID reports whether name is a container's id: 64 hexadecimal digits.
func isID(name string) bool {
	return len(name) == 64 && strings.Trim(name, "0123456789abcdef") == ""
}

// nameOf is the name of the container, of an engine without ids, that a part of
// a path names; before is the part ahead of it.
func nameOf(part, before string) string {
	switch {
	case part == "" || strings.HasPrefix(part, "lxc.monitor"):
		return ""
	case before == "lxc" || before == "lxc.payload":
		return part
	}
	if name, ok := strings.CutPrefix(part, "lxc.payload."); ok {
		return name
	}
	if name, ok := between(part, "systemd-nspawn@", ".service"); ok {
		return unescape(name)
	}
	if name, ok := between(part, "machine-", ".scope"); ok && !strings.HasPrefix(name, "qemu") { // a machine of libvirt's is none of ours
		return unescape(name)
	}
	return ""
}

// isMachine reports whether a part of a path is systemd-nspawn's.
func isMachine(part string) bool {
	return strings.HasPrefix(part, "systemd-nspawn@") || strings.HasPrefix(part, "machine-")
}

func between(s, prefix, suffix string) (string, bool) {
	s, ok := strings.CutPrefix(s, prefix)
	if !ok {
		return "", false
	}
	return strings.CutSuffix(s, suffix)
}

// unescape undoes what systemd does to a name that becomes part of a unit's:
// "-" stands for "/", \xNN for any other character (systemd-escape(1)).
func unescape(name string) string {
	var b strings.Builder
	for i := 0; i < len(name); i++ {
		if strings.HasPrefix(name[i:], `\x`) && i+3 < len(name) {
			high, low := strings.IndexByte(hexDigits, name[i+2]), strings.IndexByte(hexDigits, name[i+3])
			if high >= 0 && low >= 0 {
				b.WriteByte(byte(high<<4 | low))
				i += 3
				continue
			}
		}
		b.WriteByte(name[i])
	}
	return b.String()
}

const hexDigits = "0123456789abcdef"

// podUID is the uid of the pod whose control group a part of a path is:
// podUID, or kubepods-besteffort-podUID.slice with "_" for "-".
func podUID(part string) string {
	part, isSlice := strings.CutSuffix(part, ".slice")
	if isSlice {
		i := strings.LastIndex(part, "-pod")
		if i < 0 || !strings.HasPrefix(part, "kubepods") {
			return ""
		}
		part = strings.ReplaceAll(part[i+1:], "_", "-")
	}
	uid, ok := strings.CutPrefix(part, "pod")
	if !ok || len(uid) < 32 || strings.Trim(uid, "0123456789abcdef-") != "" {
		return ""
	}
	return uid
}

// unitOf is the part of a path if it is a systemd unit, and no slice.
func unitOf(part string) string {
	if i := strings.LastIndexByte(part, '.'); i > 0 {
		switch part[i+1:] {
		case "service", "scope", "socket", "mount", "swap":
			return part
		}
	}
	return ""
}
