package workload

import (
	"fmt"
	"slices"
	"time"

	"github.com/sockcap/sockcap/pcapng"
)

// Verdict is what a comparison came to.
type Verdict int

// The verdicts, the better one first.
const (
	Exact  Verdict = iota // everything right, nothing marked
	Marked                // deviations and doubts that the packets themselves mark
	Wrong                 // anything else
)

func (v Verdict) String() string {
	switch v {
	case Exact:
		return "exact"
	case Marked:
		return "marked"
	}
	return "wrong"
}

// Difference is one point in which the capture is not the truth.
type Difference struct {
	Flow   string
	Text   string
	Marked bool // the packets say so themselves
}

func (d Difference) String() string {
	s := d.Flow + ": " + d.Text
	if d.Marked {
		s += " (marked)"
	}
	return s
}

// Report is the result of a comparison.
type Report struct {
	Case        string
	Verdict     Verdict
	Differences []Difference // at most maxDifferences, the unmarked ones first
	Dropped     int          // differences beyond those

	Records, Bytes int // of the case
	UnsureSender   int // records marked so, right or not
	UnsureOrder    int
	Truncated      int
	LostBytes      uint64 // that records say are missing
	MissingBytes   int    // that are missing
	MissingUnits   int    // datagrams that are missing
	Told           int    // descriptors of which the record tells what they are
	Unseen         int    // descriptors that were passed where a capture may not see it, and did not
	Unnumbered     int    // descriptors whose number in the sender the record does not tell
	StalePeers     int    // the peer's pid is that of who made the sockets, the other end having not sent yet
	Orphans        int    // records without a receiver, which the garbage collector threw away
	unread         []string
	Joined         int // records that hold bytes of several sends, as splice up to 6.4 makes them
	Waits          int // of which it is known how long they waited, though they were stamped when they were read
	Unread         int // that were read, and nothing says by whom
	Unjoined       int // records that do not tell which others are of the same send (no message length)
}

// maxDifferences bounds Report.Differences, maxAlike those of one kind among
// them, so that many of one kind do not hide another.
const (
	maxDifferences = 20
	maxAlike       = 3
)

func (r Report) String() string {
	s := fmt.Sprintf("%s: %s, %d records, %d bytes", r.Case, r.Verdict, r.Records, r.Bytes)
	for _, d := range r.Differences {
		s += "\n  " + d.String()
	}
	if r.Unread > 0 {
		s += fmt.Sprintf("\n  of %d that were read nobody says by whom: %s", r.Unread, r.unread[0])
	}
	if r.Dropped > 0 {
		s += fmt.Sprintf("\n  and %d more", r.Dropped)
	}
	return s
}

// Compare puts a capture beside the truth of one case. The packets are all
// that was captured, in the order of the file, other programs' and other
// cases' included: those are told apart by socket inode. The packets must stay
// valid (see [pcapng.Packet]); they are not changed.
func Compare(truth *Truth, packets []*pcapng.Packet) Report {
	c := &comparison{truth: truth, ours: truth.sockets(), report: Report{Case: truth.Case}}
	c.index()
	c.indexReads(packets)
	c.checkTime(packets)
	for _, p := range packets {
		c.sort(p)
	}
	for i := range truth.Flows {
		c.checkFlow(i)
	}
	c.checkConnections(packets)
	c.checkQueues()
	c.checkExisting(packets)
	return c.conclude()
}

// comparison is the state of one Compare.
type comparison struct {
	truth  *Truth
	ours   map[uint64]bool
	from   map[uint64][]int       // flows by sending socket
	into   map[uint64][]int       // flows by receiving socket
	names  map[uint32][]string    // by pid; a process may take another
	data   [][]*pcapng.Packet     // data records, by flow, in file order
	file   []*pcapng.Packet       // the data records of the case in file order
	unit   map[*pcapng.Packet]int // of a datagram's first record, its unit in the flow
	counts map[string]int         // differences by flow

	messages map[uint64]int // message number to send
	numbers  map[int]uint64 // send to message number
	reads    map[wholeMessage][]*pcapng.Packet
	report   Report
}

func (c *comparison) index() {
	c.from, c.into = make(map[uint64][]int), make(map[uint64][]int)
	c.unit = make(map[*pcapng.Packet]int)
	c.messages, c.numbers = make(map[uint64]int), make(map[int]uint64)
	c.names, c.counts = make(map[uint32][]string), make(map[string]int)
	c.data = make([][]*pcapng.Packet, len(c.truth.Flows))
	for i, f := range c.truth.Flows {
		c.from[f.From] = append(c.from[f.From], i)
		if f.To != 0 {
			c.into[f.To] = append(c.into[f.To], i)
		}
	}
	for _, t := range c.truth.Tasks {
		c.names[t.PID] = append(c.names[t.PID], t.Comm)
	}
}

