// Package raw writes a capture of Unix domain sockets as one of IP packets,
// for programs that do not know our records: link type LINKTYPE_RAW. They see
// processes and paths only in the packets' comments.
//
// A stream connection is a TCP conversation over IPv6, a datagram and a
// message of a SOCK_SEQPACKET socket a UDP datagram. All checksums are right.
// Addresses and ports come from the connection's id; the server's port is the
// usual one of the protocol that the socket's path stands for, so that
// Wireshark, Zeek and others choose its decoder.
//
// # Streams
//
// A sequence number is the byte's offset in the stream. Bytes that are not in
// the file (lost, left out by the filter, cut by a snapshot length) are a gap
// in the sequence; where no byte follows them, an empty segment does, or the
// FIN. One that sequence numbers cannot tell, of more than 256 MiB, is shown as
// 256 MiB long, and a comment says so.
//
// A segment acknowledges what the file has shown of the other direction, never
// more: programs throw away what comes after its acknowledgment. Where nothing
// of that direction was shown, it acknowledges nothing.
//
// The three packets of a handshake stand where connect succeeded or, without
// that event, before the first byte of a stream that begins in the file.
// Where it does not begin there, the conversation does without a SYN. A FIN
// stands where a side was closed and all that it sent was shown, at the latest
// at the end of the file. A refused connect is a SYN and its RST.
//
// # What has no packet
//
// The other events have none: in TCP too, accept, listen and read happen out
// of sight. Neither has what happens to datagram sockets but data. They are
// counted, see [Writer.LeftOut]; packets that were lost before them are told
// of in the next packet that is written.
//
// Bytes of a stream whose connection or direction is not known have no place
// in a conversation. They are UDP datagrams, with a comment.
package raw

import (
	"cmp"
	"io"

	"github.com/sockcap/sockcap/pcapng"
)

// maxConversations is of how many connections a Writer knows at least what it
// has written; those that are idle for the longest are forgotten first, and
// go on as if they had begun before the file.
const maxConversations = 1 << 16

// Writer writes packets as what they would be on a network. But for that, it
// is the pcapng.Writer within.
type Writer struct {
	*pcapng.Writer
	ip            *ip
	conversations generations[key, conversation]
	invented      uint64 // connections that had no id
	leftOut       LeftOut

	frame    pcapng.Frame
	comments [][]byte
	comment  []byte // of the packet being written
	anomaly  []byte
}

// LeftOut counts what a Writer has not written.
type LeftOut struct {
	Events  [pcapng.EventLost + 1]uint64 // by event, 0 those of unknown number
	Dropped uint64                       // packets lost since the last one that was written
}

// key names a conversation.
type key struct {
	host     int
	id       uint64
	invented bool // id is no connection id; never one of Writer.conversations
}

func compareKeys(a, b key) int {
	return cmp.Or(cmp.Compare(a.host, b.host), cmp.Compare(a.id, b.id))
}

// NewWriter begins a file of link type LINKTYPE_RAW, whatever o says.
func NewWriter(w io.Writer, o pcapng.Options) (*Writer, error) {
	o.LinkType = pcapng.LinkTypeRaw
	file, err := pcapng.NewWriter(w, o)
	if err != nil {
		return nil, err
	}
	return &Writer{
		Writer: file, ip: newIP(),
		conversations: generations[key, conversation]{limit: maxConversations},
	}, nil
}

// LeftOut returns what has not been written so far.
func (w *Writer) LeftOut() LeftOut { return w.leftOut }

// WritePacket writes p, as no packet, one, or several, all with p's time. Those
// that p's sender sends have p's comment, and so has an RST; the first of them
// also has the comment on what is wrong with p, and the drop count. It does not
// change p or keep it. An error is as that of pcapng.Writer's WritePacket, but
// that part of p may have been written.
func (w *Writer) WritePacket(p *pcapng.Packet) error {
	w.begin(p)
	s, known := sideOf(p)
	switch {
	case p.Event == pcapng.EventData && (p.Type != pcapng.Stream || p.ConnID == 0 || !known):
		return w.writeDatagram(p, s)
	case p.Type != pcapng.Stream:
	case p.Event == pcapng.EventRefused && p.ConnID == 0:
		w.invented++
		var c conversation
		c.open(key{p.Host, w.invented, true}, p.Path)
		return w.writeRefused(&c, client)
	case p.ConnID != 0 && (known || p.Event == pcapng.EventRefused):
		written, err := w.writeStream(p, s, key{p.Host, p.ConnID, false})
		if written || err != nil {
			return err
		}
	}
	w.leaveOut(p)
	return nil
}

