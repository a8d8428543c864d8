package capture

import (
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/sockcap/sockcap/bpf"
)

// A hook is one program and where it goes.
type hook struct {
	program string
	group   string // of a tracepoint
	target  string
	kind    string // "fentry", "kprobe", "kretprobe", "tracepoint", "raw"
}

// kernelSymbols are those that we ask kallsyms for.
var kernelSymbols = [...]string{
	"unix_stream_sendmsg", "unix_dgram_sendmsg", "unix_stream_sendpage", "queue_oob",
	"unix_stream_connect", "unix_release_sock", "skb_queue_purge", "skb_queue_purge_reason", "sock_wfree", "skb_queue_tail", "sock_def_readable",
	"skb_copy_datagram_from_iter", "skb_splice_from_iter", "skb_append_pagefrags", "unix_release",
	"__alloc_skb", "kmalloc_reserve", "__kmalloc_reserve",
	"bpf_preempt_disable", "trace_call_bpf_faultable",
}

// plan is what a hook set needs on this kernel.
type plan struct {
	set    string
	hooks  []hook
	knobs  bpf.Knobs
	family *Family // nil: none
	filter *kernelFilter
	sym    *symbols
	stock  func() (*stock, error) // what it is made from, each time anew
}

// newPlan lists the hooks of a set that this kernel has a place for.
func newPlan(set string, o *Options, sym *symbols, exact bool) (*plan, error) {
	p := &plan{set: set, sym: sym, knobs: bpf.Knobs{
		SelfPID:           uint32(os.Getpid()),
		IncludeSelf:       o.IncludeSelf,
		WakeupBytes:       uint64(o.BufferSize / 4),
		Snaplen:           o.snaplen(),
		PageSize:          uint32(os.Getpagesize()),
		ThreadSize:        uint32(max(16384, os.Getpagesize())),
		GCReorders:        !sym.hasStruct("unix_vertex"), // v6.10
		TakeOnRead:        set == hooksTracepoint,
		RequestDestructor: sym.address("sock_wfree"),
		FailedAt: sym.all("unix_stream_sendmsg", "unix_dgram_sendmsg", "queue_oob",
			"unix_stream_sendpage", "unix_stream_connect"),
		ReleaseAt: sym.all("unix_release_sock", "skb_queue_purge", "skb_queue_purge_reason"),
		AllocAt:   sym.all("__alloc_skb", "kmalloc_reserve", "__kmalloc_reserve"),
	}}
	p.stock = func() (*stock, error) { return newStock(o, sym.types) }
	if sym.stocks != nil {
		p.stock = sym.stocks.take
	}
	if o.Immediate {
		p.knobs.WakeupBytes = 0
	}
	var err error
	if p.filter, err = newKernelFilter(o); err != nil {
		return nil, err
	}
	p.filter.set(&p.knobs)
	if p.knobs.RequestDestructor == 0 {
		return nil, fmt.Errorf("sock_wfree: %w", errHidden)
	}
	switch set {
	case hooksFentry, hooksKprobe:
		p.knobs.Twins = set == hooksFentry && preemptible()
		p.knobs.HoldCPU = (p.knobs.Twins || sym.has("trace_call_bpf_faultable")) && sym.has("bpf_preempt_disable")
	case hooksTracepoint:
		p.knobs.ExactSenders = exact
		p.knobs.HoldCPU = sym.has("trace_call_bpf_faultable") && sym.has("bpf_preempt_disable")
	default:
		return nil, fmt.Errorf("no hook set %q", set)
	}
	if err := p.addTracepoints(sym); err != nil {
		return nil, err
	}
	if o.Family != nil {
		if err := p.addFamily(o.Family); err != nil {
			return nil, err
		}
	}
	if set != hooksTracepoint {
		p.hooks = append(p.hooks, sendHooks(set, sym)...)
	}
	return p, nil
}

// sendHooks are the hooks of the send side.
func sendHooks(kind string, sym *symbols) []hook {
	exit := "fexit"
	if kind == "kprobe" {
		exit = "kretprobe"
	}
	// A kprobe's program may have several places.
	of := func(family, what string) string {
		if kind == "fentry" {
			return "fentry_" + family + "_" + what
		}
		return "kprobe_" + what
	}
	hooks := []hook{
		{of("stream", "exit"), "", "unix_stream_sendmsg", exit},
		{of("dgram", "exit"), "", "unix_dgram_sendmsg", exit},
		{kind + "_queue", "", "skb_queue_tail", kind},
		{kind + "_readable", "", "sock_def_readable", kind},
		{kind + "_filled", "", "skb_copy_datagram_from_iter", exit},
		{kind + "_fill", "", "skb_copy_datagram_from_iter", kind},
	}
	if sym.has("skb_splice_from_iter") {
		spliced := "kprobe_filled"
		if kind == "fentry" {
			spliced = fmt.Sprintf("fentry_spliced%d", sym.parameters("skb_splice_from_iter"))
		}
		hooks = append(hooks,
			hook{spliced, "", "skb_splice_from_iter", exit},
			hook{kind + "_splice", "", "skb_splice_from_iter", kind})
	}
	// Later kernels call skb_append_pagefrags inside sendmsg too, but with the
	// skb that is taken anyway: its bytes would come twice.
	if sym.has("unix_stream_sendpage") {
		if kind == "fentry" {
			hooks = append(hooks, hook{"fentry_append", "", "skb_append_pagefrags", exit})
		} else {
			hooks = append(hooks,
				hook{"kprobe_appended", "", "skb_append_pagefrags", exit},
				hook{"kprobe_append", "", "skb_append_pagefrags", kind})
		}
	}
	// Last: a call that is seen to begin must be seen to end.
	return append(hooks,
		hook{of("stream", "enter"), "", "unix_stream_sendmsg", kind},
		hook{of("dgram", "enter"), "", "unix_dgram_sendmsg", kind})
}

