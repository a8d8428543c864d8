package workload

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sockcap/sockcap/pcapng"
)

// pieceLen is where perfect cuts streams: an skb's share of a large write.
const pieceLen = 30_001

// perfect makes the packets that an exact capture of t has: units of all
// flows, in turn.
func perfect(t *Truth) []*pcapng.Packet {
	var out []*pcapng.Packet
	sent := make(map[uint64]uint64) // offsets by sending socket
	for i := range t.Flows {
		f := &t.Flows[i]
		for _, u := range f.Units {
			x := &t.Sends[u.Send]
			data := t.Content(x)[u.Off : u.Off+u.Len]
			for first := true; first || len(data) > 0; first = false {
				n := len(data)
				if f.Type == pcapng.Stream {
					n = min(n, pieceLen)
				}
				p := &pcapng.Packet{Event: pcapng.EventData, Type: f.Type, Role: f.Role,
					Path: f.Path, ConnID: uint64(f.Conn), Offset: sent[f.From], Message: uint64(u.Send + 1),
					Len: uint32(n), MessageLen: uint32(x.Done), Data: data[:n]}
				if first && u.Off == 0 {
					p.FDCount, p.FDs, p.Cred = uint32(max(x.FDs, 0)), x.Passed, x.Cred
				}
				task := t.Tasks[x.Task]
				p.Sender = pcapng.Endpoint{PID: task.PID, TID: task.TID, Comm: task.Comm, Thread: task.Thread,
					UID: task.UID, GID: task.GID, Inode: f.From}
				task.Is.show(p)
				p.Peer = pcapng.Endpoint{Inode: f.To, PID: f.Holder, Comm: f.HolderComm}
				p.OwnTime = time.Unix(0, x.Begin)
				if x.Begin == 0 {
					p.OwnTime = t.Start
				}
				sent[f.From] += uint64(n)
				data = data[n:]
				out = append(out, p)
			}
		}
	}
	return append(snapshots(t), inOrder(t, out)...)
}

// snapshots are those of the sockets that are older than the capture.
func snapshots(t *Truth) []*pcapng.Packet {
	var out []*pcapng.Packet
	for _, x := range t.Existing {
		out = append(out, &pcapng.Packet{
			Event: pcapng.EventSnapshot, Time: t.Start, Type: x.Type, State: x.State, Role: x.Role, Path: x.Path, ConnID: uint64(x.Conn),
			Sender: pcapng.Endpoint{PID: x.PID, Comm: x.Comm, Inode: x.Inode},
			Peer:   pcapng.Endpoint{PID: x.PeerPID, Comm: x.PeerComm, Inode: x.Peer},
		})
	}
	return out
}

// show puts into a packet what a capture would.
func (i *Identity) show(p *pcapng.Packet) {
	p.Exe, p.Cmdline = i.Exe, i.arguments()
	_, line, _ := strings.Cut(i.Cgroups, "0::")
	p.Cgroup, _, _ = strings.Cut(line, "\n")
	if i.OwnPID != 0 && i.OwnPID != p.Sender.PID {
		p.NSPID = i.OwnPID
	}
}

// inOrder puts the records of each receiving socket in its order, and gives
// them times that never go back.
func inOrder(t *Truth, packets []*pcapng.Packet) []*pcapng.Packet {
	seq := make(map[*pcapng.Packet]int)
	at := make([]int, len(t.Flows))
	for _, p := range packets {
		for i := range t.Flows {
			f := &t.Flows[i]
			if f.From == p.Sender.Inode && f.To == p.Peer.Inode && at[i] < len(f.Units) {
				if f.Type != pcapng.Stream {
					seq[p] = f.Units[at[i]].Seq
				}
				at[i]++
				break
			}
		}
	}
	slices.SortStableFunc(packets, func(a, b *pcapng.Packet) int {
		if a.Peer.Inode == b.Peer.Inode {
			return seq[a] - seq[b]
		}
		return int(a.Peer.Inode) - int(b.Peer.Inode)
	})
	for i, p := range packets {
		p.Time = t.Start.Add(time.Duration(i))
	}
	return packets
}

// mutation spoils an exact capture; each must be found.
type mutation struct {
	name string
	want Verdict
	do   func(p []*pcapng.Packet, i int) []*pcapng.Packet
}

