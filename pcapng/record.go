package pcapng

import (
	"encoding/binary"
	"math"
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
	room := min(maxHeaderLen, max(MaxRecord-len(p.Data), MaxRecord-MaxPayload))
	start := len(dst)
	dst = appendOptions(appendFixed(dst, p), p)
	if own != noTime {
		dst = appendOption64(dst, optOwnTime, uint64(own))
	}
	if over := len(dst) - start - room; over > 0 {
		fitting := fit(*p, over)
		return appendHeader(dst[:start], &fitting, own)
	}
	binary.BigEndian.PutUint16(dst[start+2:], uint16(len(dst)-start))
	return dst
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
	be := binary.BigEndian
	dst = append(dst, recordVersion, byte(p.Event), 0, 0, byte(p.Type), byte(p.Role))
	dst = be.AppendUint16(dst, flags)
	dst = appendEndpoint(dst, &p.Sender)
	dst = appendEndpoint(dst, &p.Peer)
	dst = be.AppendUint64(dst, p.ConnID)
	dst = be.AppendUint64(dst, p.Offset)
	dst = be.AppendUint64(dst, p.Message)
	dst = be.AppendUint32(dst, p.Len)
	return be.AppendUint32(dst, p.MessageLen)
}

func appendEndpoint(dst []byte, e *Endpoint) []byte {
	be := binary.BigEndian
	dst = be.AppendUint32(dst, e.PID)
	dst = be.AppendUint32(dst, e.TID)
	dst = be.AppendUint32(dst, e.UID)
	dst = be.AppendUint32(dst, e.GID)
	return be.AppendUint64(dst, e.Inode)
}

// appendOptions appends what is known of p, in the order of the types.
func appendOptions(dst []byte, p *Packet) []byte {
	dst = appendOptionString(dst, optComm, p.Sender.Comm)
	dst = appendOptionString(dst, optThread, p.Sender.Thread)
	dst = appendOptionString(dst, optPath, p.Path)
	dst = appendOptionString(dst, optPeerComm, p.Peer.Comm)
	dst = appendOptionString(dst, optPeerThread, p.Peer.Thread)
	dst = appendOptionString(dst, optExe, p.Exe)
	dst = appendOptionString(dst, optCgroup, p.Cgroup)
	dst = appendOptionString(dst, optContainer, p.Container)
	dst = appendOptionString(dst, optPod, p.Pod)
	dst = appendOptionString(dst, optUnit, p.Unit)
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
	dst = appendProcesses(dst, p)
	dst = appendOption32(dst, optSecID, p.SecID)
	return appendExisting(dst, p)
}

// appendProcesses appends what else is known of the two processes.
func appendProcesses(dst []byte, p *Packet) []byte {
	dst = appendOptionString(dst, optContainerName, p.ContainerName)
	dst = appendOption32(dst, optNSPID, p.NSPID)
	dst = appendOptionString(dst, optCmdline, p.Cmdline)
	dst = appendOptionString(dst, optPeerExe, p.PeerPlace.Exe)
	dst = appendOptionString(dst, optPeerCgroup, p.PeerPlace.Cgroup)
	dst = appendOptionString(dst, optPeerContainer, p.PeerPlace.Container)
	dst = appendOptionString(dst, optPeerContainerName, p.PeerPlace.ContainerName)
	dst = appendOptionString(dst, optPeerUnit, p.PeerPlace.Unit)
	return appendOptionString(dst, optPeerPod, p.PeerPlace.Pod)
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
