package workload

import (
	"slices"
	"time"

	"github.com/sockcap/sockcap/pcapng"
)

// checkRecord: what a record of the unit u says of itself; first is the one that
// begins a send.
func (k *flowCheck) checkRecord(p *pcapng.Packet, u int, first bool) {
	t := k.truth
	unit := &k.f.Units[u]
	x := &t.Sends[unit.Send]
	if p.Type != k.f.Type {
		k.differ(k.i, false, "%s: type %d, want %d", describe(p), p.Type, k.f.Type)
	}
	if p.Path != k.f.Path {
		k.differ(k.i, false, "%s: path %q", describe(p), p.Path)
	}
	if p.Role != k.f.Role && k.f.Role != pcapng.RoleUnknown && !(k.f.orphan(p) && p.Role == pcapng.RoleUnknown) {
		k.differ(k.i, false, "%s: role %d, want %d", describe(p), p.Role, k.f.Role)
	}
	if n := p.MessageLen; n != pcapng.Unknown && int(n) != x.Len && int(n) != x.Done && int(n) != unit.Len && !x.Pieces {
		k.differ(k.i, false, "%s: message length %d, want %d of %d", describe(p), n, x.Done, x.Len)
	}
	k.checkPassed(p, x, first)
	k.checkSender(p, x)
	k.checkPeer(p, x)
	k.checkStamp(p, x)
	k.checkMessage(p, unit.Send)
}

// checkPassed: what was passed along, once, with the first byte of a send. A
// descriptor's number in the sender is not always to be known, but never wrong.
func (k *flowCheck) checkPassed(p *pcapng.Packet, x *Send, first bool) {
	if !first || p.Continued {
		if p.FDCount != 0 || len(p.FDs) != 0 {
			k.differ(k.i, false, "%s: %d descriptors passed with what is no first byte", describe(p), p.FDCount)
		}
		return
	}
	if x.Hidden && p.FDCount == 0 {
		k.report.Unseen += x.FDs
		return
	}
	if x.FDs >= 0 && int(p.FDCount) != x.FDs {
		k.differ(k.i, false, "%s: %d descriptors passed, want %d", describe(p), p.FDCount, x.FDs)
	}
	if x.Passed != nil {
		k.checkDescriptors(p, x.Passed)
	}
	if x.Cred != nil && (p.Cred == nil || *p.Cred != *x.Cred) || x.NoCred && p.Cred != nil {
		k.differ(k.i, false, "%s: credentials %+v passed, want %+v", describe(p), p.Cred, x.Cred)
	}
}

// checkDescriptors: each of them is what it is.
func (k *flowCheck) checkDescriptors(p *pcapng.Packet, want []pcapng.FD) {
	if len(p.FDs) != len(want) {
		k.differ(k.i, false, "%s: %d descriptors told of, want %d", describe(p), len(p.FDs), len(want))
		return
	}
	for i, fd := range p.FDs {
		k.report.Told++
		switch {
		case fd.Num == pcapng.Unknown && want[i].Num != pcapng.Unknown:
			k.report.Unnumbered++
		case fd.Num != want[i].Num:
			k.differ(k.i, false, "%s: descriptor %d was %d in the sender, want %d", describe(p), i, fd.Num, want[i].Num)
		}
		if fd.Kind != want[i].Kind || fd.Name != want[i].Name {
			k.differ(k.i, false, "%s: descriptor %d is %s %q, want %s %q", describe(p), i, fd.Kind, fd.Name, want[i].Kind, want[i].Name)
		}
	}
}

// checkSender: the task that sent it, and its names.
func (k *flowCheck) checkSender(p *pcapng.Packet, x *Send) {
	marked := p.Uncertain&pcapng.UncertainSender != 0
	want := k.truth.Tasks[x.Task]
	if p.Sender.PID != want.PID {
		k.differ(k.i, marked, "%s: want pid %d", describe(p), want.PID)
		return
	}
	if p.Sender.Comm != want.Comm {
		k.differ(k.i, marked, "%s: comm %q, want %q", describe(p), p.Sender.Comm, want.Comm)
	}
	if p.Sender.UID != want.UID || p.Sender.GID != want.GID {
		k.differ(k.i, marked, "%s: uid %d, gid %d, want %d, %d", describe(p), p.Sender.UID, p.Sender.GID, want.UID, want.GID)
	}
	if what := want.Is.wrong(p, want.PID); what != "" {
		k.differ(k.i, marked, "%s: %q", describe(p), what)
	}
	if x.Worker {
		return
	}
	if p.Sender.TID != want.TID {
		k.differ(k.i, marked, "%s: tid %d, want %d", describe(p), p.Sender.TID, want.TID)
	} else if p.Sender.Thread != want.Thread {
		k.differ(k.i, marked, "%s: thread %q, want %q", describe(p), p.Sender.Thread, want.Thread)
	}
}