func mutations() []mutation {
	each := func(f func(*pcapng.Packet)) func([]*pcapng.Packet, int) []*pcapng.Packet {
		return func(p []*pcapng.Packet, i int) []*pcapng.Packet {
			f(p[i])
			return p
		}
	}
	return []mutation{
		{"record missing", Wrong, func(p []*pcapng.Packet, i int) []*pcapng.Packet { return slices.Delete(p, i, i+1) }},
		{"record twice", Wrong, func(p []*pcapng.Packet, i int) []*pcapng.Packet { return slices.Insert(p, i, p[i]) }},
		{"last byte missing", Wrong, each(func(p *pcapng.Packet) { p.Len--; p.Data = p.Data[:p.Len] })},
		{"first byte missing", Wrong, each(func(p *pcapng.Packet) { p.Len--; p.Data = p.Data[1:]; p.Offset++ })},
		{"byte changed", Wrong, each(func(p *pcapng.Packet) { p.Data = slices.Clone(p.Data); p.Data[p.Len/2] ^= 1 })},
		{"byte too many", Wrong, each(func(p *pcapng.Packet) { p.Data = append(slices.Clip(p.Data), 1); p.Len++ })},
		{"cut, unmarked", Wrong, each(func(p *pcapng.Packet) { p.Data = p.Data[:0] })},
		{"cut, marked", Marked, each(func(p *pcapng.Packet) { p.Data = p.Data[:p.Len/2]; p.Truncated = true })},
		{"pid", Wrong, each(func(p *pcapng.Packet) { p.Sender.PID++ })},
		{"pid, marked", Marked, each(func(p *pcapng.Packet) { p.Sender.PID++; p.Uncertain = pcapng.UncertainSender })},
		{"tid", Wrong, each(func(p *pcapng.Packet) { p.Sender.TID++ })},
		{"comm", Wrong, each(func(p *pcapng.Packet) { p.Sender.Comm = "bash" })},
		{"thread", Wrong, each(func(p *pcapng.Packet) { p.Sender.Thread += "x" })},
		{"uid", Wrong, each(func(p *pcapng.Packet) { p.Sender.UID++ })},
		{"gid", Wrong, each(func(p *pcapng.Packet) { p.Sender.GID = pcapng.Unknown })},
		{"exe", Wrong, each(func(p *pcapng.Packet) { p.Exe = "" })},
		{"command line", Wrong, each(func(p *pcapng.Packet) { p.Cmdline += " x" })},
		{"cgroup", Wrong, each(func(p *pcapng.Packet) { p.Cgroup = "/init.scope" })},
		{"pid in its own namespace", Wrong, each(func(p *pcapng.Packet) { p.NSPID++ })},
		{"exe, marked", Marked, each(func(p *pcapng.Packet) { p.Exe, p.Uncertain = "/x", pcapng.UncertainSender })},
		{"peer's comm", Wrong, each(func(p *pcapng.Packet) { p.Peer.PID, p.Peer.Comm = 200, "bash" })},
		{"sender's inode", Wrong, each(func(p *pcapng.Packet) { p.Sender.Inode = 1 })},
		{"sender's inode unknown", Wrong, each(func(p *pcapng.Packet) { p.Sender.Inode = 0 })},
		{"receiver's inode", Wrong, each(func(p *pcapng.Packet) { p.Peer.Inode = 1 })},
		{"receiver's inode unknown", Wrong, each(func(p *pcapng.Packet) { p.Peer.Inode = 0 })},
		{"ends swapped", Wrong, each(func(p *pcapng.Packet) { p.Sender.Inode, p.Peer.Inode = p.Peer.Inode, p.Sender.Inode })},
		{"peer's pid", Wrong, each(func(p *pcapng.Packet) { p.Peer.PID = 7 })},
		{"reader's pid", Wrong, each(func(p *pcapng.Packet) { p.Reader = &pcapng.Endpoint{PID: 1} })},
		{"path", Wrong, each(func(p *pcapng.Packet) { p.Path += "x" })},
		{"type", Wrong, each(func(p *pcapng.Packet) { p.Type ^= 3 })},
		{"role", Wrong, each(func(p *pcapng.Packet) { p.Role ^= 3 })},
		{"offset", Wrong, each(func(p *pcapng.Packet) { p.Offset++ })},
		{"message length", Wrong, each(func(p *pcapng.Packet) { p.MessageLen += 1 << 24 })},
		{"message number of another", Wrong, func(p []*pcapng.Packet, i int) []*pcapng.Packet { p[i].Message = p[i-1].Message; return p }},
		{"loss that was none", Wrong, each(func(p *pcapng.Packet) { p.Lost = 1 })},
		{"early time", Wrong, each(func(p *pcapng.Packet) { p.OwnTime = p.OwnTime.Add(-time.Second) })},
		{"late time", Wrong, each(func(p *pcapng.Packet) { p.OwnTime = p.OwnTime.Add(time.Second) })},
		{"1970", Wrong, each(func(p *pcapng.Packet) { p.Time = time.Unix(1, 0) })},
		{"connection id", Wrong, each(func(p *pcapng.Packet) { p.ConnID += 77 })},
		{"no connection id", Wrong, each(func(p *pcapng.Packet) { p.ConnID = 0 })},
		{"doubt, needless", Marked, each(func(p *pcapng.Packet) { p.Uncertain = pcapng.UncertainSender })},
		{"phantom", Wrong, func(p []*pcapng.Packet, i int) []*pcapng.Packet {
			c := *p[i]
			c.Data = []byte("phantom")
			c.Len = 7
			return slices.Insert(p, i, &c)
		}},
		{"swapped", Wrong, swapped(0)},
		{"swapped, marked", Marked, swapped(pcapng.UncertainOrder)},
		{"two joined", Wrong, func(p []*pcapng.Packet, i int) []*pcapng.Packet {
			p[i].Data = slices.Concat(p[i].Data, p[i+1].Data)
			p[i].Len += p[i+1].Len
			return slices.Delete(p, i+1, i+2)
		}},
		{"shared connection id", Wrong, func(p []*pcapng.Packet, i int) []*pcapng.Packet {
			c := *p[i]
			c.Sender.Inode, c.Peer.Inode = 1, 2
			return append(p, &c)
		}},
	}
}