// differ notes a difference in the flow i (-1: in none).
func (c *comparison) differ(i int, marked bool, format string, args ...any) {
	name := "case"
	if i >= 0 {
		f := &c.truth.Flows[i]
		name = fmt.Sprintf("flow %d (%s, %d to %d, %q)", i, f.Name, f.From, f.To, f.Path)
	}
	if !marked {
		c.report.Verdict = Wrong
	} else {
		c.report.Verdict = max(c.report.Verdict, Marked)
	}
	if c.counts[format]++; c.counts[format] > maxAlike {
		c.report.Dropped++
		return
	}
	c.report.Differences = append(c.report.Differences, Difference{Flow: name, Text: fmt.Sprintf(format, args...), Marked: marked})
}

func (c *comparison) conclude() Report {
	r := &c.report
	if r.Verdict == Exact && r.UnsureSender+r.UnsureOrder+r.Truncated > 0 {
		r.Verdict = Marked
	}
	slices.SortStableFunc(r.Differences, func(a, b Difference) int {
		switch {
		case a.Marked == b.Marked:
			return 0
		case b.Marked:
			return -1
		}
		return 1
	})
	if n := len(r.Differences); n > maxDifferences {
		r.Dropped += n - maxDifferences
		r.Differences = r.Differences[:maxDifferences]
	}
	return *r
}

// checkTime: time never goes back within a file.
func (c *comparison) checkTime(packets []*pcapng.Packet) {
	for i := 1; i < len(packets); i++ {
		if packets[i].Time.Before(packets[i-1].Time) {
			c.differ(-1, false, "time goes back from %v to %v at packet %d", packets[i-1].Time, packets[i].Time, i)
			return
		}
	}
}

// sort puts a data record with its flow.
func (c *comparison) sort(p *pcapng.Packet) {
	if p.Event != pcapng.EventData {
		return
	}
	i := c.flowOf(p)
	if i < 0 {
		return
	}
	c.file = append(c.file, p)
	c.data[i] = append(c.data[i], p)
	c.report.Records++
	c.report.Bytes += int(p.Len)
	c.report.LostBytes += p.Lost
	if p.Uncertain&pcapng.UncertainSender != 0 {
		c.report.UnsureSender++
	}
	if p.Uncertain&pcapng.UncertainOrder != 0 {
		c.report.UnsureOrder++
	}
	if p.Truncated {
		c.report.Truncated++
	}
	if c.truth.Flows[i].orphan(p) {
		c.report.Orphans++
	}
}

// flowOf finds the flow of a record, -1 if it is none of the case's. Where the
// record misses a socket that the truth has, it says so.
func (c *comparison) flowOf(p *pcapng.Packet) int {
	from, to := c.from[p.Sender.Inode], c.into[p.Peer.Inode]
	for _, i := range from {
		if c.truth.Flows[i].To == p.Peer.Inode {
			return i
		}
	}
	switch {
	case len(from) > 0:
		i := c.likely(from, p)
		if p.Peer.Inode == 0 && (c.truth.Flows[i].orphan(p) || c.early(i, p)) {
			return i
		}
		c.differ(i, false, "%s: receiver's socket is %d", describe(p), p.Peer.Inode)
		return i
	case len(to) > 0 && (p.Sender.Inode == 0 || c.ours[p.Sender.Inode]):
		i := c.likely(to, p)
		c.differ(i, false, "%s: sender's socket is %d", describe(p), p.Sender.Inode)
		return i
	case len(to) > 0:
		c.differ(to[0], false, "%s from socket %d, which sent nothing there", describe(p), p.Sender.Inode)
	case c.ours[p.Sender.Inode] || c.ours[p.Peer.Inode]:
		c.differ(-1, false, "%s from socket %d to %d, between which nothing was sent", describe(p), p.Sender.Inode, p.Peer.Inode)
	case len(c.names[p.Sender.PID]) > 0 && p.Sender.Inode == 0 && !p.Time.Before(c.truth.Start) && !p.Time.After(c.truth.End):
		c.differ(-1, false, "%s of ours between unknown sockets", describe(p))
	}
	return -1
}

