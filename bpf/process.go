package bpf

// ProcessHead is struct process_event: a process, before the first event in
// which it has this number.
type ProcessHead struct {
	Kind      uint8
	ExeFlags  uint8 // as [PathOf] takes them
	CgroupCut uint8 // the first of its parts are missing
	Pad       uint8
	Number    uint32 // Task.Process
	Time      uint64 // ns of CLOCK_BOOTTIME, as Start
	Start     uint64 // of the thread group's leader
	Pid       uint32 // in the initial pid namespace
	Parent    uint32 // thread group
	OwnPid    uint32 // in its own pid namespace
	Pidns     uint32 // inode of that
	ExeLen    uint16
	CgroupLen uint16
	ArgsLen   uint16
	Pad2      uint16
	Comm      [CommLen]byte
}

// Process is what the kernel side tells of a process: see bpf/process.h.
type Process struct {
	ProcessHead

	// Names alias the record. The first two are as [PathOf] takes them, the
	// last is the arguments, each with a NUL behind it.
	ExeNames, CgroupNames, Args []byte
}

const processSize = 64

// Exe is the path of its program, empty if it has none.
func (p *Process) Exe() string {
	if len(p.ExeNames) == 0 {
		return ""
	}
	return PathOf(p.ExeNames, uint32(p.ExeFlags))
}

// Cgroup is the path of its control group.
func (p *Process) Cgroup() string { return PathOf(p.CgroupNames, uint32(p.CgroupCut)) }

func (p *Process) decode(c *cursor) error {
	p.Kind, p.ExeFlags, p.CgroupCut, p.Pad, p.Number = c.u8(), c.u8(), c.u8(), c.u8(), c.u32()
	p.Time, p.Start = c.u64(), c.u64()
	p.Pid, p.Parent, p.OwnPid, p.Pidns = c.u32(), c.u32(), c.u32(), c.u32()
	p.ExeLen, p.CgroupLen, p.ArgsLen, p.Pad2 = c.u16(), c.u16(), c.u16(), c.u16()
	c.bytes(p.ProcessHead.Comm[:])
	exe, group, args := int(p.ExeLen), int(p.CgroupLen), int(p.ArgsLen)
	if want := exe + group + args; len(c.rest) < want {
		return &Error{Kind: KindProcess, Size: processSize + len(c.rest), Want: processSize + want}
	}
	p.ExeNames, p.CgroupNames, p.Args = c.rest[:exe:exe], c.rest[exe:exe+group], c.rest[exe+group:exe+group+args]
	return nil
}
