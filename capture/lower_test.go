package capture

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/btf"

	"github.com/sockcap/sockcap/bpf"
	"github.com/sockcap/sockcap/capture/filter"
	"github.com/sockcap/sockcap/pcapng"
)

// kernelEvent is what the kernel side knows of an event when it asks the
// filter, and what user space makes of it.
type kernelEvent struct {
	data             bpf.Data
	sockets          [2]bpf.Socket // sender, receiver
	reader           bpf.Reader    // who read the receiver last, as user space was told
	known            [2]bool       // verdicts on the sockets' names are
	noEnd, forgotten bool          // nothing is known of the receiver, or not who read there
	verdicts         [2]uint64
	session          *Session
	from, to         *socket
}

var eventNames = []string{"", "/run/docker.sock", "/run/user/bus", "/run/dbus/bus", "@nul\x00", "@docker.sock", "s"}

var eventComms = []string{"curl", "cupsd", "kworker/7:0", "a-name-of-15-cs", "and", ""}

// someEvent is an event of values that expressions ask for, and others.
func someEvent(r *rand.Rand, o *Options, k *kernelFilter) *kernelEvent {
	e := &kernelEvent{session: &Session{
		paths: newPathFilter(filter.NewPaths(o.Paths), o.Paths, nil), filter: newExprFilter(o.Filter, nil), sockets: newSockets(), processes: newProcesses(nil),
	}}
	e.session.sockets.comm = func(pid uint32) string { return eventComms[pid%5] }
	e.session.processes.started = func(uint32) time.Duration { return 1 }
	e.session.processes.look = func(pid uint32) *process { return &process{comm: eventComms[pid%5], start: 1} }
	task := func() bpf.Task {
		t := bpf.Task{Pid: []uint32{5, 77, 500}[r.IntN(3)], Uid: []uint32{0, 1000}[r.IntN(2)], Gid: []uint32{0, 10}[r.IntN(2)]}
		rest := copy(t.Comm[:], eventComms[r.IntN(5)])
		if r.IntN(3) == 0 && rest < 14 {
			t.Comm[rest+1] = 'x' // behind the NUL (v5.10)
		}
		return t
	}
	kind := []uint8{1, 2, 5}[r.IntN(3)]
	for i := range e.sockets {
		s := &e.sockets[i]
		s.Time, s.Socket, s.Type, s.Inode = 2, uint64(i+1), kind, []uint64{0, 40005, 5}[r.IntN(3)]
		s.Netns, s.PeerPid, s.PeerUid, s.PeerGid = []uint32{17, 4026532201}[r.IntN(2)], []uint32{0, 5, 77}[r.IntN(3)], 0xffffffff, 0xffffffff
		if s.PeerPid != 0 {
			s.PeerUid, s.PeerGid = []uint32{0, 1000}[r.IntN(2)], []uint32{0, 10}[r.IntN(2)]
		}
		name := strings.Replace(eventNames[r.IntN(len(eventNames))], "@", "\x00", 1)
		s.AddressLen = uint8(copy(s.Address[:], name))
		e.known[i] = r.IntN(4) > 0 || name == ""
	}
	e.from, e.to = e.session.sockets.learn(&e.sockets[0]), e.session.sockets.learn(&e.sockets[1])
	d := &e.data
	d.Kind, d.Type, d.Task, d.Sender, d.Receiver = 1, kind, task(), 1, 2
	d.Total = []uint32{0, 99, 100, 101, filter.LenLimit, filter.LenLimit + 1, 3 * filter.LenLimit}[r.IntN(7)]
	d.Flags = []uint16{0, bpf.DataRead, bpf.DataRead, bpf.DataWaiting, bpf.DataPending, bpf.DataRead | bpf.DataUnsureSender}[r.IntN(6)]
	if r.IntN(5) == 0 {
		d.Flags |= bpf.DataNoSender
		d.Task = bpf.Task{}
	}
	if t := task(); r.IntN(2) == 0 {
		e.reader = bpf.Reader{Pid: t.Pid, Uid: t.Uid, Gid: t.Gid, Comm: t.Comm}
		e.to.named(&e.reader)
		e.forgotten = r.IntN(5) == 0
	}
	if t := task(); d.Flags&bpf.DataRead != 0 {
		d.ReaderPid, d.ReaderComm = t.Pid, t.Comm
		if e.forgotten = r.IntN(5) == 0; !e.forgotten {
			e.reader = bpf.Reader{Pid: t.Pid, Uid: t.Uid, Gid: t.Gid, Comm: t.Comm}
			e.to.named(&e.reader)
			d.Flags |= bpf.DataNamed
		}
	}
	e.noEnd = r.IntN(9) == 0
	for i, s := range []*socket{e.from, e.to} {
		if s.path == "" {
			e.verdicts[i] = bpf.NameJudged
		} else if e.known[i] {
			e.verdicts[i] = bpf.NameJudged | e.session.filter.matches(k, s)
			if e.session.paths.keeps(s) {
				e.verdicts[i] |= 1
			}
		}
	}
	if e.noEnd {
		e.verdicts[1] = 0
	}
	return e
}

