package pcapng

import "encoding/binary"

// template is a block that was written of a plain packet. The next one of the
// same direction mostly differs from it in its payload and a few numbers: then
// the rest is copied. Nothing is left to be found out but that this is so.
type template struct {
	traits
	head []byte // of the block, the record's header included; empty: there is no template
	tail []byte // the options

	latency int // where it stands in head, 0 if it does not
}

// maxTemplate bounds the header of a record that is kept, beside names: one
// that long need not be cut, whatever the payload.
const maxTemplate = MaxRecord - MaxPayload

// blockHead is the length of an Enhanced Packet Block before its record.
const blockHead = 28

// isPlain reports whether a packet has nothing that few packets have.
func isPlain(p *Packet, own int64) bool {
	return own == noTime && p.Lost|p.Skipped|p.DropCount == 0 && p.Errno|p.FDCount|p.SecID == 0 &&
		p.Uncertain == 0 && p.State == 0 && p.Cred == nil && len(p.FDs) == 0 && len(p.Holders) == 0 && !p.cut()
}

// keep makes t the template that a plain packet's block is; last is how many
// bytes of names end its record's header, which is so long.
func (t *template) keep(block []byte, p *Packet, header, last int) {
	t.head = t.head[:0]
	if header > maxTemplate {
		return
	}
	t.traits.of(p)
	payload := blockHead + header
	t.head = append(t.head, block[:payload]...)
	t.tail = append(t.tail[:0], block[payload+padded(header, p):len(block)-4]...)
	t.latency = 0
	if t.hasLatency {
		t.latency = payload - last - 8
	}
}

// padded is the length of p's payload with what pads a record whose header is
// so long.
func padded(header int, p *Packet) int {
	n := len(p.Data)
	return n + -(header+n)&3
}

// fits reports whether only what append changes is another in p's block.
func (t *template) fits(p *Packet, own int64) bool {
	return len(t.head) > 0 && isPlain(p, own) && t.traits.are(p)
}

// append appends the block of a packet that fits.
func (t *template) append(b []byte, p *Packet, at int64) []byte {
	start, header := len(b), len(t.head)-blockHead
	b = append(b, t.head...)
	h := b[start:]
	le, be := binary.LittleEndian, binary.BigEndian
	putTimestamp(h[12:], at)
	le.PutUint32(h[20:], uint32(header+len(p.Data)))
	le.PutUint32(h[24:], originalLen(header, p.Len))
	record := (*[fixedLen]byte)(h[blockHead:])
	be.PutUint64(record[64:], p.Offset)
	be.PutUint64(record[72:], p.Message)
	be.PutUint32(record[80:], p.Len)
	be.PutUint32(record[84:], p.MessageLen)
	if t.latency > 0 {
		be.PutUint64(h[t.latency:], uint64(p.Latency))
	}
	b = append(b, p.Data...)
	b = append(b, "\x00\x00\x00"[:-(header+len(p.Data))&3]...)
	return endBlock(append(b, t.tail...), start)
}

// traits are what a plain packet says besides names and what [template.append]
// writes anew.
type traits struct {
	host                                     int
	event                                    Event
	typ                                      SocketType
	role                                     Role
	stamp                                    Stamp
	continued, more, hasLatency, hasReader   bool
	tid, uid, gid, peerTID, peerUID, peerGID uint32
	netNS, readerPID, readerTID              uint32
	inode, peerInode, connID                 uint64
	readerComm                               string
}

func (t *traits) of(p *Packet) {
	*t = traits{
		host: p.Host, event: p.Event, typ: p.Type, role: p.Role, stamp: p.Stamp, continued: p.Continued, more: p.More,
		tid: p.Sender.TID, uid: p.Sender.UID, gid: p.Sender.GID, inode: p.Sender.Inode,
		peerTID: p.Peer.TID, peerUID: p.Peer.UID, peerGID: p.Peer.GID, peerInode: p.Peer.Inode,
		netNS: p.NetNS, connID: p.ConnID, hasLatency: p.Latency > 0, hasReader: p.Reader != nil,
	}
	if r := p.Reader; r != nil {
		t.readerPID, t.readerTID, t.readerComm = r.PID, r.TID, r.Comm
	}
}

// are reports whether those of p are the same.
func (t *traits) are(p *Packet) bool {
	return t.connID == p.ConnID && t.event == p.Event && t.typ == p.Type && t.role == p.Role && t.stamp == p.Stamp &&
		t.continued == p.Continued && t.more == p.More && t.host == p.Host && t.netNS == p.NetNS &&
		t.tid == p.Sender.TID && t.uid == p.Sender.UID && t.gid == p.Sender.GID && t.inode == p.Sender.Inode &&
		t.peerTID == p.Peer.TID && t.peerUID == p.Peer.UID && t.peerGID == p.Peer.GID && t.peerInode == p.Peer.Inode &&
		t.hasLatency == (p.Latency > 0) && t.isReadBy(p.Reader)
}

func (t *traits) isReadBy(r *Endpoint) bool {
	if r == nil || !t.hasReader {
		return r == nil && !t.hasReader
	}
	return t.readerPID == r.PID && t.readerTID == r.TID && same(t.readerComm, r.Comm)
}
