package workload

import (
	"bytes"
	"slices"

	"github.com/sockcap/sockcap/pcapng"
)

// flowCheck compares the records of one flow with its units.
type flowCheck struct {
	*comparison
	i       int
	f       *Flow
	want    []byte // all bytes of all units
	starts  []int  // where in want each unit begins, and at last its length
	claimed []bool // bytes of want that a record has brought
	whole   []bool // units that a record has brought (datagrams)
	cursor  int    // where the next record should begin
	base    uint64 // offset of the first byte of want
	based   bool

	high       int // the highest place so far, and whether its record was marked
	highClean  int // the highest place of an unmarked record
	datagram   bool
	unitCursor int
}

// checkFlow compares the flow i.
func (c *comparison) checkFlow(i int) {
	k := &flowCheck{comparison: c, i: i, f: &c.truth.Flows[i], high: -1, highClean: -1}
	k.datagram = k.f.Type != pcapng.Stream
	for _, u := range k.f.Units {
		k.starts = append(k.starts, len(k.want))
		k.want = append(k.want, c.truth.Content(&c.truth.Sends[u.Send])[u.Off:u.Off+u.Len]...)
	}
	k.starts = append(k.starts, len(k.want))
	k.claimed = make([]bool, len(k.want))
	k.whole = make([]bool, len(k.f.Units))
	records := c.data[i]
	for len(records) > 0 {
		n := 1
		if k.datagram {
			n = pieces(records)
		}
		k.unitOf(records[:n])
		records = records[n:]
	}
	k.checkMissing()
}

// pieces is how many of the records make up the first message.
func pieces(records []*pcapng.Packet) int {
	n := 1
	for n < len(records) && records[n-1].More && records[n].Continued {
		n++
	}
	return n
}

// unitOf places one record of a stream, or all pieces of one message.
func (k *flowCheck) unitOf(records []*pcapng.Packet) {
	p := records[0]
	data, length := p.Data, int(p.Len)
	if len(records) > 1 {
		data = slices.Clone(data)
		for _, more := range records[1:] {
			data = append(data, more.Data...)
			length += int(more.Len)
		}
	}
	k.checkCut(records)
	at, ok := k.find(p, data, length)
	if !ok {
		k.unknown(p, data, length)
		return
	}
	if p.Lost != 0 && at == k.next() {
		k.differ(k.i, false, "%s says that %d bytes before it are lost: none are", describe(p), p.Lost)
	}
	k.claim(at, length)
	k.checkReader(records, at, length)
	k.checkOrder(p, at)
	place := at
	if k.datagram {
		k.unit[p] = at
		place = k.starts[at]
		if p.Continued || records[len(records)-1].More {
			k.differ(k.i, false, "%s: pieces of the message are missing", describe(p))
		}
	}
	for _, piece := range records {
		k.checkOffset(piece, place)
		u := k.unitAt(at, length)
		k.checkRecord(piece, u, place == k.starts[u] && k.f.Units[u].Off == 0)
		place += int(piece.Len)
	}
	if !k.datagram && k.unitAt(at, length) != k.unitAt(at+max(length, 1)-1, 1) {
		k.checkJoined(p, at, length)
	}
}

// checkCut: data is there in full unless the record says otherwise.
func (k *flowCheck) checkCut(records []*pcapng.Packet) {
	for _, p := range records {
		switch {
		case len(p.Data) > int(p.Len):
			k.differ(k.i, false, "%s has %d bytes of data", describe(p), len(p.Data))
		case len(p.Data) < int(p.Len):
			k.differ(k.i, p.Truncated, "%s has only %d bytes of data", describe(p), len(p.Data))
		case p.Truncated:
			k.differ(k.i, false, "%s is marked truncated and has all its data", describe(p))
		}
	}
}

// find looks where a record belongs: in a stream the index of its first byte,
// of a datagram the index of its unit. It tries where it should be, then where
// its offset says, then everywhere.
func (k *flowCheck) find(p *pcapng.Packet, data []byte, length int) (int, bool) {
	if k.datagram {
		return k.findMessage(data, length)
	}
	if length == 0 {
		return 0, false
	}
	for _, at := range []int{k.cursor, k.byOffset(p)} {
		if k.free(at, length) && bytes.HasPrefix(k.want[at:], data) {
			return at, true
		}
	}
	for _, from := range []int{k.cursor, 0} {
		for at := from; at+length <= len(k.want); at++ {
			n := bytes.Index(k.want[at:], data)
			if n < 0 {
				break
			}
			if at += n; k.free(at, length) {
				return at, true
			}
		}
	}
	return 0, false
}

// byOffset is where in want the record's offset points to, or a place behind
// its end.
func (k *flowCheck) byOffset(p *pcapng.Packet) int {
	if k.f.Before && !k.based || p.Offset-k.base > uint64(len(k.want)) {
		return len(k.want) + 1
	}
	return int(p.Offset - k.base)
}

func (k *flowCheck) findMessage(data []byte, length int) (int, bool) {
	fits := func(i int) bool {
		begin, end := k.starts[i], k.starts[i+1]
		return !k.whole[i] && end-begin == length && bytes.HasPrefix(k.want[begin:end], data)
	}
	for i := k.unitCursor; i < len(k.whole); i++ {
		if fits(i) {
			return i, true
		}
	}
	for i := range min(k.unitCursor, len(k.whole)) {
		if fits(i) {
			return i, true
		}
	}
	return 0, false
}