// swapped swaps two records, the first of which is marked so.
func swapped(mark pcapng.Uncertain) func([]*pcapng.Packet, int) []*pcapng.Packet {
	return func(p []*pcapng.Packet, i int) []*pcapng.Packet {
		p[i], p[i+1] = p[i+1], p[i]
		p[i].Time, p[i+1].Time = p[i+1].Time, p[i].Time
		p[i].Uncertain |= mark
		return p
	}
}

// synthetic is a truth with one connection of a type, 9 sends up and 2 down.
func synthetic(typ pcapng.SocketType) *Truth {
	begin := time.Unix(1_700_000_000, 0)
	t := &Truth{Case: "synthetic", Seed: seed, Start: begin, End: begin.Add(time.Second / 2),
		Tasks: []Task{
			{PID: 100, TID: 100, Comm: "a", Is: Identity{OwnPID: 1, Exe: "/bin/a", Cmdline: "a\x00", Cgroups: "1:pids:/\n0::/a:x\n"}},
			{PID: 200, TID: 201, Comm: "b", Thread: "t"}},
		Flows: []Flow{
			{Name: "up", Type: typ, From: 11, To: 12, Path: "/x", Role: pcapng.RoleClient, Conn: 1, Readers: []uint32{200}, Peers: []uint32{200}},
			{Name: "down", Type: typ, From: 12, To: 11, Path: "/x", Role: pcapng.RoleServer, Conn: 1, Readers: []uint32{100}, Peers: []uint32{100}},
		}}
	for i := range 11 {
		x := Send{ID: uint64(i + 1), From: 11, Len: 90 + i, Done: 90 + i, Trim: -1, FDs: -1,
			Begin: begin.UnixNano() + int64(i), Finish: begin.UnixNano() + int64(i) + 1}
		f := &t.Flows[0]
		if i >= 9 {
			f, x.From, x.Task, x.ID = &t.Flows[1], 12, 1, x.ID|1<<32
		}
		f.Units = append(f.Units, Unit{Send: i, Len: x.Len, Seq: len(f.Units) + 1})
		t.Sends = append(t.Sends, x)
	}
	t.Sends = append(t.Sends, Send{ID: 99, From: 11, Len: 50, Done: Failed, Err: "EAGAIN", Trim: -1, FDs: -1})
	return t
}

// index5 is the place of a record in the middle of the upward flow.
func index5(p []*pcapng.Packet) int {
	for i := range p {
		if p[i].Message == 5 {
			return i
		}
	}
	return -1
}

func TestCompareFindsMutations(t *testing.T) {
	for _, typ := range []pcapng.SocketType{pcapng.Stream, pcapng.Datagram, pcapng.SeqPacket} {
		truth := synthetic(typ)
		if r := Compare(truth, perfect(truth)); r.Verdict != Exact || len(r.Differences) > 0 {
			t.Fatalf("type %d: perfect capture: %v", typ, r)
		}
		for _, m := range mutations() {
			p := perfect(truth)
			if r := Compare(truth, m.do(p, index5(p))); r.Verdict != m.want {
				t.Errorf("type %d, %s: got %v, want %v", typ, m.name, r, m.want)
			}
		}
	}
}