// keeps asks user space, also about the read event that may follow what was
// shown waiting.
func (e *kernelEvent) keeps() bool {
	var p pcapng.Packet
	u := &unit{head: &e.data, from: e.from, to: e.to}
	e.session.fill(&p, u)
	any := false
	rest := remainder{data: u.data, offset: p.Offset, bytes: u.head.Total}
	for more := true; more; more = p.More {
		rest.cut(&p)
		any = any || e.session.filter.keeps(&p, e.from, e.to)
	}
	if e.data.Flags&bpf.DataWaiting != 0 {
		p.Event, p.Len, p.Reader = pcapng.EventRead, 0, &pcapng.Endpoint{PID: 5, Comm: "curl"}
		any = any || e.session.filter.keeps(&p, e.from, e.to)
	}
	return any && (e.session.paths.keeps(e.from) || e.session.paths.keeps(e.to))
}

// knowsAll reports whether the kernel side knows what it may ask.
func (e *kernelEvent) knowsAll() bool {
	return e.known[0] && e.known[1] && !e.noEnd && !e.forgotten && e.data.Flags&bpf.DataWaiting == 0 && e.data.Total <= filter.LenLimit &&
		(e.data.ReaderPid != 0 || e.reader.Pid != 0) && e.sockets[0].Inode != 0 && e.sockets[1].Inode != 0
}

// The places of the functions' arguments in the memory that a test hands over.
const (
	fromAt     = 168
	toAt       = fromAt + 88
	verdictsAt = toAt + 88
	hopeAt     = verdictsAt + 16
	senderAt   = hopeAt + 40
	readerAt   = senderAt + 56
	memorySize = readerAt + 56
)

// memory is the event as the functions get it.
func (e *kernelEvent) memory(t testing.TB, fields map[string]int16) []byte {
	data, err := binary.Append(nil, binary.LittleEndian, e.data)
	if err != nil || len(data) != fromAt {
		t.Fatalf("%d bytes, %v", len(data), err)
	}
	m := make([]byte, memorySize)
	copy(m, data)
	u32 := func(at int, field string, v uint32) { binary.LittleEndian.PutUint32(m[at+int(fields[field]):], v) }
	u64 := func(at int, v uint64) { binary.LittleEndian.PutUint64(m[at:], v) }
	for i, s := range e.sockets {
		at := fromAt + i*(toAt-fromAt)
		if i == 1 && e.noEnd {
			continue
		}
		u32(at, "end.version", 2)
		u32(at, "end.netns", s.Netns)
		u32(at, "end.peer_pid", s.PeerPid)
		u32(at, "end.peer_uid", s.PeerUid)
		u32(at, "end.peer_gid", s.PeerGid)
		u64(at+int(fields["end.inode"]), s.Inode)
		if i == 1 {
			u32(at, "end.reader", e.reader.Pid)
			u32(at, "end.reader_uid", e.reader.Uid)
			u32(at, "end.reader_gid", e.reader.Gid)
			copy(m[at+int(fields["end.reader_comm"]):], e.reader.Comm[:])
			if e.forgotten {
				u32(at, "end.reader", 0xffffffff)
			}
		}
	}
	u64(verdictsAt, e.verdicts[0])
	u64(verdictsAt+8, e.verdicts[1])
	inode := e.sockets[1].Inode
	if e.noEnd {
		inode = 0
	}
	for i, v := range []uint64{e.sockets[0].Inode, inode, e.verdicts[0], e.verdicts[1], uint64(e.data.Type) | uint64(e.sockets[0].Netns)<<32} {
		u64(hopeAt+8*i, v)
	}
	at := int(fields["data_event.task"])
	copy(m[senderAt:], m[at:at+48])
	u32(readerAt, "task_id.pid", e.reader.Pid)
	u32(readerAt, "task_id.uid", e.reader.Uid)
	u32(readerAt, "task_id.gid", e.reader.Gid)
	copy(m[readerAt+int(fields["task_id.comm"]):], e.reader.Comm[:])
	return m
}