// addTracepoints adds the hooks of the receive side: classic tracepoints, or
// raw ones where tracefs can't be had.
func (p *plan) addTracepoints(sym *symbols) error {
	dir, err := tracefs()
	if err != nil {
		p.rawTracepoints()
		return nil
	}
	consume, err := eventFields(dir, "skb", "consume_skb", "skbaddr")
	if err != nil {
		return err
	}
	kfree, err := eventFields(dir, "skb", "kfree_skb", "skbaddr", "location")
	if err != nil {
		return err
	}
	k := &p.knobs
	k.ConsumeSKB, k.ConsumeLocation = consume["skbaddr"], consume["location"]
	k.KfreeSKB, k.KfreeLocation = kfree["skbaddr"], kfree["location"]
	p.hooks = append(p.hooks,
		hook{"tracepoint_consume", "skb", "consume_skb", "tracepoint"},
		hook{"tracepoint_kfree", "skb", "kfree_skb", "tracepoint"})
	p.addLifecycle(dir, sym)
	if p.set != hooksTracepoint {
		return nil
	}
	copied, err := eventFields(dir, "skb", "skb_copy_datagram_iovec", "skbaddr")
	if err != nil {
		return err
	}
	k.CopySKB = copied["skbaddr"]
	p.hooks = append(p.hooks, hook{"tracepoint_copy", "skb", "skb_copy_datagram_iovec", "tracepoint"})
	return p.addSenders(dir, sym)
}

// sends are the system calls that may send on a socket.
var sends = [...]string{"write", "writev", "pwritev2", "sendto", "sendmsg"}

// sendsMany are those that may call sendmsg more than once.
var sendsMany = [...]string{"sendmmsg", "sendfile64", "splice"}

// addSenders adds what tells the tracepoint set who sent.
func (p *plan) addSenders(dir string, sym *symbols) error {
	k := &p.knobs
	ready, err := eventFields(dir, "sock", "sk_data_ready", "skaddr")
	switch {
	case err == nil:
		k.ReadySK = ready["skaddr"]
		p.hooks = append(p.hooks, hook{"tracepoint_ready", "sock", "sk_data_ready", "tracepoint"})
	case !k.ExactSenders || !errors.Is(err, fs.ErrNotExist):
		return err
	default: // before v6.3 only closing tells whose unread datagrams are purged
		p.syscall("enter_close", "sys_enter_close")
	}
	if k.ExactSenders {
		if sym.has("unix_stream_sendpage") {
			p.syscall("pages_sendfile64", "sys_enter_sendfile64")
			p.syscall("pages_splice", "sys_enter_splice")
		}
		return p.addAllocations(dir)
	}
	sent, err := eventFields(dir, "sock", "sock_send_length", "sk")
	if err != nil {
		return err
	}
	k.SentSK = sent["sk"]
	p.hooks = append(p.hooks, hook{"tracepoint_sent", "sock", "sock_send_length", "tracepoint"})
	for _, call := range sends {
		program := "enter_write"
		if call == "sendmsg" { // may pass descriptors
			program = "enter_sendmsg"
		}
		p.syscall(program, "sys_enter_"+call)
	}
	for _, call := range sendsMany {
		program := "enter_write"
		switch call {
		case "splice": // where it sends to is its third argument
			program = "enter_splice"
		case "sendmmsg":
			program = "enter_sendmmsg"
		}
		p.syscall(program, "sys_enter_"+call)
		p.syscall("exit_sendmmsg", "sys_exit_"+call)
	}
	return nil
}

// syscall adds a program at a system call's tracepoint. Several may share one.
func (p *plan) syscall(program, event string) {
	p.hooks = append(p.hooks, hook{program, "syscalls", event, "tracepoint"})
}

// addAllocations adds the tracepoints that see an skb being allocated.
func (p *plan) addAllocations(dir string) error {
	k := &p.knobs
	for _, event := range []string{"kmalloc", "kmalloc_node", "kmem_cache_alloc", "kmem_cache_alloc_node"} {
		fields, err := eventFields(dir, "kmem", event, "call_site", "ptr")
		if errors.Is(err, fs.ErrNotExist) {
			continue // v6.1 made one of two
		}
		if err != nil {
			return err
		}
		k.AllocSite, k.AllocPointer = fields["call_site"], fields["ptr"]
		p.hooks = append(p.hooks, hook{"tracepoint_" + event, "kmem", event, "tracepoint"})
	}
	return nil
}

// rawTracepoints is addTracepoints without tracefs. Which arguments a raw
// tracepoint has is in BTF.
func (p *plan) rawTracepoints() {
	consume := "raw_consume"
	if p.sym.arguments("consume_skb") > 1 {
		consume = "raw_consume_at"
	}
	p.hooks = append(p.hooks,
		hook{consume, "", "consume_skb", "raw"},
		hook{"raw_kfree", "", "kfree_skb", "raw"})
	if p.set != hooksTracepoint {
		return
	}
	p.hooks = append(p.hooks, hook{"raw_copy", "", "skb_copy_datagram_iovec", "raw"})
	p.knobs.ExactSenders = true // the system calls have no raw tracepoints of their own
	for _, event := range []string{"kmalloc", "kmalloc_node", "kmem_cache_alloc", "kmem_cache_alloc_node"} {
		if p.sym.arguments(event) > 0 {
			p.hooks = append(p.hooks, hook{"raw_" + event, "", event, "raw"})
		}
	}
}