// likely chooses among flows the one that the record's path or content fits.
func (c *comparison) likely(flows []int, p *pcapng.Packet) int {
	for _, i := range flows {
		if len(flows) > 1 && c.truth.Flows[i].Path == p.Path && c.fits(i, p) {
			return i
		}
	}
	for _, i := range flows {
		if len(flows) > 1 && c.fits(i, p) {
			return i
		}
	}
	return flows[0]
}

// fits reports whether some unit of the flow begins as the record does.
func (c *comparison) fits(i int, p *pcapng.Packet) bool {
	t := c.truth
	for _, u := range t.Flows[i].Units {
		b := t.Content(&t.Sends[u.Send])[u.Off : u.Off+u.Len]
		if n := min(len(b), len(p.Data)); string(b[:n]) == string(p.Data[:n]) && (n > 0 || len(b) == len(p.Data)) {
			return true
		}
	}
	return false
}

// orphan reports whether p is a record of f that may lack the receiver.
func (f *Flow) orphan(p *pcapng.Packet) bool { return f.Orphan && p.Peer.Inode == 0 }

// early reports whether a record of flow i may miss the receiver's inode: the
// receiving socket was made by accept, and the bytes were sent before that.
func (c *comparison) early(i int, p *pcapng.Packet) bool {
	t := c.truth
	for _, u := range t.Flows[i].Units {
		x := &t.Sends[u.Send]
		if !x.PreAccept {
			continue
		}
		b := t.Content(x)
		for off := 0; off+len(p.Data) <= len(b) && len(p.Data) > 0; off++ {
			if b[off] == p.Data[0] && string(b[off:off+len(p.Data)]) == string(p.Data) {
				return true
			}
		}
	}
	return false
}

// describe names a record in a difference.
func describe(p *pcapng.Packet) string {
	return fmt.Sprintf("record of %d bytes at %d (message %d, connection %d, pid %d, %s)",
		p.Len, p.Offset, p.Message, p.ConnID, p.Sender.PID, p.Time.UTC().Format("05.000000"))
}

// checkConnections: one connection id for both directions, and for nobody else.
func (c *comparison) checkConnections(packets []*pcapng.Packet) {
	owner := make(map[uint64]int) // connection id to flow
	ids := make(map[int]uint64)   // connection to its id
	for i := range c.truth.Flows {
		conn := c.truth.Flows[i].Conn
		for _, p := range c.data[i] {
			if conn == 0 || c.truth.Flows[i].orphan(p) {
				continue
			}
			if p.ConnID == 0 {
				c.differ(i, false, "%s has no connection id", describe(p))
				continue
			}
			if id, ok := ids[conn]; ok && id != p.ConnID {
				c.differ(i, false, "connection ids %d and %d in one connection", id, p.ConnID)
			}
			ids[conn] = p.ConnID
			if other, ok := owner[p.ConnID]; ok && c.truth.Flows[other].Conn != conn {
				c.differ(i, false, "connection id %d is also that of flow %d", p.ConnID, other)
			}
			owner[p.ConnID] = i
		}
	}
	for _, p := range packets {
		i, ok := owner[p.ConnID]
		if ok && p.ConnID != 0 && p.Sender.Inode != 0 && !c.ours[p.Sender.Inode] && !c.ours[p.Peer.Inode] {
			c.differ(i, false, "connection id %d is also that of socket %d", p.ConnID, p.Sender.Inode)
		}
	}
}

// checkQueues: the records of one receiving socket come in its order, also
// those of different senders.
func (c *comparison) checkQueues() {
	for _, flows := range c.into {
		if len(flows) < 2 {
			continue
		}
		high, highMarked := 0, false
		for _, p := range c.file {
			i := c.flowIndex(p, flows)
			n, ok := c.unit[p]
			if i < 0 || !ok {
				continue
			}
			seq := c.truth.Flows[i].Units[n].Seq
			marked := p.Uncertain&pcapng.UncertainOrder != 0
			if seq != 0 && seq < high {
				c.differ(i, marked || highMarked, "%s was read as number %d, after number %d", describe(p), seq, high)
			}
			if seq > high {
				high, highMarked = seq, marked
			}
		}
	}
}

func (c *comparison) flowIndex(p *pcapng.Packet, flows []int) int {
	for _, i := range flows {
		f := &c.truth.Flows[i]
		if f.From == p.Sender.Inode && f.To == p.Peer.Inode {
			return i
		}
	}
	return -1
}

// slack is by how much a record's time may lie outside the call that it
// belongs to: the kernel's monotonic clock is mapped to wall clock. By how much
// wall clock was set meanwhile comes on top of it (Truth.Stepped).
const slack = 50 * time.Millisecond
