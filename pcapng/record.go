package pcapng

import (
	"encoding/binary"
	"math"
	"slices"
)

// The sizes of records. tshark reads no longer ones of this link type.
const (
	MaxRecord  = 262144           // bytes of header and payload
	MaxPayload = MaxRecord - 4096 // bytes of payload beside which there is room for every usual header

	recordVersion = 1
	fixedLen      = 88    // of the header, options follow
	maxHeaderLen  = 65535 // what the header length can say
)

// The bits of the flags.
const (
	flagTruncated    = 1 << 0
	flagUncertain    = 1 // shift of the two bits of Uncertain
	flagContinued    = 1 << 3
	flagMore         = 1 << 4
	flagStamp        = 5 // shift of the two bits of Stamp
	maskTwoBits      = 3
	maskAllUncertain = UncertainSender | UncertainOrder
)

// The types of options.
const (
	optComm              = 1
	optThread            = 2
	optPath              = 3
	optPeerComm          = 4
	optPeerThread        = 5
	optExe               = 6
	optCgroup            = 7
	optContainer         = 8
	optPod               = 9
	optUnit              = 10
	optErrno             = 11
	optNetNS             = 12
	optLost              = 13
	optSkipped           = 14
	optReader            = 15
	optLatency           = 16
	optFDCount           = 17
	optFD                = 18
	optCred              = 19
	optOwnTime           = 20
	optContainerName     = 21
	optNSPID             = 22
	optCmdline           = 23
	optPeerExe           = 24
	optPeerCgroup        = 25
	optPeerContainer     = 26
	optPeerContainerName = 27
	optPeerUnit          = 28
	optPeerPod           = 29
	optSecID             = 30
	optState             = 32
	optHolder            = 33
)

// AppendRecordHeader appends the header of p's record, options included; the
// payload, p.Data, comes after it. Header and payload are at most MaxRecord
// long if the payload is no longer than MaxPayload: where the options do not
// fit, holders and passed descriptors are left out from the last on, then names
// are cut, the process's and the path last.
func AppendRecordHeader(dst []byte, p *Packet) []byte {
	return appendHeader(dst, p, ownTime(p))
}

// noTime is no time in nanoseconds.
const noTime = -1

// ownTime is p's own time in nanoseconds, or noTime.
func ownTime(p *Packet) int64 {
	if p.OwnTime.IsZero() {
		return noTime
	}
	return nanoseconds(p.OwnTime)
}

// appendHeader appends p's header with another own time.
func appendHeader(dst []byte, p *Packet, own int64) []byte {
	var n names
	n.of(p)
	var scratch [256]byte
	start := len(dst)
	dst = n.appendFirst(appendFixed(dst, p))
	return endHeader(dst, start, p, own, n.appendLast(scratch[:0]))
}

// endHeader appends what follows on the first names in the header that begins at
// start; last are the others, as they are written.
func endHeader(dst []byte, start int, p *Packet, own int64, last []byte) []byte {
	dst = appendOptions(dst, p, last)
	if own != noTime {
		dst = appendOption64(dst, optOwnTime, uint64(own))
	}
	room := min(maxHeaderLen, max(MaxRecord-len(p.Data), MaxRecord-MaxPayload))
	if over := len(dst) - start - room; over > 0 {
		return appendFitting(dst[:start], p, own, over)
	}
	binary.BigEndian.PutUint16(dst[start+2:], uint16(len(dst)-start))
	return dst
}

// appendFitting appends the header, which is over bytes too long as it is.
func appendFitting(dst []byte, p *Packet, own int64, over int) []byte {
	fitting := fit(*p, over)
	return appendHeader(dst, &fitting, own)
}

// fit takes over bytes from the options of p's header.
func fit(p Packet, over int) Packet {
	for n := len(p.Holders) - 1; n >= 0 && over > 0; n-- {
		over -= 4 + holderLen + len(p.Holders[n].Comm)
		p.Holders = p.Holders[:n]
	}
	for n := len(p.FDs) - 1; n >= 0 && over > 0; n-- {
		over -= 4 + 5 + len(p.FDs[n].Name)
		p.FDs = p.FDs[:n]
	}
	peer := &p.PeerPlace
	names := []*string{
		&p.Cmdline, &peer.Exe, &peer.Cgroup, &peer.Unit, &peer.Pod, &peer.ContainerName, &peer.Container,
		&p.Cgroup, &p.Exe, &p.Unit, &p.Pod, &p.ContainerName, &p.Container, &p.Peer.Thread, &p.Sender.Thread,
	}
	if p.Reader != nil {
		reader := *p.Reader
		p.Reader = &reader
		names = append(names, &reader.Comm)
	}
	for _, name := range append(names, &p.Peer.Comm, &p.Sender.Comm, &p.Path) {
		n := min(max(over, 0), len(*name))
		*name = (*name)[:len(*name)-n]
		over -= n
	}
	return p
}