// TestCompareFailedSend: a send that failed must not appear.
func TestCompareFailedSend(t *testing.T) {
	for _, typ := range []pcapng.SocketType{pcapng.Stream, pcapng.Datagram} {
		truth := synthetic(typ)
		p := perfect(truth)
		failed := *p[0]
		failed.Data = truth.Content(&truth.Sends[len(truth.Sends)-1])
		failed.Len = uint32(len(failed.Data))
		if r := Compare(truth, append(p, &failed)); r.Verdict != Wrong {
			t.Errorf("type %d: got %v, want wrong", typ, r)
		}
	}
}

// TestComparePassed: what was passed along, and nothing else, with the first
// byte of its send. A number that is not known is counted.
func TestComparePassed(t *testing.T) {
	want := []pcapng.FD{{Num: 5, Kind: pcapng.FDFile, Name: "/f"}, {Num: 6, Kind: pcapng.FDPipe, Name: "17"}}
	for _, c := range []struct {
		name               string
		do                 func(p, next *pcapng.Packet)
		hidden             bool
		want               Verdict
		unnumbered, unseen int
	}{
		{"all", func(p, next *pcapng.Packet) {}, false, Exact, 0, 0},
		{"number unknown", func(p, next *pcapng.Packet) { p.FDs[0].Num = pcapng.Unknown }, false, Exact, 1, 0},
		{"number of another", func(p, next *pcapng.Packet) { p.FDs[0].Num = 6 }, false, Wrong, 0, 0},
		{"name of another", func(p, next *pcapng.Packet) { p.FDs[1].Name = "18" }, false, Wrong, 0, 0},
		{"kind of another", func(p, next *pcapng.Packet) { p.FDs[1].Kind = pcapng.FDSocket }, false, Wrong, 0, 0},
		{"other order", func(p, next *pcapng.Packet) { p.FDs[0], p.FDs[1] = p.FDs[1], p.FDs[0] }, false, Wrong, 0, 0},
		{"one missing", func(p, next *pcapng.Packet) { p.FDs = p.FDs[:1] }, false, Wrong, 0, 0},
		{"all missing", func(p, next *pcapng.Packet) { p.FDCount, p.FDs = 0, nil }, false, Wrong, 0, 0},
		{"all missing, may be", func(p, next *pcapng.Packet) { p.FDCount, p.FDs = 0, nil }, true, Exact, 0, 2},
		{"one missing, all may be", func(p, next *pcapng.Packet) { p.FDCount, p.FDs = 1, p.FDs[:1] }, true, Wrong, 0, 0},
		{"with the next", func(p, next *pcapng.Packet) { *next, p.FDCount, p.FDs = withPassed(*next, p), 0, nil }, false, Wrong, 0, 0},
		{"with the next too", func(p, next *pcapng.Packet) { *next = withPassed(*next, p) }, false, Wrong, 0, 0},
		{"others' credentials", func(p, next *pcapng.Packet) { p.Cred = &pcapng.Cred{PID: 1} }, false, Wrong, 0, 0},
		{"no credentials", func(p, next *pcapng.Packet) { p.Cred = nil }, false, Wrong, 0, 0},
		{"credentials with the next", func(p, next *pcapng.Packet) { next.Cred = p.Cred }, false, Wrong, 0, 0},
	} {
		truth := synthetic(pcapng.Stream)
		packets := perfect(truth)
		i := index5(packets)
		x := &truth.Sends[packets[i].Message-1]
		x.FDs, x.Passed, x.Hidden, x.Cred = len(want), want, c.hidden, &pcapng.Cred{PID: 7}
		next := &truth.Sends[packets[i+1].Message-1]
		next.FDs, next.NoCred = 0, true
		packets[i].FDCount, packets[i].FDs, packets[i].Cred = 2, slices.Clone(want), &pcapng.Cred{PID: 7}
		c.do(packets[i], packets[i+1])
		r := Compare(truth, packets)
		if r.Verdict != c.want || r.Unnumbered != c.unnumbered || r.Unseen != c.unseen {
			t.Errorf("%s: %v, %d without number, %d unseen", c.name, r, r.Unnumbered, r.Unseen)
		}
	}
}