// taskAt is where the task is that a function asks about.
func taskAt(function string) int {
	if function == readerFunction {
		return readerAt
	}
	return senderAt
}

// knowsTasks reports whether the kernel side knows who sends, and who reads if
// need be: only then it asks about them.
func (e *kernelEvent) knowsTasks(k *kernelFilter) bool {
	if e.data.Flags&bpf.DataNoSender != 0 {
		return false
	}
	return k.read == nil || e.data.Flags&bpf.DataRead != 0 && !e.forgotten
}

// filters are expressions of all kinds, most of which the kernel side can
// decide wholly.
var filters = []string{
	"/run/docker.sock", "path /run", "@docker.sock", "src /run/docker.sock", "dst path /run/user/bus", "path *.sock", "not /run",
	"not (src path /run/dbus/bus or dst @nul*)", "/run/docker.sock /run/dbus and not @docker.sock", "path bus",
	"comm curl", "src comm curl", "dst comm curl", "not comm curl", "comm cu*", "src comm kworker*", "dst comm *", "comm *",
	"not dst comm cu*", `comm "a-name-of-15-cs"`, "comm a-name-of-15-c*", "comm a-name-of-15-cs*", "comm a-name-of-16-chr",
	"comm an?", "not comm c?rl", "comm *d", "src comm c[u]r*", "not src comm *",
	"pid 5", "src pid 5", "dst pid 5", "pid 5 or 77", "not pid 5", "pid 4294967295",
	"uid 0", "src uid 1000", "dst uid 1000", "not uid 0", "gid 10", "src gid 10", "not dst gid 0", "uid 4294967294",
	"inode 40005", "src inode 5", "dst inode 40005", "not inode 5", "inode 18446744073709551615",
	"netns 17", "not netns 4026532201", "stream", "dgram", "seqpacket", "not stream",
	"len < 100", "len <= 100", "greater 100", "len > 4294967294", "len = 100", "len != 100", "less 0", "len > 262000",
	"data", "read", "not data", "connect", "not close", "inbound", "not outbound", "fds", "cgroup /x", "not container web",
	"(comm curl or pid 77) and (not uid 0 or len > 99)", "/run and (comm curl or uid 1000) and not len = 0",
	"stream and src comm curl and dst pid 5 or dgram and @*", "not (/run and not (comm cupsd or len < 100))",
	"inbound and comm curl", "not (inbound or comm curl)", "src pid 5 and dst uid 1000 and not read", "pid 5 and pid 77",
	"(src uid 0 or dst uid 0) and (src gid 10 or dst gid 10) and stream",
}

// notDecided are primitives that the kernel side cannot decide for sure.
var notDecided = []string{"inbound", "outbound", "fds", "cgroup", "container", "?", "*d", "[u]", "read", "not data"}

// lowered is an expression as both sides have it.
func lowered(t testing.TB, text string, paths ...string) (*Options, *kernelFilter) {
	t.Helper()
	e, err := filter.Parse(text, filter.Lookup{})
	if err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	o := &Options{Filter: e, Paths: paths}
	k, err := newKernelFilter(o)
	if err != nil {
		t.Fatal(err)
	}
	return o, k
}

// harness is a program that runs a lowered function on memory in a map.
type harness struct {
	program *ebpf.Program
	memory  *ebpf.Map
}