// Close ends the conversations that were closed before all of their bytes were
// shown, and is then as the pcapng.Writer's.
func (w *Writer) Close() error {
	w.frame.DropCount = w.leftOut.Dropped
	w.anomaly = pcapng.AppendAnomaly(w.anomaly[:0], &pcapng.Packet{DropCount: w.leftOut.Dropped})
	err := w.finishAll()
	if closed := w.Writer.Close(); err == nil {
		err = closed
	}
	return err
}

// leaveOut counts p as not written. What was lost before it is told of later.
func (w *Writer) leaveOut(p *pcapng.Packet) {
	n := p.Event
	if int(n) >= len(w.leftOut.Events) {
		n = 0
	}
	w.leftOut.Events[n]++
	w.leftOut.Dropped = w.frame.DropCount
}

// begin makes ready what all packets of p have.
func (w *Writer) begin(p *pcapng.Packet) {
	w.comment = pcapng.AppendComment(w.comment[:0], p)
	q := p
	if w.leftOut.Dropped > 0 {
		later := *p
		later.DropCount += w.leftOut.Dropped
		q = &later
	}
	w.anomaly = pcapng.AppendAnomaly(w.anomaly[:0], q)
	w.frame = pcapng.Frame{Host: p.Host, Time: p.Time, DropCount: q.DropCount}
}

// note adds to what is said of the first packet.
func (w *Writer) note(text string) {
	if len(w.anomaly) > 0 {
		w.anomaly = append(w.anomaly, "; "...)
	}
	w.anomaly = append(w.anomaly, text...)
}

// write writes one of the packets that stand for what begin was given, with a
// comment if it is not nil.
func (w *Writer) write(data []byte, err error, comment []byte) error {
	if err != nil {
		return &pcapng.Error{Op: "write packet", Offset: -1, Err: err}
	}
	f := pcapng.Frame{Host: w.frame.Host, Time: w.frame.Time, Data: data}
	if comment != nil {
		f.Comments, f.DropCount = append(w.comments[:0], comment), w.frame.DropCount
		if len(w.anomaly) > 0 {
			f.Comments = append(f.Comments, w.anomaly)
		}
		w.comments = f.Comments
	}
	if err := w.WriteFrame(&f); err != nil {
		return err
	}
	if comment != nil {
		w.anomaly, w.frame.DropCount, w.leftOut.Dropped = w.anomaly[:0], 0, 0
	}
	return nil
}

// writeDatagram writes p's bytes as a UDP datagram.
func (w *Writer) writeDatagram(p *pcapng.Packet, s side) error {
	switch {
	case p.Type == pcapng.Stream:
		w.note("bytes of a stream, connection or direction unknown")
	case p.More && p.Continued:
		w.note("a middle part of one datagram")
	case p.More:
		w.note("the first part of one datagram")
	case p.Continued:
		w.note("the last part of one datagram")
	}
	ends := [2]end{}
	ends[client].address, ends[server].address = addresses(key{p.Host, p.ConnID, false})
	ends[client].port, ends[server].port = clientPort(p.ConnID), datagramPort(p.Path)
	from, to := &ends[s], &ends[1-s]
	data, err := w.ip.datagram(&from.address, &to.address, from.port, to.port, p.Data)
	return w.write(data, err, w.comment)
}

// sideOf is the side that sent p, if that is known: of two ends that nobody
// gave a role, the lower inode is the client, as in a pair.
func sideOf(p *pcapng.Packet) (s side, ok bool) {
	a, b := p.Sender.Inode, p.Peer.Inode
	switch {
	case p.Role == pcapng.RoleClient:
		return client, true
	case p.Role == pcapng.RoleServer:
		return server, true
	case a == 0 || b == 0 || a == b:
		return client, false
	case a < b:
		return client, true
	}
	return server, true
}

// clientPort is one of the ephemeral ports (RFC 6335, section 6).
func clientPort(n uint64) uint16 { return 49152 + uint16(n%16384) }
