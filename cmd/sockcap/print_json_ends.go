package main

import "github.com/sockcap/sockcap/pcapng"

// jsonEnds are what JSON has of a packet's two ends and of what connects them:
// that stays the same while one talks to the other. What appends them sees
// nothing else of a packet, so that equal ends make equal bytes.
type jsonEnds struct {
	typ    pcapng.SocketType
	role   pcapng.Role
	path   string
	connID uint64

	sender, peer           pcapng.Endpoint
	senderPlace, peerPlace pcapng.Place

	nsPID, netNS uint32
	cmdline      string
}

func jsonEndsOf(p *pcapng.Packet) jsonEnds {
	return jsonEnds{
		typ: p.Type, role: p.Role, path: p.Path, connID: p.ConnID,
		sender: p.Sender, peer: p.Peer, senderPlace: p.SenderPlace(), peerPlace: p.PeerPlace,
		nsPID: p.NSPID, netNS: p.NetNS, cmdline: p.Cmdline,
	}
}

func (o *object) ends(e *jsonEnds) {
	o.known("type", e.typ.String(), e.typ != 0)
	o.known("role", e.role.String(), e.role != pcapng.RoleUnknown)
	o.endpoint(senderKeys, &e.sender)
	o.place(senderPlaceKeys, &e.senderPlace)
	o.number("ns.pid", uint64(e.nsPID))
	o.cmdline(e.cmdline)
	o.number("netns", uint64(e.netNS))
	o.name("path", e.path)
	o.endpoint(peerKeys, &e.peer)
	o.place(peerPlaceKeys, &e.peerPlace)
	o.number("connid", e.connID)
}

// endpointKeys are the names of one end's fields.
type endpointKeys struct{ pid, tid, uid, gid, inode, comm, thread string }

var (
	senderKeys = endpointKeys{"pid", "tid", "uid", "gid", "inode", "comm", "thread"}
	peerKeys   = endpointKeys{"peer.pid", "peer.tid", "peer.uid", "peer.gid", "peer.inode", "peer.comm", "peer.thread"}
)

func (o *object) endpoint(k endpointKeys, e *pcapng.Endpoint) {
	o.number(k.pid, uint64(e.PID))
	o.number(k.tid, uint64(e.TID))
	o.id(k.uid, e.UID)
	o.id(k.gid, e.GID)
	o.number(k.inode, e.Inode)
	o.name(k.comm, e.Comm)
	o.name(k.thread, e.Thread)
}

// The bounds of what is kept, in directions of connections and in bytes of one.
const (
	maxJSONEnds     = 256
	maxJSONEndsSize = 4096
)

// printedJSONEnds keeps how ends were appended not long ago: in each place what
// came last of the directions that fall on it.
type printedJSONEnds struct{ at [maxJSONEnds]*printedJSONEnd }

type printedJSONEnd struct {
	jsonEnds
	json []byte
}

// append appends the ends of p to an object that has fields already.
func (k *printedJSONEnds) append(o *object, p *pcapng.Packet) {
	e := jsonEndsOf(p)
	at := &k.at[(p.ConnID<<1+uint64(p.Role))%maxJSONEnds]
	if *at != nil && (*at).jsonEnds == e {
		o.dst = append(o.dst, (*at).json...)
		return
	}
	begin := len(o.dst)
	o.ends(&e)
	json := o.dst[begin:]
	if len(json) > maxJSONEndsSize {
		return
	}
	if *at == nil {
		*at = new(printedJSONEnd)
	}
	(*at).jsonEnds, (*at).json = e, append((*at).json[:0], json...)
}