func appendFixed(dst []byte, p *Packet) []byte {
	flags := uint16(p.Uncertain&maskAllUncertain)<<flagUncertain | uint16(p.Stamp&maskTwoBits)<<flagStamp
	if p.cut() {
		flags |= flagTruncated
	}
	if p.Continued {
		flags |= flagContinued
	}
	if p.More {
		flags |= flagMore
	}
	dst = slices.Grow(dst, fixedLen)
	b := (*[fixedLen]byte)(dst[len(dst) : len(dst)+fixedLen])
	be := binary.BigEndian
	b[0], b[1], b[2], b[3], b[4], b[5] = recordVersion, byte(p.Event), 0, 0, byte(p.Type), byte(p.Role)
	be.PutUint16(b[6:], flags)
	putEndpoint((*[24]byte)(b[8:]), &p.Sender)
	putEndpoint((*[24]byte)(b[32:]), &p.Peer)
	be.PutUint64(b[56:], p.ConnID)
	be.PutUint64(b[64:], p.Offset)
	be.PutUint64(b[72:], p.Message)
	be.PutUint32(b[80:], p.Len)
	be.PutUint32(b[84:], p.MessageLen)
	return dst[:len(dst)+fixedLen]
}

func putEndpoint(b *[24]byte, e *Endpoint) {
	be := binary.BigEndian
	be.PutUint32(b[0:], e.PID)
	be.PutUint32(b[4:], e.TID)
	be.PutUint32(b[8:], e.UID)
	be.PutUint32(b[12:], e.GID)
	be.PutUint64(b[16:], e.Inode)
}

// appendOptions appends what is known of p, in the order of the types, but for
// the first names and its own time; last are the other names.
func appendOptions(dst []byte, p *Packet, last []byte) []byte {
	dst = appendOption32(dst, optErrno, p.Errno)
	dst = appendOption32(dst, optNetNS, p.NetNS)
	if p.Lost != 0 {
		dst = appendOption64(dst, optLost, p.Lost)
	}
	if p.Skipped != 0 {
		dst = appendOption64(dst, optSkipped, p.Skipped)
	}
	if r := p.Reader; r != nil {
		dst = appendOptionHead(dst, optReader, 8+len(r.Comm))
		dst = binary.BigEndian.AppendUint32(dst, r.PID)
		dst = binary.BigEndian.AppendUint32(dst, r.TID)
		dst = append(dst, r.Comm...)
	}
	if p.Latency > 0 {
		dst = appendOption64(dst, optLatency, uint64(p.Latency))
	}
	dst = appendOption32(dst, optFDCount, p.FDCount)
	for i := range p.FDs {
		fd := &p.FDs[i]
		dst = appendOptionHead(dst, optFD, 5+len(fd.Name))
		dst = binary.BigEndian.AppendUint32(dst, fd.Num)
		dst = append(dst, byte(fd.Kind))
		dst = append(dst, fd.Name...)
	}
	if c := p.Cred; c != nil {
		dst = appendOptionHead(dst, optCred, 12)
		dst = binary.BigEndian.AppendUint32(dst, c.PID)
		dst = binary.BigEndian.AppendUint32(dst, c.UID)
		dst = binary.BigEndian.AppendUint32(dst, c.GID)
	}
	dst = append(dst, last...)
	dst = appendOption32(dst, optSecID, p.SecID)
	return appendExisting(dst, p)
}

func appendOptionHead(dst []byte, kind uint16, size int) []byte {
	return append(dst, byte(kind>>8), byte(kind), byte(size>>8), byte(size))
}

// appendOptionString appends a name, none if it is empty.
func appendOptionString(dst []byte, kind uint16, s string) []byte {
	if s == "" {
		return dst
	}
	return append(appendOptionHead(dst, kind, len(s)), s...)
}

// appendOption32 appends a number, none if it is 0.
func appendOption32(dst []byte, kind uint16, v uint32) []byte {
	if v == 0 {
		return dst
	}
	return binary.BigEndian.AppendUint32(appendOptionHead(dst, kind, 4), v)
}

func appendOption64(dst []byte, kind uint16, v uint64) []byte {
	return binary.BigEndian.AppendUint64(appendOptionHead(dst, kind, 8), v)
}

// originalLen is what an Enhanced Packet Block says of a record whose payload
// may be cut. No record that we write reaches the limit.
func originalLen(headerLen int, payload uint32) uint32 {
	return uint32(min(uint64(headerLen)+uint64(payload), math.MaxUint32))
}
