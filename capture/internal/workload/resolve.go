package workload

import (
	"bytes"
	"fmt"
	"slices"

	"github.com/sockcap/sockcap/pcapng"
)

// report is the account of one process.
type report struct {
	Tasks []Task
	Sends []Send
	Recvs []recv
}

// report gathers what e's own tasks did. They must have ended.
func (e *Env) report() report {
	var r report
	for i, t := range e.tasks {
		r.Tasks = append(r.Tasks, t.Task)
		for _, x := range t.sends {
			x.Task = i
			r.Sends = append(r.Sends, *x)
		}
	}
	for _, x := range e.recvs {
		r.Recvs = append(r.Recvs, *x)
	}
	return r
}

// merge puts the account r of a process behind those that t has.
func (t *Truth) merge(r report, recvs []recv) []recv {
	base := len(t.Tasks)
	t.Tasks = append(t.Tasks, r.Tasks...)
	for _, x := range r.Sends {
		x.Task += base
		t.Sends = append(t.Sends, x)
	}
	for _, x := range r.Recvs {
		x.Task += base
		recvs = append(recvs, x)
	}
	return recvs
}

// resolve checks that the readers got what was sent, and from both makes the
// units of every flow.
func (t *Truth) resolve(recvs []recv) error {
	bySocket := make(map[uint64][]recv)
	for _, r := range recvs {
		bySocket[r.Sock] = append(bySocket[r.Sock], r)
	}
	queues := make(map[uint64]*queue)
	var order []*queue
	for i := range t.Flows {
		f := &t.Flows[i]
		q := queues[f.To]
		if q == nil || f.To == 0 {
			q = &queue{truth: t, recvs: bySocket[f.To], read: &reader{}}
			queues[f.To] = q
			order = append(order, q)
		}
		q.flows = append(q.flows, i)
		for _, r := range q.recvs {
			if pid := t.Tasks[r.Task].PID; !slices.Contains(f.Readers, pid) {
				f.Readers = append(f.Readers, pid)
			}
		}
		t.addPeers(f)
	}
	for inode, r := range bySocket {
		if queues[inode] != nil {
			continue
		}
		for _, x := range r {
			if len(x.Bounds) > 0 {
				return fmt.Errorf("socket %d was read but is in no flow", inode)
			}
		}
	}
	return t.resolveQueues(order)
}

// addPeers adds to f.Peers who read from or sent on the receiving socket.
func (t *Truth) addPeers(f *Flow) {
	pids := slices.Clone(f.Readers)
	for i := range t.Sends {
		if x := &t.Sends[i]; x.From == f.To {
			pids = append(pids, t.Tasks[x.Task].PID)
		}
	}
	for _, pid := range pids {
		if !slices.Contains(f.Peers, pid) {
			f.Peers = append(f.Peers, pid)
		}
	}
}

func (t *Truth) resolveQueues(order []*queue) error {
	taken := make([]int, len(t.Sends))
	for _, q := range order {
		if err := q.assign(taken); err != nil {
			return err
		}
		solve := q.messages
		if t.Flows[q.flows[0]].Type == pcapng.Stream {
			solve = q.stream
		}
		if err := solve(); err != nil {
			f := &t.Flows[q.flows[0]]
			return fmt.Errorf("%s, %d to %d: %w", f.Name, f.From, f.To, err)
		}
	}
	for i, n := range taken {
		if n != 1 && t.Sends[i].Done != Failed {
			return fmt.Errorf("send %#x from %d belongs to %d flows", t.Sends[i].ID, t.Sends[i].From, n)
		}
	}
	return nil
}

// queue is one receiving socket with all that sends to it.
type queue struct {
	truth   *Truth
	flows   []int // indices into truth.Flows
	recvs   []recv
	writers []*writer
	read    *reader // who is reading what is being taken
}

// writer is one task's part of a queue: its sends on one flow, in order.
type writer struct {
	flow  int
	task  int
	sends []int // that put something into the queue
	data  []byte
	off   int // bytes of sends[0] already read
}

