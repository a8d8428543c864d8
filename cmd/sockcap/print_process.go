package main

import (
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/sockcap/sockcap/pcapng"
)

// maxCmdline is how much of the arguments a line shows, in bytes.
const maxCmdline = 1024

// appendWords appends the arguments, spaces between them, in quotes unless they
// are plain.
func appendWords(dst []byte, cmdline string) []byte {
	if strings.IndexByte(cmdline, 0) < 0 {
		return appendShort(dst, cmdline, maxCmdline)
	}
	dst = append(dst, '"')
	for i, rest := 0, cmdline[:min(len(cmdline), maxCmdline)]; ; i++ {
		word, others, more := strings.Cut(rest, "\x00")
		if i > 0 {
			dst = append(dst, ' ')
		}
		dst = appendEscaped(dst, word, inQuotes)
		if rest = others; !more {
			break
		}
	}
	if len(cmdline) > maxCmdline {
		dst = append(dst, "..."...)
	}
	return append(dst, '"')
}

// appendContainer appends a container's name, or the beginning of its id as
// docker ps has it; "-" where there is none.
func appendContainer(dst []byte, name, id string) []byte {
	switch {
	case name != "":
		return appendShort(dst, name, maxName)
	case len(id) == 64:
		return appendShort(dst, id[:12], maxName)
	case id != "":
		return appendShort(dst, id, maxName)
	}
	return append(dst, '-')
}

// appendThread appends a thread that is not its process's first, or has a name
// of its own, NAME[TID]; "-" for any other.
func appendThread(dst []byte, e *pcapng.Endpoint) []byte {
	if !isThread(e) {
		return append(dst, '-')
	}
	if e.Thread != "" {
		dst = appendShort(dst, e.Thread, maxComm)
	}
	dst = append(dst, '[')
	dst = strconv.AppendUint(dst, uint64(e.TID), 10)
	return append(dst, ']')
}

func isThread(e *pcapng.Endpoint) bool { return e.TID != 0 && (e.TID != e.PID || e.Thread != "") }

// appendWhere appends what -e adds of the processes: threads, control group
// and containers, where there are any.
//
//	thread worker[27807] > - cgroup /user.slice container web > -
func appendWhere(dst []byte, p *pcapng.Packet) []byte {
	if isThread(&p.Sender) || isThread(&p.Peer) {
		dst = appendThread(append(dst, " thread "...), &p.Sender)
		dst = appendThread(append(dst, " > "...), &p.Peer)
	}
	if p.Cgroup != "" {
		dst = appendShort(append(dst, " cgroup "...), p.Cgroup, maxName)
	}
	if peer := &p.PeerPlace; p.Container != "" || peer.Container != "" {
		dst = appendContainer(append(dst, " container "...), p.ContainerName, p.Container)
		dst = appendContainer(append(dst, " > "...), peer.ContainerName, peer.Container)
	}
	return dst
}

// toldCommands are what processes run, by pid, as far as lines have told of it:
// of the last maxCommands at least.
type toldCommands struct {
	told map[uint32]running
}

type running struct {
	cmdline string // as far as a line shows it
	nsPID   uint32
}

const maxCommands = 4096

// isNews reports whether no line has told yet what a packet's sender runs, and
// takes it that one does now.
func (c *toldCommands) isNews(p *pcapng.Packet) bool {
	now := running{p.Cmdline[:min(len(p.Cmdline), maxCmdline+1)], p.NSPID}
	if now == (running{}) || c.told[p.Sender.PID] == now {
		return false
	}
	if c.told == nil || len(c.told) >= maxCommands {
		c.told = make(map[uint32]running)
	}
	now.cmdline = strings.Clone(now.cmdline) // the packet's may go with it
	c.told[p.Sender.PID] = now
	return true
}

// command: what the sender runs, and as what in its own pid namespace.
func (d *details) command(p *pcapng.Packet) {
	if p.Cmdline != "" {
		d.fact("command ")
		d.dst = appendWords(d.dst, p.Cmdline)
	}
	if p.NSPID != 0 {
		d.number("pid in its namespace ", uint64(p.NSPID))
	}
}

// place appends where a process runs.
func (d *details) place(p *pcapng.Place) {
	d.name("exe ", p.Exe)
	d.name("cgroup ", p.Cgroup)
	d.name("container ", p.Container)
	d.name("container name ", p.ContainerName)
	d.name("pod ", p.Pod)
	d.name("unit ", p.Unit)
}

// placeKeys are the names of the fields of where a process runs.
type placeKeys struct{ exe, cgroup, container, containerName, pod, unit string }

var (
	senderPlaceKeys = placeKeys{"exe", "cgroup", "container", "container.name", "pod", "unit"}
	peerPlaceKeys   = placeKeys{"peer.exe", "peer.cgroup", "peer.container", "peer.container.name", "peer.pod", "peer.unit"}
)

func (o *object) place(k placeKeys, p *pcapng.Place) {
	o.name(k.exe, p.Exe)
	o.name(k.cgroup, p.Cgroup)
	o.name(k.container, p.Container)
	o.name(k.containerName, p.ContainerName)
	o.name(k.pod, p.Pod)
	o.name(k.unit, p.Unit)
}

// cmdline appends the arguments, an element each; where one is no UTF-8, their
// bytes too.
func (o *object) cmdline(cmdline string) {
	if cmdline == "" {
		return
	}
	o.words("cmdline", cmdline, func(word string) { o.dst = appendJSONString(o.dst, word) })
	if utf8.ValidString(cmdline) {
		return
	}
	o.words("cmdline_raw", cmdline, func(word string) {
		if utf8.ValidString(word) {
			o.null()
		} else {
			o.base64String(word)
		}
	})
}

// words appends an array with what each appends of words with NULs between.
func (o *object) words(key, text string, each func(word string)) {
	o.key(key)
	o.dst = append(o.dst, '[')
	for more := true; more; {
		var word string
		word, text, more = strings.Cut(text, "\x00")
		o.element()
		each(word)
	}
	o.dst = append(o.dst, ']')
}