// withPassed is p with what is passed along with from.
func withPassed(p pcapng.Packet, from *pcapng.Packet) pcapng.Packet {
	p.FDCount, p.FDs = from.FDCount, from.FDs
	return p
}

// TestCompareQueue: the order among the senders to one socket is checked too.
func TestCompareQueue(t *testing.T) {
	truth := synthetic(pcapng.Datagram)
	f := &truth.Flows[1] // now another sender to the same receiver
	f.From, f.To, f.Conn = 13, 12, 2
	truth.Sends[9].From, truth.Sends[10].From = 13, 13
	for i := range truth.Flows[0].Units {
		truth.Flows[0].Units[i].Seq = i + 1
	}
	f.Units[0].Seq, f.Units[1].Seq = 10, 11
	p := perfect(truth)
	if r := Compare(truth, p); r.Verdict != Exact {
		t.Fatalf("perfect capture: %v", r)
	}
	if r := Compare(truth, swapped(0)(p, 8)); r.Verdict != Wrong {
		t.Errorf("swapped: got %v, want wrong", r)
	}
	if r := Compare(truth, swapped(pcapng.UncertainOrder)(perfect(truth), 8)); r.Verdict != Marked {
		t.Errorf("swapped, marked: got %v, want marked", r)
	}
}

// TestCompareJoined: a record may hold bytes of several sends only where all
// but the first were spliced, by one task, and it claims no send's length.
func TestCompareJoined(t *testing.T) {
	const second = 5 // its bytes go to the record of the send before it
	for _, c := range []struct {
		name   string
		pieces bool // the second is a splice
		length uint32
		task   int // of the second
		mark   pcapng.Uncertain
		want   Verdict
		joined int
	}{
		{"splice behind a write", true, pcapng.Unknown, 0, 0, Exact, 1},
		{"write behind a write", false, pcapng.Unknown, 0, 0, Wrong, 0},
		{"as long as the first", true, 94, 0, 0, Wrong, 0},
		{"of two tasks", true, pcapng.Unknown, 1, 0, Wrong, 0},
		{"of two tasks, marked", true, pcapng.Unknown, 1, pcapng.UncertainSender, Marked, 0},
	} {
		truth := synthetic(pcapng.Stream)
		truth.Sends[second].Pieces, truth.Sends[second].Task = c.pieces, c.task
		p := perfect(truth)
		i := index5(p)
		p[i].Data = slices.Concat(p[i].Data, p[i+1].Data)
		p[i].Len += p[i+1].Len
		p[i].MessageLen, p[i].Uncertain = c.length, c.mark
		r := Compare(truth, slices.Delete(p, i+1, i+2))
		if r.Verdict != c.want || r.Joined != c.joined {
			t.Errorf("%s: got %v, %d joined, want %v, %d", c.name, r, r.Joined, c.want, c.joined)
		}
	}
}

// TestCompareOrphan: only what the collector throws away may lack its receiver.
func TestCompareOrphan(t *testing.T) {
	for _, orphan := range []bool{true, false} {
		truth := synthetic(pcapng.Datagram)
		truth.Flows[0].Orphan = orphan
		p := perfect(truth)
		x := p[index5(p)]
		x.Peer.Inode, x.Role, x.ConnID = 0, pcapng.RoleUnknown, 77
		if r := Compare(truth, p); (r.Verdict == Exact && r.Orphans == 1) != orphan {
			t.Errorf("orphan %v: %v", orphan, r)
		}
		x.Data = append([]byte{1}, x.Data[1:]...)
		if r := Compare(truth, p); r.Verdict != Wrong {
			t.Errorf("orphan %v, other bytes: %v", orphan, r)
		}
	}
}

// TestCompareIgnoresOthers: other sockets' traffic and other events do not
// matter.
func TestCompareIgnoresOthers(t *testing.T) {
	truth := synthetic(pcapng.Stream)
	var p []*pcapng.Packet
	for _, x := range perfect(truth) {
		other, event := *x, *x
		other.Sender.Inode, other.Peer.Inode, other.ConnID = 71, 72, 700
		event.Event = pcapng.EventRead
		p = append(p, x, &other, &event)
	}
	if r := Compare(truth, p); r.Verdict != Exact {
		t.Errorf("got %v, want exact", r)
	}
}

