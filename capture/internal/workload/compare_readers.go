package workload

import (
	"slices"
	"time"

	"github.com/sockcap/sockcap/pcapng"
)

// wholeMessage names what a read event is of: the data record that has the same.
type wholeMessage struct {
	from, message, offset uint64
}

// indexReads notes the read events.
func (c *comparison) indexReads(packets []*pcapng.Packet) {
	c.reads = make(map[wholeMessage][]*pcapng.Packet)
	for _, p := range packets {
		if p.Event == pcapng.EventRead {
			id := wholeMessage{p.Sender.Inode, p.Message, p.Offset}
			c.reads[id] = append(c.reads[id], p)
		}
	}
}

// checkReader: who read the unit that the records are of, and when: whoever
// read its last byte. One who is named must be right; that nobody is named, in
// a record or in a read event, is counted.
func (k *flowCheck) checkReader(records []*pcapng.Packet, at, length int) {
	first, last := records[0], records[len(records)-1]
	if last.More {
		return // the rest of a stream's unit is another record here
	}
	place := at
	if !k.datagram {
		place = at + max(length, 1) - 1
	}
	want, read := k.f.readOf(place)
	told := k.reads[wholeMessage{first.Sender.Inode, first.Message, first.Offset}]
	if len(told) > 1 || len(told) == 1 && first.Reader != nil {
		k.differ(k.i, false, "%s: told more than once who read it", describe(first))
	}
	for _, p := range slices.Concat(records, told) {
		if p.Reader == nil {
			continue
		}
		if !read && len(k.f.Reads) == 0 {
			k.differ(k.i, false, "%s: read by %d, want nobody", describe(p), p.Reader.PID)
		}
		if read {
			k.checkReadBy(p, want, &k.truth.Sends[k.f.Units[k.unitAt(at, length)].Send])
		}
	}
	if read && last.Reader == nil && len(told) == 0 && !k.inPieces() {
		k.report.Unread++
		k.report.unread = append(k.report.unread, describe(first))
	}
}

// checkReadBy: a record names this task as the reader, and as the peer.
func (k *flowCheck) checkReadBy(p *pcapng.Packet, want Read, x *Send) {
	task := k.truth.Tasks[want.Task]
	r := p.Reader
	switch {
	case r.PID != task.PID, r.TID != task.TID && !want.Worker:
		k.differ(k.i, false, "%s: read by %d/%d, want %d/%d", describe(p), r.PID, r.TID, task.PID, task.TID)
	case r.Comm != task.Comm, r.Thread != "" && r.Thread != task.Thread && !want.Worker:
		k.differ(k.i, false, "%s: read by %q, thread %q, want %q, %q", describe(p), r.Comm, r.Thread, task.Comm, task.Thread)
	case p.Peer.PID != r.PID, p.Peer.TID != r.TID, p.Peer.Comm != r.Comm, p.Peer.Thread != task.Thread && !want.Worker:
		k.differ(k.i, false, "%s: read by %d/%d, the peer is %+v", describe(p), r.PID, r.TID, p.Peer)
	case p.Peer.UID != task.UID, p.Peer.GID != task.GID:
		k.differ(k.i, false, "%s: the peer is %+v, want uid %d, gid %d", describe(p), p.Peer, task.UID, task.GID)
	}
	k.checkLatency(p, want, x)
}

// checkLatency: what was queued was read so much later, by the end of the call.
func (k *flowCheck) checkLatency(p *pcapng.Packet, want Read, x *Send) {
	at := p.Time
	if !p.OwnTime.IsZero() {
		at = p.OwnTime
	}
	if p.Event == pcapng.EventData && p.Stamp == pcapng.StampQueued {
		if p.Latency == 0 && !k.inPieces() {
			k.differ(k.i, false, "%s: read, after how long is not said", describe(p))
		}
		at = at.Add(p.Latency)
	}
	if p.Event == pcapng.EventData && p.Stamp == pcapng.StampRead && p.Latency > 0 {
		k.report.Waits++
		k.checkQueued(p, at.Add(-p.Latency), x)
	}
	if may := slack + k.truth.Stepped; p.Stamp != pcapng.StampWaiting && want.At != 0 && !want.Worker && at.After(time.Unix(0, want.At).Add(may)) {
		k.differ(k.i, false, "%s: read at %s, want by %s", describe(p), at.UTC().Format("05.000000"), time.Unix(0, want.At).UTC().Format("05.000000"))
	}
}

// inPieces: up to 6.4 what sendfile and splice send may share an skb with what
// was sent before; then it is known only when all of it has been read.
func (k *flowCheck) inPieces() bool {
	return slices.ContainsFunc(k.truth.Sends, func(x Send) bool { return x.From == k.f.From && x.Pieces })
}

// checkQueued: what was read had been queued within the call that sent it.
func (k *flowCheck) checkQueued(p *pcapng.Packet, at time.Time, x *Send) {
	may := slack + k.truth.Stepped
	if x.Begin != 0 && at.Before(time.Unix(0, x.Begin).Add(-may)) || x.Finish != 0 && !x.Worker && at.After(time.Unix(0, x.Finish).Add(may)) {
		k.differ(k.i, false, "%s: queued at %s, %v before it was read, which is not in the call", describe(p), at.UTC().Format("05.000000"), p.Latency)
	}
}