func newHarness(t *testing.T, function string, code asm.Instructions) *harness {
	t.Helper()
	m, err := ebpf.NewMap(&ebpf.MapSpec{Type: ebpf.Array, KeySize: 4, ValueSize: memorySize, MaxEntries: 1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.Close() })
	insns := asm.Instructions{
		asm.StoreImm(asm.RFP, -4, 0, asm.Word),
		asm.LoadMapPtr(asm.R1, m.FD()),
		asm.Mov.Reg(asm.R2, asm.RFP), asm.Add.Imm(asm.R2, -4),
		asm.FnMapLookupElem.Call(),
		asm.JNE.Imm(asm.R0, 0, "found"), asm.Mov.Imm(asm.R0, 2), asm.Return(),
	}
	if function == keepFunction {
		insns = append(insns,
			asm.Mov.Reg(asm.R1, asm.R0).WithSymbol("found"),
			asm.Mov.Reg(asm.R2, asm.R0), asm.Add.Imm(asm.R2, fromAt),
			asm.Mov.Reg(asm.R3, asm.R0), asm.Add.Imm(asm.R3, toAt),
			asm.LoadMem(asm.R4, asm.R0, verdictsAt, asm.DWord), asm.LoadMem(asm.R5, asm.R0, verdictsAt+8, asm.DWord))
	} else if function == senderFunction || function == readerFunction {
		insns = append(insns, asm.Mov.Reg(asm.R1, asm.R0).WithSymbol("found"), asm.Add.Imm(asm.R1, int32(taskAt(function))))
	} else {
		insns = append(insns, asm.LoadMem(asm.R1, asm.R0, hopeAt, asm.DWord).WithSymbol("found"))
		for i, r := range []asm.Register{asm.R2, asm.R3, asm.R4, asm.R5} {
			insns = append(insns, asm.LoadMem(r, asm.R0, int16(hopeAt+8*(i+1)), asm.DWord))
		}
	}
	p, err := ebpf.NewProgram(&ebpf.ProgramSpec{Type: ebpf.SocketFilter, License: "GPL", Instructions: append(insns, code...)})
	if err != nil {
		t.Fatalf("%+v", err)
	}
	t.Cleanup(func() { p.Close() })
	return &harness{p, m}
}

func (h *harness) run(t *testing.T, memory []byte) bool {
	t.Helper()
	if err := h.memory.Put(uint32(0), memory); err != nil {
		t.Fatal(err)
	}
	got, err := h.program.Run(&ebpf.RunOptions{Data: make([]byte, 64)})
	if err != nil || got > 1 {
		t.Fatalf("verdict %d, %v", got, err)
	}
	return got == 1
}

// TestKernelFilter: what the kernel's own run of the lowered filter leaves out,
// user space leaves out too; where the kernel side knows all it asks for, they
// are of one mind. Of two sockets of which it says that nothing can match,
// nothing does, nor of a task of which it wants nothing, whoever reads or if such
// a one does.
func TestKernelFilter(t *testing.T) {
	types, err := bpf.Types()
	if err != nil {
		t.Fatal(err)
	}
	fields, err := fieldOffsets(types)
	if err != nil {
		t.Fatal(err)
	}
	events := 503
	if os.Getenv("SOCKCAP_VM_GUEST") != "" {
		events = 251 // a run is a system call, which is slow there
	}
	var drops, wholly, hopeless, unwanted, pairs int
	for i, text := range filters {
		var paths []string
		if i%7 == 3 {
			paths = []string{"/run/user", "@docker.sock"}
		}
		o, k := lowered(t, text, paths...)
		harnesses := make(map[string]*harness)
		for function, code := range k.functions() {
			harnesses[function] = newHarness(t, function, code)
		}
		whole := !slices.ContainsFunc(notDecided, func(word string) bool { return strings.Contains(text, word) })
		r := rand.New(rand.NewPCG(uint64(i), 7))
		for range events {
			e := someEvent(r, o, k)
			want, memory := e.keeps(), e.memory(t, fields)
			says := func(function string) bool { // yes, where it can't say no
				h := harnesses[function]
				if h == nil {
					return true
				}
				got := h.run(t, memory)
				if got != interpret(t, k.functions()[function], function, memory) {
					t.Fatalf("%s: %s says %v, in the test's interpreter it does not", text, function, got)
				}
				return got
			}
			got := says(keepFunction)
			if !got {
				drops++
			}
			if !got && want || whole && e.knowsAll() && got != want {
				t.Fatalf("%s: the kernel side says %v, user space %v, of\n%+v\n%+v\n%v", text, got, want, e.data, e.sockets, k.keep)
			}
			if whole && e.knowsAll() {
				wholly++
			}
			if !says(hopeFunction) {
				hopeless++
				if want {
					t.Fatalf("%s: the kernel side sees no hope for\n%+v\n%+v\n%v", text, e.data, e.sockets, k.hope)
				}
			}
			if e.knowsTasks(k) && !says(senderFunction) && (k.read == nil || !says(readerFunction)) {
				if unwanted++; k.read != nil {
					pairs++
				}
				if want {
					t.Fatalf("%s: the kernel side wants nothing from the sender of\n%+v\n%+v\n%v\n%v", text, e.data, e.sockets, k.from, k.read)
				}
			}
		}
	}
	t.Logf("%d filters, %d events left out, %d decided wholly, %d sockets hopeless, %d senders unwanted, %d of them for such readers", len(filters), drops, wholly, hopeless, unwanted, pairs)
	if len(filters) < 60 || drops < 1000 || wholly < 1000 || hopeless < 1000 || unwanted < 1000 || pairs < 500 {
		t.Error("too few to prove anything")
	}
}

