package capture

import (
	"bytes"
	"encoding/binary"
	"testing"
	"time"

	"github.com/cilium/ebpf"

	"github.com/sockcap/sockcap/bpf"
	"github.com/sockcap/sockcap/pcapng"
)

// plot reads a sequence of events from bytes: numbers are small, so that events
// meet, but for a few that are as odd as can be.
type plot struct{ left []byte }

func (p *plot) byte() byte {
	if len(p.left) == 0 {
		return 0
	}
	b := p.left[0]
	p.left = p.left[1:]
	return b
}

// number is below n, or rarely any.
func (p *plot) number(n uint64) uint64 {
	switch b := uint64(p.byte()); b {
	case 255:
		return 1<<64 - 1
	case 254:
		var any [8]byte
		p.left = p.left[copy(any[:], p.left):]
		return binary.LittleEndian.Uint64(any[:])
	default:
		return b % n
	}
}

func (p *plot) text(dst []byte) int {
	n := copy(dst[:min(len(dst), int(p.byte()))], p.left)
	p.left = p.left[n:]
	return n
}

// unit is the number of one that a task queues, or of a message.
func (p *plot) unit() uint64 { return p.number(5)<<22 | p.number(3) }

func (p *plot) task() (t bpf.Task) {
	t = bpf.Task{Pid: uint32(p.number(4)), Tid: uint32(p.number(4)), Uid: uint32(p.number(2)), Gid: uint32(p.number(2)), Process: uint32(p.number(3))}
	p.text(t.Comm[:])
	p.text(t.Thread[:])
	return t
}

func (p *plot) time() uint64 { return 1000 + p.number(200) }

// event is the next one, as bpf.Decode would give it.
func (p *plot) event(e *bpf.Event) {
	flags := uint16(p.byte()) | uint16(p.byte())<<8
	switch e.Kind = bpf.Kind(1 + p.byte()%12); e.Kind {
	case bpf.KindData:
		e.Data = bpf.Data{
			Type: p.byte() % 7, Flags: flags, Unit: p.unit(), Message: p.unit(), Sender: p.number(4), Receiver: p.number(4), Time: p.time(), Queued: p.time(),
			Offset: p.number(99), Index: uint32(p.number(9)), Lost: uint32(p.number(9)), Skipped: p.number(9), Total: uint32(p.number(40)), At: uint32(p.number(20)),
			ReaderPid: uint32(p.number(3)), ReaderTid: uint32(p.number(3)), ReaderProcess: uint32(p.number(3)), Task: p.task(),
		}
		e.Data.Total %= 1 << 22 // what a queue can hold: it is split into packets
		p.text(e.Data.ReaderComm[:])
		payload := make([]byte, 64)
		e.Payload = payload[:p.text(payload)]
		e.Data.Size = uint32(len(e.Payload))
	case bpf.KindSocket:
		e.Socket = bpf.Socket{
			Type: p.byte() % 7, State: p.byte(), AddressRefs: uint32(p.number(3)), Time: p.time(), Socket: p.number(4), Peer: p.number(4), Inode: p.number(6),
			File: p.number(9), Device: uint32(p.number(9)), Netns: uint32(p.number(3)), PeerPid: uint32(p.number(4)), PeerUid: uint32(p.number(2)),
		}
		e.Socket.AddressLen = uint8(p.text(e.Socket.Address[:]))
	case bpf.KindConsumed:
		e.Read = bpf.Read{Place: p.byte() % 6, Flags: flags, Pid: uint32(p.number(4)), Tid: uint32(p.number(4)), Time: p.time(), Unit: p.unit()}
	case bpf.KindReader:
		e.Reader = bpf.Reader{Place: p.byte() % 6, Pid: uint32(p.number(4)), Tid: uint32(p.number(4)), Time: p.time(), Receiver: p.number(4), Process: uint32(p.number(3))}
		p.text(e.Reader.Comm[:])
	case bpf.KindDoubt:
		e.Doubt = bpf.Doubt{Time: p.time(), Sender: p.number(4)}
	case bpf.KindSent:
		e.Sent = bpf.Sent{Socket: p.number(4), Sent: p.number(200), Skipped: p.number(9)}
	case bpf.KindLife:
		e.Life = bpf.Life{Type: p.byte() % 7, What: p.byte() % 12, Error: uint32(p.number(140)), Time: p.time(), Socket: p.number(4), Peer: p.number(4), Task: p.task()}
		e.Life.AddressLen = uint8(p.text(e.Life.Address[:]))
	case bpf.KindProcess:
		e.Process = bpf.Process{ProcessHead: bpf.ProcessHead{
			ExeFlags: p.byte(), CgroupCut: p.byte(), Number: uint32(p.number(3)), Pid: uint32(p.number(4)), OwnPid: uint32(p.number(4)), Pidns: uint32(p.number(3)), Start: p.time(),
		}}
		p.text(e.Process.Comm[:])
		names := make([]byte, 90)
		exe, group := names[:30], names[30:60]
		e.Process.ExeNames, e.Process.CgroupNames = exe[:p.text(exe)], group[:p.text(group)]
		e.Process.Args = names[60 : 60+p.text(names[60:])]
	case bpf.KindPassed:
		e.Passed = bpf.Passed{
			What: p.byte() % 4, Flags: flags, Count: uint32(p.number(4)), Passage: p.number(4), Unit: p.unit(), Inode: p.number(9), Index: uint32(p.number(4)),
			Number: uint32(p.number(9)), Mode: uint32(p.number(16)) << 12, Pid: uint32(p.number(4)), Magic: uint32(p.number(9)),
		}
		names := make([]byte, 40)
		e.Names = names[:p.text(names)]
	default:
		e.Unit = bpf.Unit{Flags: flags, Time: p.time(), Unit: p.unit(), Receiver: p.number(4), Offset: p.number(99), Skipped: p.number(9)}
	}
}

