package main

import (
	"strconv"

	"github.com/sockcap/sockcap/pcapng"
)

// appendIDs appends what -e adds: whose sockets these are, and which.
//
//	uid 1000 > 0 inode 67806 > 42434 cgroup /user.slice container web > -
func appendIDs(dst []byte, p *pcapng.Packet) []byte {
	dst = appendID(append(dst, "uid "...), p.Sender.UID)
	dst = appendID(append(dst, " > "...), p.Peer.UID)
	dst = appendInode(append(dst, " inode "...), p.Sender.Inode)
	dst = appendInode(append(dst, " > "...), p.Peer.Inode)
	return append(appendWhere(dst, p), ' ')
}

func appendID(dst []byte, id uint32) []byte {
	if id == pcapng.Unknown {
		return append(dst, '?')
	}
	return strconv.AppendUint(dst, uint64(id), 10)
}

func appendInode(dst []byte, inode uint64) []byte {
	if inode == 0 {
		return append(dst, '?')
	}
	return strconv.AppendUint(dst, inode, 10)
}

// details is an indented line below a packet's: facts with commas between.
type details struct {
	dst   []byte
	facts int
}

// fact begins one.
func (d *details) fact(words string) {
	if d.facts == 0 {
		d.dst = append(d.dst, "    "...)
	} else {
		d.dst = append(d.dst, ", "...)
	}
	d.facts++
	d.dst = append(d.dst, words...)
}

func (d *details) number(words string, n uint64) {
	d.fact(words)
	d.dst = strconv.AppendUint(d.dst, n, 10)
}

// name appends a fact with a name, unless that is empty.
func (d *details) name(words, name string) {
	if name != "" {
		d.fact(words)
		d.dst = appendShort(d.dst, name, maxName)
	}
}

// end ends the line, if it has begun.
func (d *details) end() {
	if d.facts > 0 {
		d.dst = append(d.dst, '\n')
		d.facts = 0
	}
}

// appendDetails appends the lines of -v, with what the sender runs if command,
// and those of -vv if more.
func appendDetails(dst []byte, p *pcapng.Packet, command, more bool) []byte {
	d := details{dst: dst}
	d.message(p)
	d.end()
	if command {
		d.command(p)
		d.end()
	}
	d.descriptors(p.FDs)
	d.end()
	d.holders(p.Holders)
	d.end()
	if more {
		d.sender(p)
		d.end()
		d.peer(p)
		d.end()
	}
	return d.dst
}

// message: of which connection, where in it, when and by whom read.
func (d *details) message(p *pcapng.Packet) {
	sent := p.Event == pcapng.EventData || p.Event == pcapng.EventRead
	switch {
	case p.Role == pcapng.RoleClient && sent:
		d.fact("client to server")
	case p.Role == pcapng.RoleServer && sent:
		d.fact("server to client")
	case p.Role == pcapng.RoleClient && p.Event == pcapng.EventSnapshot:
		d.fact("the client's socket")
	case p.Role == pcapng.RoleServer && p.Event == pcapng.EventSnapshot:
		d.fact("the server's socket")
	case p.Role == pcapng.RoleClient:
		d.fact("by the client")
	case p.Role == pcapng.RoleServer:
		d.fact("by the server")
	}
	if p.ConnID != 0 {
		d.number("connection ", p.ConnID)
	}
	if p.Event == pcapng.EventData {
		d.number("offset ", p.Offset)
	}
	if p.Message != 0 {
		d.number("message ", p.Message)
		if p.Event == pcapng.EventData && p.MessageLen != pcapng.Unknown && p.MessageLen != p.Len {
			d.dst = append(d.dst, " of "...)
			d.dst = strconv.AppendUint(d.dst, uint64(p.MessageLen), 10)
			d.dst = append(d.dst, " bytes"...)
		}
	}
	if p.Continued {
		d.fact("continued")
	}
	if p.More {
		d.fact("more of it follows")
	}
	d.read(p)
	if !p.OwnTime.IsZero() {
		d.fact("own time ")
		d.dst = appendSeconds(d.dst, p.Time.Sub(p.OwnTime))
		d.dst = append(d.dst, " s before"...)
	}
}

// read: who has read it, and how long after it was queued.
func (d *details) read(p *pcapng.Packet) {
	if p.Reader == nil && p.Latency == 0 {
		return
	}
	d.fact("read")
	if p.Reader != nil {
		d.dst = appendProcess(append(d.dst, " by "...), p.Reader)
		if isThread(p.Reader) {
			d.dst = appendThread(append(d.dst, " thread "...), p.Reader)
		}
	}
	if p.Latency != 0 {
		d.dst = appendSeconds(append(d.dst, " after "...), p.Latency)
		d.dst = append(d.dst, " s"...)
	}
}

// descriptors: those that were passed, as far as they could be resolved.
func (d *details) descriptors(fds []pcapng.FD) {
	for i := range fds {
		d.fact("descriptor ")
		d.dst = appendID(d.dst, fds[i].Num)
		d.dst = append(d.dst, ' ')
		d.dst = append(d.dst, fds[i].Kind.String()...)
		if fds[i].Name != "" {
			d.dst = appendShort(append(d.dst, ' '), fds[i].Name, maxName)
		}
	}
}

// holders: of a socket that several processes hold.
func (d *details) holders(holders []pcapng.Holder) {
	for i, h := range holders {
		switch {
		case i > 0 && holders[i-1].Peer == h.Peer:
			d.dst = append(d.dst, " and "...)
		case h.Peer:
			d.fact("peer held by ")
		default:
			d.fact("held by ")
		}
		d.dst = appendProcess(d.dst, &pcapng.Endpoint{PID: h.PID, Comm: h.Comm})
	}
}

// sender: what else is known of who did it.
func (d *details) sender(p *pcapng.Packet) {
	d.endpoint("sender ", &p.Sender)
	place := p.SenderPlace()
	d.place(&place)
	if p.NetNS != 0 {
		d.number("netns ", uint64(p.NetNS))
	}
	if p.Event == pcapng.EventData {
		d.fact("time when ")
		d.dst = append(d.dst, p.Stamp.String()...)
	}
	if c := p.Cred; c != nil {
		d.number("credentials pid ", uint64(c.PID))
		d.dst = strconv.AppendUint(append(d.dst, " uid "...), uint64(c.UID), 10)
		d.dst = strconv.AppendUint(append(d.dst, " gid "...), uint64(c.GID), 10)
	}
	if p.SecID != 0 {
		d.number("security id ", uint64(p.SecID))
	}
}

func (d *details) peer(p *pcapng.Packet) {
	d.endpoint("peer ", &p.Peer)
	d.place(&p.PeerPlace)
}

// endpoint appends what is known of one end besides its process.
func (d *details) endpoint(which string, e *pcapng.Endpoint) {
	if e.PID == 0 && e.TID == 0 && e.Inode == 0 {
		return
	}
	d.fact(which)
	d.dst = appendID(append(d.dst, "uid "...), e.UID)
	d.dst = appendID(append(d.dst, " gid "...), e.GID)
	d.dst = appendInode(append(d.dst, " inode "...), e.Inode)
	if isThread(e) {
		d.dst = appendThread(append(d.dst, " thread "...), e)
	}
}