// interpret runs a lowered function.
func interpret(t testing.TB, code asm.Instructions, function string, memory []byte) bool {
	t.Helper()
	at := make(map[string]int)
	for i, ins := range code {
		if ins.Symbol() != "" {
			at[ins.Symbol()] = i
		}
	}
	var r [11]uint64
	u64 := func(i int) uint64 { return binary.LittleEndian.Uint64(memory[i:]) }
	if function == keepFunction {
		r[1], r[2], r[3], r[4], r[5] = 0, fromAt, toAt, u64(verdictsAt), u64(verdictsAt+8)
	} else if function == senderFunction || function == readerFunction {
		r[1] = uint64(taskAt(function))
	} else {
		for i := range 5 {
			r[i+1] = u64(hopeAt + 8*i)
		}
	}
	for pc := 0; pc < len(code); pc++ {
		ins := code[pc]
		value := uint64(ins.Constant)
		if ins.OpCode.Class().IsJump() || ins.OpCode.Class().IsALU() {
			if ins.OpCode.Source() == asm.RegSource {
				value = r[ins.Src]
			}
		}
		dst := &r[ins.Dst]
		switch op := ins.OpCode; {
		case op.Class() == asm.LdXClass:
			var word [8]byte
			copy(word[:op.Size().Sizeof()], memory[int(r[ins.Src])+int(ins.Offset):])
			*dst = binary.LittleEndian.Uint64(word[:])
		case op.Class() == asm.LdClass:
			*dst = uint64(ins.Constant)
		case op.Class().IsALU():
			switch op.ALUOp() {
			case asm.Mov:
				*dst = value
			case asm.Or:
				*dst |= value
			case asm.And:
				*dst &= value
			case asm.RSh:
				*dst >>= value
			default:
				t.Fatalf("no interpretation of %v", ins)
			}
		case op.JumpOp() == asm.Exit:
			return r[0] != 0
		default:
			taken := map[asm.JumpOp]bool{
				asm.Ja: true, asm.JEq: *dst == value, asm.JNE: *dst != value, asm.JGT: *dst > value, asm.JGE: *dst >= value,
				asm.JLT: *dst < value, asm.JLE: *dst <= value, asm.JSet: *dst&value != 0, asm.JSLT: int64(*dst) < int64(value),
			}
			jump, known := taken[op.JumpOp()]
			if !known {
				t.Fatalf("no interpretation of %v", ins)
			}
			if jump {
				to, ok := at[ins.Reference()]
				if !ok || to <= pc {
					t.Fatalf("%v goes nowhere, or back", ins)
				}
				pc = to - 1
			}
		}
	}
	t.Fatal("the function has no end")
	return false
}

