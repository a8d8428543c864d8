package main

import (
	"strconv"
	"unicode/utf8"

	"github.com/sockcap/sockcap/capture/snapshot"
	"github.com/sockcap/sockcap/pcapng"
)

// linkKeys are the names of one end's fields.
type linkKeys struct {
	inode, address, netns, uid, device, file, received, sent, memory, sendMemory, shutdown,
	pid, fd, comm, euid, egid, exe, cgroup, container, containerName, pod, unit string
}

// keysOf is for "client" or "server".
func keysOf(end string) linkKeys {
	return linkKeys{
		inode: end + ".inode", address: end + ".address", netns: end + ".netns", uid: end + ".uid",
		device: end + ".dev", file: end + ".file", received: end + ".recv_q", sent: end + ".send_q",
		memory: end + ".rmem", sendMemory: end + ".wmem", shutdown: end + ".shutdown",
		pid: end + ".pid", fd: end + ".fd", comm: end + ".comm",
		euid: end + ".euid", egid: end + ".egid",
		exe: end + ".exe", cgroup: end + ".cgroup", container: end + ".container", containerName: end + ".container.name",
		pod: end + ".pod", unit: end + ".unit",
	}
}

// appendLinkJSON appends l as one line with one flat object, as JSON.md has it.
func appendLinkJSON(dst []byte, l *snapshot.Link) []byte {
	o := object{append(dst, '{')}
	o.word("type", l.Any().Type.String())
	o.word("state", stateWord(l.State))
	o.name("path", l.Address())
	if l.State == snapshot.LinkListening {
		o.count("backlog", uint64(l.Server.Received))
		o.count("backlog.max", uint64(l.Server.Sent))
	}
	o.socket(keysOf("client"), l.Client, false)
	o.socket(keysOf("server"), l.Server, l.State == snapshot.LinkListening)
	return append(o.dst, '}', '\n')
}

// socket appends an end, and nothing if there is none.
func (o *object) socket(k linkKeys, s *snapshot.Socket, listens bool) {
	if s == nil {
		return
	}
	o.number(k.inode, s.Inode)
	o.name(k.address, s.Address)
	o.number(k.netns, uint64(s.NetNS))
	o.id(k.uid, s.UID)
	if s.File != 0 {
		o.word(k.device, deviceWord(s.Device))
		o.number(k.file, uint64(s.File))
	}
	if !listens {
		o.count(k.received, uint64(s.Received))
		o.count(k.sent, uint64(s.Sent))
	}
	o.count(k.memory, uint64(s.Memory.Receive))
	o.count(k.sendMemory, uint64(s.Memory.Send))
	o.known(k.shutdown, shutdownWord(s.Shutdown), shutdownWord(s.Shutdown) != "")
	if len(s.Holders) == 0 {
		return
	}
	ids := func(key string, of func(*snapshot.Holder) uint32) {
		o.array(key, len(s.Holders), func(i int) {
			if n := of(&s.Holders[i]); n == pcapng.Unknown {
				o.null()
			} else {
				o.dst = strconv.AppendUint(o.dst, uint64(n), 10)
			}
		})
	}
	ids(k.pid, func(h *snapshot.Holder) uint32 { return h.Process.PID })
	ids(k.fd, func(h *snapshot.Holder) uint32 { return h.FD })
	ids(k.euid, func(h *snapshot.Holder) uint32 { return h.Process.UID })
	ids(k.egid, func(h *snapshot.Holder) uint32 { return h.Process.GID })
	o.names(k.comm, s.Holders, func(p *snapshot.Process) string { return p.Comm })
	o.names(k.exe, s.Holders, func(p *snapshot.Process) string { return p.Exe })
	o.names(k.cgroup, s.Holders, func(p *snapshot.Process) string { return p.Cgroup })
	o.names(k.container, s.Holders, func(p *snapshot.Process) string { return p.Container })
	o.names(k.containerName, s.Holders, func(p *snapshot.Process) string { return p.ContainerName })
	o.names(k.pod, s.Holders, func(p *snapshot.Process) string { return p.Pod })
	o.names(k.unit, s.Holders, func(p *snapshot.Process) string { return p.Unit })
}

// names appends a name of each holder, null where it is empty, unless it is so
// everywhere; where one is no UTF-8, their bytes too.
func (o *object) names(key string, holders []snapshot.Holder, of func(*snapshot.Process) string) {
	some, raw := false, false
	for _, h := range holders {
		name := of(h.Process)
		some, raw = some || name != "", raw || !utf8.ValidString(name)
	}
	if !some {
		return
	}
	o.array(key, len(holders), func(i int) {
		if name := of(holders[i].Process); name == "" {
			o.null()
		} else {
			o.dst = appendJSONString(o.dst, name)
		}
	})
	if !raw {
		return
	}
	o.array(key+"_raw", len(holders), func(i int) {
		if name := of(holders[i].Process); utf8.ValidString(name) {
			o.null()
		} else {
			o.base64String(name)
		}
	})
}

// array appends n elements, as each appends them.
func (o *object) array(key string, n int, each func(i int)) {
	o.key(key)
	o.dst = append(o.dst, '[')
	for i := range n {
		o.element()
		each(i)
	}
	o.dst = append(o.dst, ']')
}