// spoil checks that mutations of a perfect capture of a real case are found.
func spoil(t *testing.T, truth *Truth) {
	t.Helper()
	n := len(perfect(truth))
	for _, m := range mutations() {
		switch m.name {
		case "record missing", "record twice", "byte changed", "pid", "path", "sender's inode", "phantom":
		default:
			continue
		}
		for _, i := range []int{0, n / 2, n - 1} {
			p := perfect(truth)
			if p[i].Len == 0 && m.name == "byte changed" {
				continue
			}
			if r := Compare(truth, m.do(p, i)); r.Verdict != m.want {
				t.Errorf("%s at %d of %d: got %v, want %v", m.name, i, n, r, m.want)
			}
		}
	}
}

// TestSteppedClock: where the wall clock was set during a capture, as on a
// machine that was just resumed, times may differ by that, and by no more.
func TestSteppedClock(t *testing.T) {
	truth := synthetic(pcapng.Stream)
	truth.Stepped = 2 * time.Second
	for late, want := range map[time.Duration]Verdict{2 * time.Second: Exact, -2 * time.Second: Exact, 3 * time.Second: Wrong} {
		p := perfect(truth)
		p[index5(p)].OwnTime = p[index5(p)].OwnTime.Add(late)
		if r := Compare(truth, p); r.Verdict != want {
			t.Errorf("%v late: %v, want verdict %v", late, r, want)
		}
	}
}

// TestCompareReaders: who is named as the reader, by a record or by a read
// event, is the one who read the last byte of it, and is the peer; that nobody
// is named is counted.
func TestCompareReaders(t *testing.T) {
	by := func(task Task) *pcapng.Endpoint {
		return &pcapng.Endpoint{PID: task.PID, TID: task.TID, UID: task.UID, GID: task.GID, Comm: task.Comm, Thread: task.Thread}
	}
	for _, typ := range []pcapng.SocketType{pcapng.Stream, pcapng.Datagram} {
		for _, c := range []struct {
			name   string
			want   Verdict
			unread int
			do     func(p, event *pcapng.Packet)
		}{
			{"right", Exact, 0, func(p, _ *pcapng.Packet) {}},
			{"nobody", Exact, 1, func(p, _ *pcapng.Packet) { p.Reader = nil }},
			{"right event", Exact, 0, func(p, event *pcapng.Packet) { *event = *p; event.Event, p.Reader = pcapng.EventRead, nil }},
			{"told twice", Wrong, 0, func(p, event *pcapng.Packet) { *event = *p; event.Event = pcapng.EventRead }},
			{"pid", Wrong, 0, func(p, _ *pcapng.Packet) { p.Reader.PID++ }},
			{"tid", Wrong, 0, func(p, _ *pcapng.Packet) { p.Reader.TID++ }},
			{"name", Wrong, 0, func(p, _ *pcapng.Packet) { p.Reader.Comm = "x" }},
			{"thread", Wrong, 0, func(p, _ *pcapng.Packet) { p.Reader.Thread = "x" }},
			{"another peer", Wrong, 0, func(p, _ *pcapng.Packet) { p.Peer.TID++ }},
			{"peer's thread", Wrong, 0, func(p, _ *pcapng.Packet) { p.Peer.Thread = "" }},
			{"peer's uid", Wrong, 0, func(p, _ *pcapng.Packet) { p.Peer.UID++ }},
			{"no latency", Wrong, 0, func(p, _ *pcapng.Packet) { p.Latency = 0 }},
			{"latency", Wrong, 0, func(p, _ *pcapng.Packet) { p.Latency += time.Second }},
			{"wrong event", Wrong, 0, func(p, event *pcapng.Packet) {
				*event = *p
				event.Event, event.Reader, p.Reader = pcapng.EventRead, by(Task{PID: 100}), nil
			}},
		} {
			truth := synthetic(typ)
			f := &truth.Flows[0]
			step := 1 // a message, or its bytes
			for _, u := range f.Units {
				if typ == pcapng.Stream {
					step = u.Len
				}
				f.addRead(step, Read{Task: 1, At: truth.Start.Add(time.Millisecond).UnixNano()})
			}
			p := perfect(truth)
			for _, x := range p {
				if x.Sender.Inode == f.From {
					x.Reader, x.Latency = by(truth.Tasks[1]), time.Millisecond
					x.Peer = *x.Reader
					x.Peer.Inode = f.To
				}
			}
			event := &pcapng.Packet{Event: pcapng.EventClose}
			c.do(p[index5(p)], event)
			event.Time = p[len(p)-1].Time
			r := Compare(truth, append(p, event))
			if r.Verdict != c.want || r.Unread != c.unread {
				t.Errorf("type %d, %s: %d unread, got %v, want verdict %v", typ, c.name, r.Unread, r, c.want)
			}
		}
	}
}