// checkPeer: the other end and the reader, where the record names them. Until
// the other end has sent something, whoever made the sockets may be the best
// that is known of it; that is counted.
func (k *flowCheck) checkPeer(p *pcapng.Packet, x *Send) {
	f := k.f
	if f.Holder != 0 && (p.Peer.PID != f.Holder || p.Peer.Comm != f.HolderComm) {
		k.differ(k.i, false, "%s: peer is %s[%d], want %s[%d]", describe(p), p.Peer.Comm, p.Peer.PID, f.HolderComm, f.Holder)
	}
	switch {
	case p.Peer.PID == 0 || len(f.Peers) == 0 || slices.Contains(f.Peers, p.Peer.PID):
	case p.Peer.PID == k.truth.Tasks[0].PID && !k.answered(x.Begin):
		k.report.StalePeers++
	default:
		k.differ(k.i, false, "%s: peer's pid %d, want one of %d", describe(p), p.Peer.PID, f.Peers)
	}
	if p.Reader != nil && p.Reader.PID != 0 && len(f.Readers) > 0 && !slices.Contains(f.Readers, p.Reader.PID) {
		k.differ(k.i, false, "%s: reader's pid %d, want one of %d", describe(p), p.Reader.PID, f.Readers)
	}
	ends := []pcapng.Endpoint{p.Peer}
	if p.Reader != nil {
		ends = append(ends, *p.Reader)
	}
	for _, end := range ends {
		if names := k.names[end.PID]; end.Comm != "" && len(names) > 0 && !slices.Contains(names, end.Comm) {
			k.differ(k.i, false, "%s: comm %q of pid %d, want one of %q", describe(p), end.Comm, end.PID, names)
			return
		}
	}
}

// answered reports whether the other end sent something before a moment.
func (k *flowCheck) answered(at int64) bool {
	for i := range k.truth.Sends {
		if y := &k.truth.Sends[i]; y.From == k.f.To && y.Done > 0 && y.Finish != 0 && y.Finish < at {
			return true
		}
	}
	return false
}

// checkStamp: a record stamped when it was queued has a time within the call,
// any other one within the case, unless the garbage collector threw it away,
// and not before the call.
func (k *flowCheck) checkStamp(p *pcapng.Packet, x *Send) {
	at := p.Time
	if !p.OwnTime.IsZero() {
		at = p.OwnTime
	}
	from, until := time.Unix(0, x.Begin), k.truth.End
	if x.Begin == 0 {
		from = k.truth.Start
	}
	if p.Stamp == pcapng.StampQueued && x.Finish != 0 && !x.Worker {
		until = time.Unix(0, x.Finish)
	} else if k.f.Orphan {
		until = p.Time // the collector works when it likes, also after the case
	}
	may := slack + k.truth.Stepped
	if at.Before(from.Add(-may)) || at.After(until.Add(may)) {
		k.differ(k.i, false, "%s: the time is not between %s and %s", describe(p),
			from.UTC().Format("05.000000"), until.UTC().Format("05.000000"))
	}
}

// checkMessage: the records of one send, and only they, share its number. A
// record that does not know the send's length may not know the send either:
// then its number may be its own, which is counted.
func (k *flowCheck) checkMessage(p *pcapng.Packet, send int) {
	if p.Message == 0 {
		return
	}
	if other, ok := k.messages[p.Message]; ok && other != send {
		k.differ(k.i, false, "%s: its message number is also another send's", describe(p))
	}
	k.messages[p.Message] = send
	switch number, ok := k.numbers[send]; {
	case !ok || number == p.Message || k.truth.Sends[send].Pieces:
	case p.MessageLen == pcapng.Unknown:
		k.report.Unjoined++
	default:
		k.differ(k.i, false, "%s: other records of its send have message number %d", describe(p), number)
	}
	k.numbers[send] = p.Message
}
