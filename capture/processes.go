package capture

import (
	"bytes"
	"time"

	"github.com/sockcap/sockcap/bpf"
	"github.com/sockcap/sockcap/capture/container"
	"github.com/sockcap/sockcap/capture/snapshot"
	"github.com/sockcap/sockcap/pcapng"
)

// process is who a process is, as the kernel side told in its context, or as
// /proc has it. It never changes: after exec it is another one.
type process struct {
	comm    string // when it was told of
	start   time.Duration
	place   pcapng.Place
	nsPID   uint32
	cmdline string
}

// processKey is the kernel side's for what it told of a process: by the number
// alone, two that were told of at once might be the same.
type processKey struct{ pid, number uint32 }

// maxProcesses is how many are remembered, of those that were asked for last,
// and at most as many more. The kernel side believes of as many that we know
// them. One that was told of takes at most 3 KiB.
const maxProcesses = 8192

// processes knows who processes are. It is used by one goroutine.
type processes struct {
	told    *generations[processKey, *process]
	active  shortcut[processKey, *process] // into told
	running *generations[uint32, *process] // of /proc, by pid
	names   *container.Names
	last    *process // told of

	look    func(pid uint32) *process      // what runs under a pid now, nil if nothing does
	started func(pid uint32) time.Duration // and when it was started, 0 likewise
}

func newProcesses(host *container.Root) *processes {
	p := &processes{
		told:    newGenerations[processKey, *process](maxProcesses),
		running: newGenerations[uint32, *process](maxProcesses),
		names:   container.NewNames(host),
		last:    &process{},
		started: snapshot.Started,
	}
	p.look = p.lookAt
	return p
}

// initialPIDNS is the inode of the initial pid namespace: PROC_PID_INIT_INO of
// include/linux/proc_ns.h. Only its pids are those that the programs see.
const initialPIDNS = 0xeffffffc

// tell takes what the kernel side says of a process. What it shares with the
// one before, as the children of a server do, is one string.
func (t *processes) tell(e *bpf.Process) {
	p := &process{
		comm: cString(e.Comm[:]), start: time.Duration(e.Start),
		cmdline: string(bytes.TrimRight(e.Args, "\x00")),
	}
	if p.cmdline == "" && len(e.Exe()) > 0 {
		p.cmdline = t.argumentsOf(e.Pid, p.start)
	}
	if e.Pidns != initialPIDNS {
		p.nsPID = e.OwnPid
	}
	p.place = t.placeOf(share(e.Exe(), t.last.place.Exe), share(e.Cgroup(), t.last.place.Cgroup))
	t.last = p
	t.told.put(processKey{e.Pid, e.Number}, p)
}

// argumentsOf asks /proc for what the kernel side could not read: after a fork,
// processors that do not note themselves which pages are used (some of arm64)
// let a child touch its arguments first. Empty if that process is gone.
func (t *processes) argumentsOf(pid uint32, start time.Duration) string {
	if now := t.look(pid); now != nil && now.start <= start {
		return now.cmdline
	}
	return ""
}

// share is a name, or one that says the same and is kept anyway.
func share(name, other string) string {
	if name == other {
		return other
	}
	return name
}

// placeOf is where a process of a program runs, by its control group.
func (t *processes) placeOf(exe, group string) pcapng.Place {
	g := container.Parse(group)
	name := t.names.Of(g)
	return pcapng.Place{Exe: exe, Cgroup: group, Container: g.Container, ContainerName: name.Name, Pod: name.Pod, Unit: g.Unit}
}

// known gives what the kernel side told of a process, nil if it has not, or that
// is forgotten.
func (t *processes) known(pid, number uint32) *process {
	if number == 0 {
		return nil
	}
	p, _ := t.active.get(t.told, processKey{pid, number}, uint64(pid))
	return p
}

// since gives who has a pid if that has done so since a boot time at least: not
// one that got the number later. It is for those that never did anything that
// the kernel side sees; nil if there is none.
func (t *processes) since(pid uint32, at uint64) *process {
	start := t.started(pid)
	if start == 0 || uint64(start) > at {
		return nil
	}
	if p, ok := t.running.get(pid); ok && p.start == start {
		return p
	}
	p := t.look(pid)
	if p == nil || uint64(p.start) > at {
		return nil
	}
	t.running.put(pid, p)
	return p
}

// foresee remembers processes that were looked at; nil is one that has ended.
func (t *processes) foresee(found map[uint32]*process) {
	for pid, p := range found {
		if p != nil {
			t.running.put(pid, p)
		}
	}
}

// lookAt is what /proc tells of a process.
func (t *processes) lookAt(pid uint32) *process { return lookAt(pid, t.names) }

func lookAt(pid uint32, names *container.Names) *process {
	p := snapshot.Look(pid, names)
	if p == nil {
		return nil
	}
	return &process{
		comm: p.Comm, start: p.Start, nsPID: p.NSPID, cmdline: p.Cmdline, place: p.Place,
	}
}

// setSender says of a packet's sender who it is, if that is known.
func (p *process) setSender(of *pcapng.Packet) {
	if p == nil {
		return
	}
	of.Exe, of.Cgroup, of.Container, of.ContainerName = p.place.Exe, p.place.Cgroup, p.place.Container, p.place.ContainerName
	of.Pod, of.Unit, of.NSPID, of.Cmdline = p.place.Pod, p.place.Unit, p.nsPID, p.cmdline
}

// identify says of a packet from one socket to another who its ends are.
func (s *Session) identify(p *pcapng.Packet, sender *bpf.Task, from, to *socket) {
	s.processes.known(sender.Pid, sender.Process).setSender(p)
	s.identifyPeer(p, from, to)
}

// identifyPeer says who the peer is, of which the packet names the pid: who read
// there, who did anything else with that socket, or else who has that pid since
// before it was known to be the peer's, or listened.
func (s *Session) identifyPeer(p *pcapng.Packet, from, to *socket) {
	var peer *process
	switch pid := p.Peer.PID; {
	case pid == 0:
	case to.reader != nil && pid == to.reader.PID && to.readerIs != 0:
		peer = s.processes.known(pid, to.readerIs)
	case pid == to.user.pid && to.user.number != 0:
		peer = s.processes.known(pid, to.user.number)
	default:
		if from.peerIs.pid != pid {
			from.peerIs = s.lookUpPeer(pid, from, to)
		}
		if peer = from.peerIs.process; from.peerIs.listened {
			p.Peer.Comm = peer.comm
		}
		if peer == nil && to.reader == nil && to.maker == nil && s.sockets.holder(from, to) == nil {
			p.Peer.Comm = "" // it may be another's
		}
	}
	if peer == nil {
		p.PeerPlace = pcapng.Place{}
		return
	}
	p.PeerPlace = peer.place
}

// lookedUp is what was found of a pid in /proc, or told of when it called listen.
type lookedUp struct {
	pid      uint32
	process  *process
	listened bool
}

// lookUpPeer says who has a pid since before it was known to be the peer's, or
// had it, and listened there.
func (s *Session) lookUpPeer(pid uint32, from, to *socket) lookedUp {
	found := lookedUp{pid: pid, process: s.processes.since(pid, from.peerAt)}
	if by, ok := s.sockets.listener(to, pid); ok && found.process == nil {
		found.process = s.processes.known(pid, by.number)
		found.listened = found.process != nil
	}
	return found
}
