package pcapng

import (
	"encoding/binary"
	"fmt"
	"time"
)

// UnknownLength is the original length of a record for those who know but its
// bytes.
const UnknownLength = -1

// DecodeRecord fills p from a record, rec, of whose origLen bytes the file may
// have kept fewer; UnknownLength if that cannot be compared with what the
// record says. It sets all fields but those that stand outside of the
// record: Time, DropCount and Host. p.Data is a part of rec; strings, FDs,
// Holders, Reader and Cred that p had before are used again where they can be. Options
// of unknown types are skipped. An error is an [*Error]: ErrVersion, or
// ErrDamaged; p is then undefined.
func DecodeRecord(p *Packet, rec []byte, origLen int) error {
	if err := decodeRecord(p, rec, int64(origLen)); err != nil {
		return &Error{Op: "decode record", Offset: -1, Err: err}
	}
	return nil
}

func decodeRecord(p *Packet, rec []byte, origLen int64) error {
	if len(rec) > 0 && rec[0] != recordVersion {
		return fmt.Errorf("%w %d of the record: this sockcap reads version %d", ErrVersion, rec[0], recordVersion)
	}
	if len(rec) < fixedLen {
		return damaged("record of %d bytes, its header has at least %d", len(rec), fixedLen)
	}
	if len(rec) > MaxRecord {
		return damaged("record of %d bytes, more than %d", len(rec), MaxRecord)
	}
	headerLen := int(binary.BigEndian.Uint16(rec[2:]))
	if headerLen < fixedLen || headerLen > len(rec) {
		return damaged("header of %d bytes in a record of %d", headerLen, len(rec))
	}
	decodeFixed(p, rec[:fixedLen])
	p.Data = rec[headerLen:len(rec):len(rec)]
	if uint64(len(p.Data)) > uint64(p.Len) {
		return damaged("payload of %d bytes, length %d", len(p.Data), p.Len)
	}
	if want := originalLen(headerLen, p.Len); origLen != int64(want) && origLen != UnknownLength {
		return damaged("original length %d, header and length make %d", origLen, want)
	}
	p.Truncated = p.cut()
	return decodeOptions(p, rec[fixedLen:headerLen])
}

func decodeFixed(p *Packet, b []byte) {
	be := binary.BigEndian
	flags := be.Uint16(b[6:])
	p.Event, p.Type, p.Role = Event(b[1]), SocketType(b[4]), Role(b[5])
	p.Truncated = flags&flagTruncated != 0
	p.Uncertain = Uncertain(flags>>flagUncertain) & maskAllUncertain
	p.Continued = flags&flagContinued != 0
	p.More = flags&flagMore != 0
	p.Stamp = Stamp(flags>>flagStamp) & maskTwoBits
	decodeEndpoint(&p.Sender, b[8:])
	decodeEndpoint(&p.Peer, b[32:])
	p.ConnID = be.Uint64(b[56:])
	p.Offset = be.Uint64(b[64:])
	p.Message = be.Uint64(b[72:])
	p.Len = be.Uint32(b[80:])
	p.MessageLen = be.Uint32(b[84:])
}

// decodeEndpoint leaves the names as they were.
func decodeEndpoint(e *Endpoint, b []byte) {
	be := binary.BigEndian
	e.PID = be.Uint32(b)
	e.TID = be.Uint32(b[4:])
	e.UID = be.Uint32(b[8:])
	e.GID = be.Uint32(b[12:])
	e.Inode = be.Uint64(b[16:])
}

