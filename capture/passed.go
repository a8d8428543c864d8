package capture

import (
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/sockcap/sockcap/bpf"
	"github.com/sockcap/sockcap/pcapng"
)

// maxPassages bounds what is remembered of what is passed along with units that
// are not told of yet: those that a reader has read in part, or peeked at.
// maxPassedNames bounds the bytes of the names of descriptors in that, of which a
// message may have a MiB: twice as many are kept at most.
const (
	maxPassages    = 4096
	maxPassedNames = 16 << 20
)

// passage is what is passed along with one unit.
type passage struct {
	count uint32
	fds   []pcapng.FD
	cred  *pcapng.Cred
	asked bool // for cred
	secid uint32
}

// passages knows what was passed along, until its unit comes.
type passages struct {
	files *generations[uint64, *passage] // by the kernel side's number of a passage
	units *generations[uint64, *passage] // by number of the unit
	names int                            // bytes since both have aged
}

func newPassages() passages {
	return passages{files: newGenerations[uint64, *passage](maxPassages), units: newGenerations[uint64, *passage](maxPassages)}
}

// learn takes what the kernel side says was passed along; names are those of
// bpf.Event.
func (p *passages) learn(e *bpf.Passed, names []byte) {
	known, ok := p.files.get(e.Passage)
	if !ok {
		known = &passage{}
	}
	if e.What == bpf.PassedFile {
		fd := descriptor(e, names)
		known.fds = append(known.fds, fd)
		if p.names += len(fd.Name); p.names > maxPassedNames {
			p.files.age()
			p.units.age()
			p.names = 0
		}
		p.files.put(e.Passage, known)
		return
	}
	known.count = e.Count
	if e.Flags&bpf.PassedCred != 0 {
		known.cred, known.asked = &pcapng.Cred{PID: e.Pid, UID: e.Uid, GID: e.Gid}, e.Flags&bpf.PassedAsked != 0
	}
	if e.Flags&bpf.PassedSecurity != 0 {
		known.secid = e.Secid
	}
	p.units.put(e.Unit, known)
}

// with gives what is passed along with a unit, nil if that is nothing. It is
// given once.
func (p *passages) with(unit uint64) *passage {
	if p.units.isEmpty() {
		return nil
	}
	known, ok := p.units.get(unit)
	if ok {
		p.units.remove(unit)
	}
	return known
}

// rawCopy is the program that finds passed descriptors where there is no
// tracefs. What it is skipped for passes some unseen, but is no packet lost.
const rawCopy = "raw_copy"

// missedCopy is how often the kernel skipped it, each time maybe for nothing.
func (p *programs) missedCopy() uint64 {
	n := p.skippedCopy
	for _, l := range p.links {
		if l.program == rawCopy {
			n += p.misses(rawCopy)
		}
	}
	return n
}

// fillPassed describes what is passed along with a unit.
func (s *Session) fillPassed(p *pcapng.Packet, u *unit) {
	t := &u.head.Task
	own := pcapng.Cred{PID: t.Pid, UID: t.Uid, GID: t.Gid}
	if u.head.Flags&bpf.DataCredentials != 0 {
		p.Cred = &own
	}
	known := u.passed
	if known == nil {
		return
	}
	p.FDCount, p.FDs, p.SecID = known.count, known.fds, known.secid
	// Nobody asked: the kernel may have added them all the same.
	unsure := u.head.Flags&(bpf.DataNoSender|bpf.DataUnsureSender) != 0
	if known.cred != nil && (known.asked || *known.cred != own && !unsure) {
		p.Cred = known.cred
	}
}

// The file systems that tell what kind of file a descriptor is, as s_magic has
// them (include/uapi/linux/magic.h).
const (
	magicAnonymous = 0x09041934
	magicNamespace = 0x6e736673
	magicPipe      = 0x50495045
	magicSocket    = 0x534f434b
)

// descriptor says what a passed descriptor is. Its name is what readlink of
// /proc/PID/fd says, but for sockets and pipes, which are told by inode, memfds
// by the name that they were given, and pidfds by their process.
func descriptor(e *bpf.Passed, names []byte) pcapng.FD {
	fd := pcapng.FD{Num: e.Number, Name: bpf.PathOf(names, uint32(e.Flags))}
	inode := strconv.FormatUint(e.Inode, 10)
	lone := ""
	if e.Flags&bpf.PathLone != 0 {
		lone = cString(names)
	}
	memfd, isMemfd := strings.CutPrefix(lone, "memfd:")
	switch {
	case e.Pid != 0:
		fd.Kind, fd.Name = pcapng.FDPidfd, strconv.FormatUint(uint64(e.Pid), 10)
	case e.Magic == magicSocket:
		fd.Kind, fd.Name = pcapng.FDSocket, inode
	case e.Magic == magicPipe:
		fd.Kind, fd.Name = pcapng.FDPipe, inode
	case e.Magic == magicNamespace:
		fd.Name = lone + ":[" + inode + "]"
	case e.Magic == magicAnonymous:
		fd.Name = "anon_inode:" + lone
	case isMemfd:
		fd.Kind, fd.Name = pcapng.FDMemfd, memfd
	default:
		fd.Kind = kindOf(e.Mode)
	}
	return fd
}

// kindOf is the kind of what has a path, by its i_mode.
func kindOf(mode uint32) pcapng.FDKind {
	switch mode & unix.S_IFMT {
	case unix.S_IFREG, unix.S_IFDIR, unix.S_IFLNK:
		return pcapng.FDFile
	case unix.S_IFIFO:
		return pcapng.FDPipe
	case unix.S_IFSOCK:
		return pcapng.FDSocket
	case unix.S_IFCHR, unix.S_IFBLK:
		return pcapng.FDDevice
	}
	return pcapng.FDOther
}