// free reports whether no record has brought any of these bytes of the stream.
func (k *flowCheck) free(at, length int) bool {
	return at+length <= len(k.want) && !slices.Contains(k.claimed[at:at+length], true)
}

// next is where the next record belongs if nothing is missing.
func (k *flowCheck) next() int {
	if k.datagram {
		return k.unitCursor
	}
	return k.cursor
}

func (k *flowCheck) claim(at, length int) {
	if k.datagram {
		k.whole[at] = true
		k.unitCursor = at + 1
		return
	}
	for i := range length {
		k.claimed[at+i] = true
	}
	k.cursor = at + length
}

// checkOrder: records come in the receiver's order. A record is out of order
// if one before it belongs behind it; that is marked if either is.
func (k *flowCheck) checkOrder(p *pcapng.Packet, at int) {
	marked := p.Uncertain&pcapng.UncertainOrder != 0
	if at < k.high {
		k.differ(k.i, marked || k.highClean < at, "%s comes after what the receiver got later", describe(p))
	}
	k.high = max(k.high, at)
	if !marked {
		k.highClean = max(k.highClean, at)
	}
}

// checkOffset: the record says where in the flow it begins.
func (k *flowCheck) checkOffset(p *pcapng.Packet, place int) {
	if k.datagram && len(k.from[k.f.From]) > 1 {
		return // the offset counts what went to other receivers too
	}
	if !k.based {
		k.based = true
		if k.f.Before {
			k.base = p.Offset - uint64(place)
		}
	}
	if p.Offset != k.base+uint64(place) {
		k.differ(k.i, p.Uncertain&pcapng.UncertainOrder != 0, "%s: want offset %d", describe(p), k.base+uint64(place))
	}
}

// unitAt is the unit that a record placed at at belongs to.
func (k *flowCheck) unitAt(at, length int) int {
	if k.datagram {
		return at
	}
	i, _ := slices.BinarySearch(k.starts, at+1)
	return i - 1
}

// checkJoined: a record of a stream is of one send, but for splice and sendfile
// up to 6.4, which append to the last skb in the queue. Who takes the bytes on
// reading sees one skb: its record may hold bytes of several sends if it claims
// no send's length, and those of several tasks only if it says so.
func (k *flowCheck) checkJoined(p *pcapng.Packet, at, length int) {
	t := k.truth
	from := k.unitAt(at, 1)
	first := &t.Sends[k.f.Units[from].Send]
	for i := from + 1; i <= k.unitAt(at+length-1, 1); i++ {
		x := &t.Sends[k.f.Units[i].Send]
		switch {
		case !x.Pieces, !first.Pieces && p.MessageLen != pcapng.Unknown:
			k.differ(k.i, false, "%s holds bytes of several sends", describe(p))
			return
		case x.Task != first.Task:
			k.differ(k.i, p.Uncertain&pcapng.UncertainSender != 0, "%s holds bytes of several tasks", describe(p))
			return
		}
	}
	k.report.Joined++
}

// unknown is a record whose bytes belong nowhere.
func (k *flowCheck) unknown(p *pcapng.Packet, data []byte, length int) {
	t := k.truth
	if bytes.Contains(k.want, data) && length > 0 && !k.datagram {
		k.differ(k.i, false, "%s brings bytes for a second time", describe(p))
		return
	}
	for i := range t.Sends {
		x := &t.Sends[i]
		if x.From == k.f.From && len(data) > 0 && bytes.HasPrefix(t.Content(x), data[:min(len(data), x.Len)]) {
			switch {
			case x.Done == Failed:
				k.differ(k.i, false, "%s is of a send of %d bytes that failed: %s", describe(p), x.Len, x.Err)
			case x.Dropped:
				k.differ(k.i, false, "%s is of a send that did not reach the receiver", describe(p))
			default:
				k.differ(k.i, false, "%s begins as the send of %d bytes (%d taken, %d left by the filter) does, and is not what was queued of it, or comes twice",
					describe(p), x.Len, x.Done, x.Trim)
			}
			return
		}
	}
	k.differ(k.i, false, "%s: nobody sent %x", describe(p), data[:min(len(data), 16)])
}

// checkMissing: every byte, and every message, has come.
func (k *flowCheck) checkMissing() {
	if k.datagram {
		for i, ok := range k.whole {
			if !ok {
				k.report.MissingUnits++
				k.report.MissingBytes += k.f.Units[i].Len
				k.differ(k.i, false, "message %d of %d, of %d bytes, is missing", i, len(k.whole), k.f.Units[i].Len)
			}
		}
		return
	}
	for at := 0; at < len(k.claimed); at++ {
		if k.claimed[at] {
			continue
		}
		end := at
		for end < len(k.claimed) && !k.claimed[end] {
			end++
		}
		k.report.MissingBytes += end - at
		k.differ(k.i, false, "bytes %d to %d of %d are missing", at, end, len(k.claimed))
		at = end
	}
}