// register is what the kernel side says when it is asked for its sockets.
func (p *plot) register() *asked {
	a := &asked{}
	for range p.byte() % 5 {
		a.left = append(a.left, registered{number: p.number(4), closed: p.byte()%2 == 0, sent: sentAll{p.number(200), p.number(9)}})
	}
	return a
}

// FuzzEvents: whatever the kernel side says, in whatever order, and whatever of
// it got lost, what comes of it are packets that a file can hold, in the order
// of time, with no more bytes than there were, and nothing stays behind.
func FuzzEvents(f *testing.F) {
	for kind := range byte(12) {
		f.Add(bytes.Repeat([]byte{0, 0, kind, 1, 1, 1, 2, 1, 2, 1, 2, 50, 50, 0, 1}, 9))
		f.Add(bytes.Repeat([]byte{kind, 1, 0, 1, 1, 1, 2, 0, 2, 1, 2, kind, 2, 2}, 20))
	}
	f.Fuzz(func(t *testing.T, story []byte) {
		s := newTestSession()
		s.filter, s.passed = newExprFilter(nil, nil), newPassages()
		s.processes.look = func(uint32) *process { return nil }
		s.progs = &programs{coll: &ebpf.Collection{}}
		s.units.passed = s.passed.with
		now := int64(1000)
		s.units.now = func() int64 { return now }
		s.sweeping = newSweeping(s.progs)
		in := 0
		out := newOutlet(t)
		p := plot{left: story[:min(len(story), 4096)]}
		s.sweeping.ask = func() register { return p.register() }
		var e bpf.Event
		for len(p.left) > 0 {
			p.event(&e)
			if e.Kind == bpf.KindData {
				in += len(e.Payload)
			}
			if err := s.take(&e); err != nil {
				t.Fatal(err)
			}
			switch now += int64(p.byte()); p.byte() % 8 {
			case 0:
				now += int64(settleTime)
				s.units.expire(false)
				s.expireClosing(false)
			case 1:
				s.hand(out.take, now, false)
			case 2:
				s.sweeping.due, s.until = 0, now+int64(p.byte())*int64(holdTime)/50
				s.sweep()
			}
		}
		s.units.expire(true)
		s.expireClosing(true)
		s.lostAtEnd()
		s.hand(out.take, now, true)
		if out.bytes > in {
			t.Errorf("%d bytes came out, %d went in", out.bytes, in)
		}
		if len(s.units.open) > 0 || len(s.units.making) > 0 || s.order.held.len() > 0 {
			t.Errorf("left behind: %d units, %d of them without all pieces, %d packets", len(s.units.open), len(s.units.making), s.order.held.len())
		}
	})
}

// outlet takes packets as a file does.
type outlet struct {
	t     *testing.T
	file  *pcapng.Writer
	last  time.Time
	bytes int
}

type nothing struct{}

func (nothing) Write(b []byte) (int, error) { return len(b), nil }

func newOutlet(t *testing.T) *outlet {
	t.Helper()
	w, err := pcapng.NewWriter(nothing{}, pcapng.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return &outlet{t: t, file: w}
}

func (o *outlet) take(p *pcapng.Packet, err error) bool {
	switch {
	case err != nil:
		o.t.Fatal(err)
	case p.Time.Before(o.last):
		o.t.Fatalf("%v comes after %v", p.Time, o.last)
	case len(p.Data) > int(p.Len):
		o.t.Fatalf("%d bytes of %d", len(p.Data), p.Len)
	}
	o.last = p.Time
	o.bytes += len(p.Data)
	if err := o.file.WritePacket(p); err != nil {
		o.t.Fatalf("%v: %+v", err, p)
	}
	return true
}