// assign makes the writers of q.
func (q *queue) assign(taken []int) error {
	t := q.truth
	for _, flow := range q.flows {
		f := &t.Flows[flow]
		byTask := make(map[int]*writer)
		for i := range t.Sends {
			x := &t.Sends[i]
			if x.From != f.From || x.To != 0 && x.To != f.To || x.Done == Failed {
				continue
			}
			taken[i]++
			if x.Dropped || f.Type == pcapng.Stream && x.Done == 0 {
				continue
			}
			w := byTask[x.Task]
			if w == nil {
				w = &writer{flow: flow, task: x.Task}
				byTask[x.Task] = w
				q.writers = append(q.writers, w)
			}
			w.sends = append(w.sends, i)
		}
	}
	return nil
}

// head is what the writer's first send has left to be read.
func (w *writer) head(t *Truth) []byte {
	x := &t.Sends[w.sends[0]]
	if w.data == nil {
		w.data = t.Content(x)
		switch {
		case x.Trim >= 0:
			w.data = w.data[:x.Trim]
		case x.Done >= 0:
			w.data = w.data[:x.Done]
		}
	}
	return w.data[w.off:]
}

// take turns n bytes of the head into a unit of the writer's flow.
func (w *writer) take(t *Truth, n, seq int) {
	f := &t.Flows[w.flow]
	head := len(w.head(t))
	last := len(f.Units) - 1
	if w.off > 0 && last >= 0 && f.Units[last].Send == w.sends[0] {
		f.Units[last].Len += n
	} else {
		f.Units = append(f.Units, Unit{Send: w.sends[0], Off: w.off, Len: n, Seq: seq})
	}
	w.off += n
	if n == head {
		w.sends, w.data, w.off = w.sends[1:], nil, 0
	}
}

// stream follows the bytes that were read through the writers' sends.
func (q *queue) stream() error {
	if len(q.flows) > 1 {
		return fmt.Errorf("a stream with %d senders", len(q.flows))
	}
	if len(q.recvs) > 1 && !sameTask(q.recvs) {
		return q.sharedStream()
	}
	t := q.truth
	for _, r := range q.recvs {
		for at := 0; at < len(r.Data); {
			n := 0
			for _, w := range q.writers {
				if len(w.sends) == 0 {
					continue
				}
				if n = common(r.Data[at:], w.head(t)); n > 0 {
					q.read.bytes(&t.Flows[w.flow], &r, at, n)
					w.take(t, n, 0)
					break
				}
			}
			if n == 0 {
				return fmt.Errorf("byte %d of %d that were read is of no send", at, len(r.Data))
			}
			at += n
		}
	}
	return q.unread()
}

// unread appends what was queued and never read. Its order is known only if
// it is one task's.
func (q *queue) unread() error {
	t := q.truth
	left := 0
	for _, w := range q.writers {
		if len(w.sends) == 0 {
			continue
		}
		if x := &t.Sends[w.sends[0]]; x.Done == unfinished {
			x.Done = w.off // killed in it: what was read is what was taken
			w.sends = nil
			continue
		}
		left++
		for len(w.sends) > 0 {
			w.take(t, len(w.head(t)), 0)
		}
	}
	if left > 1 && t.Flows[q.flows[0]].Type == pcapng.Stream {
		return fmt.Errorf("%d writers have bytes that nobody read", left)
	}
	return nil
}