// FuzzKernelFilter: no expression, and no event, makes the kernel side leave
// out what user space would keep.
func FuzzKernelFilter(f *testing.F) {
	types, err := bpf.Types()
	if err != nil {
		f.Fatal(err)
	}
	fields, err := fieldOffsets(types)
	if err != nil {
		f.Fatal(err)
	}
	for i, text := range filters {
		f.Add(text, uint64(i))
	}
	f.Fuzz(func(t *testing.T, text string, seed uint64) {
		e, err := filter.Parse(text, filter.Lookup{})
		if err != nil {
			return
		}
		o := &Options{Filter: e}
		k := lowerFilter(o, fields)
		r := rand.New(rand.NewPCG(seed, 7))
		for range 31 {
			event := someEvent(r, o, k)
			memory := event.memory(t, fields)
			want := event.keeps()
			no := func(function string) bool {
				code := k.functions()[function]
				return code != nil && !interpret(t, code, function, memory)
			}
			if want && (no(keepFunction) || no(hopeFunction) || event.knowsTasks(k) && no(senderFunction) && (k.read == nil || no(readerFunction))) {
				t.Fatalf("%s: says no to\n%+v\n%+v\n%v", e, event.data, event.sockets, k.functions())
			}
		}
	})
}

// TestReplaceFunction: of a program only the function's body changes.
func TestReplaceFunction(t *testing.T) {
	spec, err := bpf.Load(bpf.Knobs{})
	if err != nil {
		t.Fatal(err)
	}
	_, k := lowered(t, "src comm curl and stream")
	before := make(map[string]asm.Instructions)
	for name, p := range spec.Programs {
		before[name] = p.Instructions
	}
	if err := k.install(spec); err != nil {
		t.Fatal(err)
	}
	changed := 0
	for name, p := range spec.Programs {
		old, now := functions(before[name]), functions(p.Instructions)
		if len(old) != len(now) {
			t.Errorf("%s: %d functions became %d", name, len(old), len(now))
		}
		for function, body := range k.functions() {
			if _, ok := old[function]; ok {
				old[function] = fmt.Sprint(body[1:])
				changed++
			}
		}
		for function, want := range old {
			if now[function] != want {
				t.Errorf("%s: %s became\n%s\nwant\n%s", name, function, now[function], want)
			}
		}
	}
	if changed < 10 {
		t.Errorf("%d functions changed", changed)
	}
}

// functions are the bodies of a program's functions, but for their first
// instructions.
func functions(program asm.Instructions) map[string]string {
	bodies := make(map[string]string)
	from := 0
	for i, ins := range program {
		if i > 0 && btf.FuncMetadata(&ins) != nil {
			bodies[program[from].Symbol()] = fmt.Sprint(program[from+1 : i])
			from = i
		}
	}
	bodies[program[from].Symbol()] = fmt.Sprint(program[from+1:])
	return bodies
}

// TestLongFilters: the verifier takes the longest filters that are lowered, and
// longer ones are left to user space.
func TestLongFilters(t *testing.T) {
	eachSet(t, func(t *testing.T, set string) {
		for part, n := range map[string]int{
			"comm name-number-%[1]d or ":                                          maxSteps,
			"(comm a%[1]d* or src uid %[1]d and not dst gid %[1]d) and ":          maxSteps / 3,
			"not (pid %[1]d and inode %[1]d and len > %[1]d and /run/x%[1]d) or ": 62,
		} {
			var text strings.Builder
			for i := range n {
				fmt.Fprintf(&text, part, i+1)
			}
			_, k := lowered(t, strings.TrimSuffix(strings.TrimSuffix(text.String(), " or "), " and "))
			if k.keep == nil {
				t.Fatalf("%s, %d times: is not lowered", part, n)
			}
			sym, err := loadSymbols(kernelSymbols[:])
			if err != nil {
				t.Fatal(err)
			}
			o := Options{Hooks: set, BufferSize: minBuffer}
			plan, err := newPlan(set, &o, sym, !countsSenders(sym))
			if err != nil {
				t.Fatal(err)
			}
			k.set(&plan.knobs)
			plan.filter = k
			p, err := plan.load()
			if plan.knobs.HoldCPU && isVerifier(err) { // as attachSet does
				plan.knobs.HoldCPU = false
				p, err = plan.load()
			}
			if err != nil {
				t.Fatalf("%s, %d times, %d instructions: %v", part, n, len(k.keep), err)
			}
			if err := p.close(); err != nil {
				t.Error(err)
			}
		}
		if _, k := lowered(t, strings.Repeat("pid 5 and ", maxSteps)+"pid 5"); k.keep != nil || len(k.steps) > 0 {
			t.Errorf("%d tests are lowered", len(k.steps))
		}
	})
}
