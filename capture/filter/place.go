package filter

import (
	"strings"

	"github.com/sockcap/sockcap/pcapng"
)

// place is a primitive about where a process runs: "exe", "cgroup", "container",
// "unit" or "pod".
type place struct {
	leaf
	name    string
	end     End
	pattern pattern
}

// isPlace reports whether a keyword is that of a place.
func isPlace(keyword string) bool {
	switch keyword {
	case "exe", "cgroup", "container", "unit", "pod":
		return true
	}
	return false
}

func (t place) keyword() string { return t.name }

func (t place) match(p *pcapng.Packet, _ func(*Path) bool) bool {
	if t.end != Dst {
		sender := p.SenderPlace()
		if t.is(&sender) {
			return true
		}
	}
	return t.end != Src && t.is(&p.PeerPlace)
}

func (t place) is(p *pcapng.Place) bool {
	switch t.name {
	case "exe":
		exe := strings.TrimSuffix(p.Exe, " (deleted)")
		return exe != "" && t.pattern.matchAddress(exe)
	case "cgroup":
		return t.isCgroup(p.Cgroup)
	case "container":
		return t.isContainer(p.Container, p.ContainerName)
	case "unit":
		return p.Unit != "" && t.pattern.match(p.Unit, false)
	}
	_, name, _ := strings.Cut(p.Pod, "/")
	return p.Pod != "" && (t.pattern.match(p.Pod, false) || name != "" && t.pattern.match(name, false))
}

func (t place) isCgroup(group string) bool {
	if strings.Contains(t.pattern.text, "/") {
		return group != "" && t.pattern.matchAddress(group)
	}
	for rest := group; rest != ""; {
		var part string
		part, rest, _ = strings.Cut(rest, "/")
		if part != "" && t.pattern.match(part, false) {
			return true
		}
	}
	return false
}

// isContainer: digits of an id may be a name as well.
func (t place) isContainer(id, name string) bool {
	if name != "" && t.pattern.match(name, true) {
		return true
	}
	switch {
	case id == "":
		return false
	case t.pattern.glob:
		return t.pattern.match(id, true)
	case isHex(t.pattern.text):
		return strings.HasPrefix(id, t.pattern.text)
	}
	return id == t.pattern.text
}

func isHex(s string) bool { return strings.Trim(s, "0123456789abcdef") == "" }

func (t place) append(dst []byte) []byte {
	return t.pattern.append(append(append(t.end.append(dst), t.name...), ' '))
}