// sharedStream is a stream that several tasks read: the order is that of the
// one writer, and each read must be a piece of it, all of them together all.
func (q *queue) sharedStream() error {
	if len(q.writers) != 1 {
		return fmt.Errorf("%d tasks read what %d wrote", len(q.recvs), len(q.writers))
	}
	t := q.truth
	var want []byte
	w := q.writers[0]
	for len(w.sends) > 0 {
		head := w.head(t)
		want = append(want, head...)
		w.take(t, len(head), 0)
	}
	claimed := make([]bool, len(want))
	byByte := make([]Read, len(want))
	for i := range byByte {
		byByte[i].Task = -1
	}
	for _, r := range q.recvs {
		at, from := 0, 0
		for k, n := range r.Bounds {
			i := bytes.Index(want[from:], r.Data[at:at+n])
			if i < 0 || slices.Contains(claimed[from+i:from+i+n], true) {
				return fmt.Errorf("%d bytes that task %d read are not what was sent, out of order, or came twice", n, r.Task)
			}
			for j := range n {
				claimed[from+i+j] = true
				if n >= tellingLen {
					byByte[from+i+j] = r.read(k)
				}
			}
			from += i + n
			at += n
		}
	}
	if i := slices.Index(claimed, false); i >= 0 {
		return fmt.Errorf("byte %d of %d was not read", i, len(want))
	}
	f := &t.Flows[w.flow]
	for _, r := range byByte {
		f.addRead(1, r)
	}
	return nil
}

// messages matches each message read with the next of some writer.
func (q *queue) messages() error {
	t := q.truth
	shared := len(q.recvs) > 1 && !sameTask(q.recvs)
	if shared {
		return q.sharedMessages()
	}
	seq := 0
	for _, r := range q.recvs {
		at := 0
		for k, n := range r.Bounds {
			seq++
			q.read.now = r.read(k)
			if !q.takeMessage(r.Data[at:at+n], r.Short, seq) {
				return fmt.Errorf("message %d, of %d bytes, is of no send", seq, n)
			}
			at += n
		}
	}
	for _, w := range q.writers { // never read: the order among several writers is not known
		for len(w.sends) > 0 {
			if seq++; len(q.writers) > 1 {
				seq = 0
			}
			w.take(t, len(w.head(t)), seq)
		}
	}
	return nil
}

func (q *queue) takeMessage(got []byte, short bool, seq int) bool {
	for _, w := range q.writers {
		if len(w.sends) == 0 {
			continue
		}
		head := w.head(q.truth)
		if bytes.Equal(head, got) || short && bytes.HasPrefix(head, got) {
			q.truth.Flows[w.flow].addRead(1, q.read.now)
			w.take(q.truth, len(head), seq)
			return true
		}
	}
	return false
}

// sharedMessages is a queue that several tasks read: each must have got a
// subsequence of each writer's messages, all of them together all.
func (q *queue) sharedMessages() error {
	t := q.truth
	left := make(map[string]int)
	by := make(map[string][]Read)
	var order []string
	total := 0
	for _, w := range q.writers {
		for len(w.sends) > 0 {
			head := w.head(t)
			left[string(head)]++
			order = append(order, string(head))
			total++
			w.take(t, len(head), 0)
		}
	}
	for _, r := range q.recvs {
		at := 0
		for k, n := range r.Bounds {
			m := string(r.Data[at : at+n])
			if left[m] == 0 {
				return fmt.Errorf("a message of %d bytes that task %d read is of no send, or came twice", n, r.Task)
			}
			left[m]--
			by[m] = append(by[m], r.read(k))
			total--
			at += n
		}
	}
	if total != 0 {
		return fmt.Errorf("%d messages were not read", total)
	}
	if len(q.flows) > 1 {
		return nil
	}
	for _, m := range order {
		r := Read{Task: -1}
		if len(by[m]) == 1 { // else it is not known which
			r = by[m][0]
		}
		t.Flows[q.flows[0]].addRead(1, r)
	}
	return nil
}

func sameTask(recvs []recv) bool {
	for _, r := range recvs {
		if r.Task != recvs[0].Task {
			return false
		}
	}
	return true
}

// common is the length of the longest common prefix.
func common(a, b []byte) int {
	n := min(len(a), len(b))
	if bytes.Equal(a[:n], b[:n]) {
		return n
	}
	for i := range n {
		if a[i] != b[i] {
			return i
		}
	}
	return n
}
