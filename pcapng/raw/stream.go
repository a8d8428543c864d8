package raw

import (
	"bytes"
	"fmt"

	"github.com/google/gopacket/layers"

	"github.com/sockcap/sockcap/pcapng"
)

// side is an end of a conversation.
type side int

const (
	client side = 0
	server side = 1
)

// conversation is what was written of a connection.
type conversation struct {
	key   key
	ends  [2]end
	began bool   // something was written, or it is older than the file
	tries uint64 // connects that were refused
}

// end is one side of it. Positions are in its stream of bytes, without what
// was taken out of gaps that are too long.
type end struct {
	address [16]byte
	port    uint16

	known  bool   // next means something
	next   uint64 // position after the last byte that was written
	told   uint64 // the same, of the bytes that records stand for
	acked  uint64 // how far the other side has acknowledged it
	out    uint64 // taken out of gaps
	closed bool
	sent   uint64 // where it was closed: its last position, 0 if unknown
	bye    []byte // the comment of that, for the FIN
	fin    bool   // it was written
}

const (
	// maxGap is the longest gap that is shown in full. Beyond a half of the
	// 32 bits, a sequence number seems to go back.
	maxGap = 1 << 28

	// maxUnacked is how much one side sends before the other acknowledges it,
	// if not by sending: within the window.
	maxUnacked = 1 << 28

	// With the scale, the window is 1 GiB: nothing is ever outside of it.
	window = 65535
	scale  = 14
)

// writeStream writes what p is in its TCP conversation, if anything.
func (w *Writer) writeStream(p *pcapng.Packet, s side, k key) (written bool, err error) {
	c := w.conversations.of(k)
	if c.ends[server].port == 0 {
		c.open(k, p.Path)
	}
	switch p.Event {
	case pcapng.EventData, pcapng.EventLost:
		if p.Event == pcapng.EventData && p.Len == 0 && len(p.Data) == 0 {
			return false, nil
		}
		return true, w.writeBytes(p, c, s)
	case pcapng.EventConnect:
		if c.began {
			return false, nil
		}
		return true, w.writeHandshake(c, w.comment)
	case pcapng.EventRefused:
		defer func() { *c = conversation{tries: c.tries + 1} }() // another try has other ports
		return true, w.writeRefused(c, s)
	case pcapng.EventClose:
		return w.writeClose(p, c, s)
	case pcapng.EventSnapshot:
		c.began = true
	}
	return false, nil
}

// open gives the ends their addresses.
func (c *conversation) open(k key, path string) {
	c.key = k
	c.ends[client].address, c.ends[server].address = addresses(k)
	c.ends[client].port, c.ends[server].port = clientPort(k.id+c.tries), streamPort(path)
}

// writeHandshake writes what connect does: its success is the three packets,
// and accept sends none. comment is for those of the client.
func (w *Writer) writeHandshake(c *conversation, comment []byte) error {
	c.began = true
	syn := beginning()
	if err := w.send(c, client, syn, nil, comment); err != nil {
		return err
	}
	syn.ACK, syn.Ack = true, 1
	if err := w.send(c, server, syn, nil, nil); err != nil {
		return err
	}
	c.ends[client].known, c.ends[server].known = true, true
	return w.segment(c, client, 0, layers.TCP{}, nil, comment)
}

// beginning is the header of a SYN.
func beginning() layers.TCP {
	return layers.TCP{SYN: true, Window: window, Options: []layers.TCPOption{
		{OptionType: layers.TCPOptionKindMSS, OptionLength: 4, OptionData: []byte{maxSegment >> 8, maxSegment & 0xff}},
		{OptionType: layers.TCPOptionKindWindowScale, OptionLength: 3, OptionData: []byte{scale}},
	}}
}

// writeRefused writes what a refused connect, or send, of a side does.
func (w *Writer) writeRefused(c *conversation, s side) error {
	if c.began {
		return w.segment(c, 1-s, c.ends[1-s].next, layers.TCP{RST: true}, nil, w.comment)
	}
	if err := w.send(c, s, beginning(), nil, w.comment); err != nil {
		return err
	}
	return w.send(c, 1-s, layers.TCP{RST: true, ACK: true, Ack: 1}, nil, w.comment)
}

// writeBytes writes bytes in as many segments as they need. What a record
// stands for and does not have is a gap after them, which an empty segment
// shows where there are none, and where none will follow.
func (w *Writer) writeBytes(p *pcapng.Packet, c *conversation, s side) error {
	if !c.began && p.Offset == p.Lost+p.Skipped {
		if err := w.writeHandshake(c, nil); err != nil {
			return err
		}
	}
	c.began = true
	missing := max(uint64(p.Len), uint64(len(p.Data))) - uint64(len(p.Data))
	offset := p.Offset
	if len(p.Data) == 0 {
		offset, missing = offset+missing, 0
	}
	at, err := w.reach(c, s, offset)
	if err != nil {
		return err
	}
	for data := p.Data; ; {
		n := min(len(data), maxSegment)
		last := n == len(data)
		if err := w.segment(c, s, at, layers.TCP{PSH: last && n > 0}, data[:n], w.comment); err != nil {
			return err
		}
		data, at = data[n:], at+uint64(n)
		c.ends[s].extend(at)
		if last {
			break
		}
	}
	c.ends[s].told = max(c.ends[s].told, at+missing)
	return w.finish(c, s)
}