// decodeOptions sets every field that an option may set. Of options that do
// not repeat the last one counts.
func decodeOptions(p *Packet, b []byte) error {
	old := forgetOptions(p)
	for len(b) > 0 {
		if len(b) < 4 {
			return damaged("%d bytes left in the header, too few for an option", len(b))
		}
		kind, size := binary.BigEndian.Uint16(b), int(binary.BigEndian.Uint16(b[2:]))
		b = b[4:]
		if size > len(b) {
			return damaged("option %d of %d bytes, %d left in the header", kind, size, len(b))
		}
		value := b[:size]
		b = b[size:]
		var err error
		switch {
		case kind <= optUnit, kind == optContainerName, kind >= optCmdline && kind <= optPeerPod:
			decodeName(p, &old, kind, value)
		case kind <= optSkipped || kind == optLatency || kind == optFDCount || kind == optOwnTime || kind == optNSPID || kind == optSecID:
			err = decodeNumber(p, kind, value)
		case kind == optState || kind == optHolder:
			err = decodeExisting(p, &old, kind, value)
		default:
			err = decodeGroup(p, &old, kind, value)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// former is what a packet held before it was filled anew.
type former struct {
	sender, senderThread, peer, peerThread, path string

	place, peerPlace Place
	cmdline          string

	reader  *Endpoint
	fds     []FD
	holders []Holder
	cred    *Cred
}

// forgetOptions clears every field that an option may set.
func forgetOptions(p *Packet) former {
	old := former{
		sender: p.Sender.Comm, senderThread: p.Sender.Thread, peer: p.Peer.Comm, peerThread: p.Peer.Thread,
		path: p.Path, place: p.SenderPlace(), peerPlace: p.PeerPlace, cmdline: p.Cmdline,
		reader: p.Reader, fds: p.FDs, cred: p.Cred, holders: p.Holders,
	}
	p.Sender.Comm, p.Sender.Thread, p.Peer.Comm, p.Peer.Thread, p.Path = "", "", "", "", ""
	p.Exe, p.Cgroup, p.Container, p.Pod, p.Unit = "", "", "", "", ""
	p.ContainerName, p.NSPID, p.Cmdline, p.PeerPlace = "", 0, "", Place{}
	p.Errno, p.NetNS, p.Lost, p.Skipped, p.Latency = 0, 0, 0, 0, 0
	p.FDCount, p.SecID, p.OwnTime = 0, 0, time.Time{}
	p.Reader, p.FDs, p.Cred = nil, p.FDs[:0], nil
	p.State, p.Holders = 0, p.Holders[:0]
	return old
}

func decodeName(p *Packet, old *former, kind uint16, b []byte) {
	switch kind {
	case optComm:
		p.Sender.Comm = name(b, old.sender, old.peer)
	case optThread:
		p.Sender.Thread = name(b, old.senderThread, old.peerThread)
	case optPath:
		p.Path = name(b, old.path, "")
	case optPeerComm:
		p.Peer.Comm = name(b, old.peer, old.sender)
	case optPeerThread:
		p.Peer.Thread = name(b, old.peerThread, old.senderThread)
	case optCmdline:
		p.Cmdline = name(b, old.cmdline, "")
	default:
		decodePlace(p, old, kind, b)
	}
}

// decodePlace decodes where one of the processes runs. The next packet may well
// be the answer to the last.
func decodePlace(p *Packet, old *former, kind uint16, b []byte) {
	switch kind {
	case optExe:
		p.Exe = name(b, old.place.Exe, old.peerPlace.Exe)
	case optCgroup:
		p.Cgroup = name(b, old.place.Cgroup, old.peerPlace.Cgroup)
	case optContainer:
		p.Container = name(b, old.place.Container, old.peerPlace.Container)
	case optContainerName:
		p.ContainerName = name(b, old.place.ContainerName, old.peerPlace.ContainerName)
	case optPod:
		p.Pod = name(b, old.place.Pod, old.peerPlace.Pod)
	case optUnit:
		p.Unit = name(b, old.place.Unit, old.peerPlace.Unit)
	case optPeerExe:
		p.PeerPlace.Exe = name(b, old.peerPlace.Exe, old.place.Exe)
	case optPeerCgroup:
		p.PeerPlace.Cgroup = name(b, old.peerPlace.Cgroup, old.place.Cgroup)
	case optPeerContainer:
		p.PeerPlace.Container = name(b, old.peerPlace.Container, old.place.Container)
	case optPeerContainerName:
		p.PeerPlace.ContainerName = name(b, old.peerPlace.ContainerName, old.place.ContainerName)
	case optPeerPod:
		p.PeerPlace.Pod = name(b, old.peerPlace.Pod, old.place.Pod)
	case optPeerUnit:
		p.PeerPlace.Unit = name(b, old.peerPlace.Unit, old.place.Unit)
	}
}

// name is string(b), without a copy if one of the two says the same.
func name(b []byte, one, other string) string {
	switch {
	case string(b) == one:
		return one
	case string(b) == other:
		return other
	}
	return string(b)
}

func decodeNumber(p *Packet, kind uint16, b []byte) error {
	want := 8
	switch kind {
	case optErrno, optNetNS, optFDCount, optNSPID, optSecID:
		want = 4
	}
	if len(b) != want {
		return damaged("option %d of %d bytes, should be %d", kind, len(b), want)
	}
	if want == 4 {
		v := binary.BigEndian.Uint32(b)
		switch kind {
		case optErrno:
			p.Errno = v
		case optNetNS:
			p.NetNS = v
		case optFDCount:
			p.FDCount = v
		case optNSPID:
			p.NSPID = v
		case optSecID:
			p.SecID = v
		}
		return nil
	}
	v := binary.BigEndian.Uint64(b)
	switch kind {
	case optLost:
		p.Lost = v
	case optSkipped:
		p.Skipped = v
	default: // nanoseconds
		if v >= uint64(lastSecond)*uint64(time.Second) {
			return damaged("option %d is %d nanoseconds", kind, v)
		}
		if kind == optLatency {
			p.Latency = time.Duration(v)
		} else {
			p.OwnTime = time.Unix(0, int64(v)).UTC()
		}
	}
	return nil
}

// decodeGroup decodes an option of several parts, and skips those that are not
// known.
func decodeGroup(p *Packet, old *former, kind uint16, b []byte) error {
	be := binary.BigEndian
	switch kind {
	case optReader:
		if len(b) < 8 {
			return damaged("reader of %d bytes, should be at least 8", len(b))
		}
		var comm string
		if p.Reader = old.reader; p.Reader == nil {
			p.Reader = new(Endpoint)
		} else {
			comm = p.Reader.Comm
		}
		*p.Reader = Endpoint{PID: be.Uint32(b), TID: be.Uint32(b[4:]), Comm: name(b[8:], comm, old.peer)}
	case optFD:
		if len(b) < 5 {
			return damaged("passed descriptor of %d bytes, should be at least 5", len(b))
		}
		fd := FD{Num: be.Uint32(b), Kind: FDKind(b[4])}
		var before string
		if n := len(p.FDs); n < len(old.fds) {
			before = old.fds[n].Name
		}
		fd.Name = name(b[5:], before, "")
		p.FDs = append(p.FDs, fd)
	case optCred:
		if len(b) != 12 {
			return damaged("passed credentials of %d bytes, should be 12", len(b))
		}
		if p.Cred = old.cred; p.Cred == nil {
			p.Cred = new(Cred)
		}
		*p.Cred = Cred{be.Uint32(b), be.Uint32(b[4:]), be.Uint32(b[8:])}
	}
	return nil
}