// writeClose notes that a side was closed, and writes what that allows. The
// other side may have waited for it with its own end.
func (w *Writer) writeClose(p *pcapng.Packet, c *conversation, s side) (written bool, err error) {
	e := &c.ends[s]
	if e.closed {
		return false, nil
	}
	e.closed, e.sent, e.bye = true, p.Offset, bytes.Clone(w.comment)
	w.leftOut.Events[pcapng.EventClose]++ // until finish writes it
	if err := w.finish(c, 1-s); err != nil {
		return true, err
	}
	if err := w.finish(c, s); err != nil {
		return true, err
	}
	w.leftOut.Dropped = w.frame.DropCount
	return true, nil
}

// finish writes the FIN of a side if it was closed and all that it sent was
// shown: what comes after a FIN is thrown away, and where packets are made on
// reading, a socket is often closed before its last bytes are read, sometimes
// both are. Of a side that says nothing of what it sent, the other side has to
// be closed too.
func (w *Writer) finish(c *conversation, s side) error {
	e := &c.ends[s]
	whole := e.known && int64(e.sent-e.out-e.told) <= 0
	if e.sent == 0 {
		whole = c.ends[1-s].closed
	}
	if !e.closed || e.fin || !whole {
		return nil
	}
	return w.writeFIN(c, s, e.told)
}

// finishAll writes the FINs that have waited in vain.
func (w *Writer) finishAll() error {
	for _, c := range w.conversations.all(compareKeys) {
		for s, e := range c.ends {
			if !e.closed || e.fin {
				continue
			}
			w.frame.Host = c.key.host
			at, err := w.reach(c, side(s), max(e.sent, e.told+e.out))
			if err == nil {
				err = w.writeFIN(c, side(s), at)
			}
			if err != nil {
				return err
			}
		}
	}
	return nil
}

func (w *Writer) writeFIN(c *conversation, s side, at uint64) error {
	e := &c.ends[s]
	c.began, e.known = true, true
	e.extend(at)
	if err := w.segment(c, s, at, layers.TCP{FIN: true}, nil, e.bye); err != nil {
		return err
	}
	e.fin, e.bye = true, nil
	w.leftOut.Events[pcapng.EventClose]--
	return nil
}

// reach prepares for what is written of a side at an offset, and returns its
// position.
func (w *Writer) reach(c *conversation, s side, offset uint64) (at uint64, err error) {
	e, other := &c.ends[s], &c.ends[1-s]
	if !e.known {
		e.known, e.next, e.told, e.acked = true, offset, offset, offset
	}
	at = offset - e.out
	if gap := at - e.next; int64(gap) > maxGap {
		w.note(fmt.Sprintf("gap before of %d bytes, shown as %d", gap, maxGap))
		e.out += gap - maxGap
		at = e.next + maxGap
	}
	if other.known && int64(at-e.acked) > maxUnacked {
		return at, w.segment(c, 1-s, other.next, layers.TCP{}, nil, nil)
	}
	return at, nil
}

// extend notes that all before a position was written.
func (e *end) extend(at uint64) {
	if int64(at-e.next) > 0 {
		e.next = at
	}
	e.told = max(e.told, e.next)
}

// segment writes one at a position, which acknowledges what was written of
// the other side.
func (w *Writer) segment(c *conversation, s side, at uint64, header layers.TCP, payload, comment []byte) error {
	other := &c.ends[1-s]
	header.Seq, header.Window = uint32(at)+1, window
	if c.ends[s].fin && len(payload) == 0 {
		header.Seq++ // an acknowledgment after it
	}
	if other.known {
		header.ACK, header.Ack = true, uint32(other.next)+1
		if other.fin {
			header.Ack++
		}
		other.acked = other.next
	}
	return w.send(c, s, header, payload, comment)
}

// send writes a segment whose header lacks but the ports.
func (w *Writer) send(c *conversation, s side, header layers.TCP, payload, comment []byte) error {
	from, to := &c.ends[s], &c.ends[1-s]
	header.SrcPort, header.DstPort = layers.TCPPort(from.port), layers.TCPPort(to.port)
	w.ip.tcp = header
	data, err := w.ip.segment(&from.address, &to.address, payload)
	return w.write(data, err, comment)
}
