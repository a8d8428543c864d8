package capture

import (
	"errors"
	"slices"
	"strings"
	"sync"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"github.com/cilium/ebpf/ringbuf"

	"github.com/sockcap/sockcap/bpf"
)

// The hook sets, as -i takes them.
const (
	hooksFentry     = "fentry"
	hooksKprobe     = "kprobe"
	hooksTracepoint = "tracepoint"
)

// programs is what was loaded and attached.
type programs struct {
	set   string
	coll  *ebpf.Collection
	ring  *ringbuf.Reader
	links []attached

	filter *kernelFilter

	skipped     uint64 // missed by what is detached
	skippedLife uint64
	skippedCopy uint64
	iter        *link.Iter
}

// detach ends the programs' work; what they counted can still be read. First
// goes what was attached last.
func (p *programs) detach() error {
	errs := make([]error, len(p.links))
	for i, l := range slices.Backward(p.links) {
		if l.kind != "tracepoint" {
			errs[i] = l.Close()
		}
	}
	var all sync.WaitGroup
	for i, l := range p.links {
		if l.kind == "tracepoint" {
			all.Go(func() { errs[i] = l.Close() })
		}
	}
	all.Wait()
	p.skipped, p.skippedLife, p.skippedCopy = p.missed(), p.missedLife(), p.missedCopy()
	p.links = nil
	return errors.Join(errs...)
}

func (p *programs) close() error {
	err := p.detach()
	if p.iter != nil {
		err = errors.Join(err, p.iter.Close())
		p.iter = nil
	}
	p.coll.Close()
	return errors.Join(err, p.ring.Close())
}

// load puts the plan's programs into the kernel and attaches them.
func (p *plan) load() (*programs, error) {
	stock, err := p.prepare()
	if err != nil {
		return nil, err
	}
	return p.loadStock(stock)
}

// prepare takes a stock and makes it the plan's.
func (p *plan) prepare() (*stock, error) {
	stock, err := p.stock()
	if err != nil {
		return nil, &Error{Op: "load programs", Name: p.set, Err: err}
	}
	if err := p.fit(stock.spec); err != nil {
		stock.close()
		return nil, err
	}
	return stock, nil
}

// fit leaves of the programs those that the plan attaches, with its knobs and its
// filter in them.
func (p *plan) fit(spec *ebpf.CollectionSpec) error {
	for name := range spec.Programs {
		wanted := name == iterWaiting && p.withIter() ||
			slices.ContainsFunc(p.hooks, func(h hook) bool { return h.program == name })
		if !wanted {
			delete(spec.Programs, name)
		}
	}
	if err := p.knobs.Set(spec); err != nil {
		return &Error{Op: "load programs", Err: err}
	}
	if err := p.filter.install(spec); err != nil {
		return &Error{Op: "load filter", Err: err}
	}
	return nil
}

// withIter says whether unread data is to be shown, and can be.
func (p *plan) withIter() bool { return p.set == hooksTracepoint && p.sym.hasUnixIter() }

// loadStock takes the stock, whatever comes of it.
func (p *plan) loadStock(stock *stock) (*programs, error) {
	hooks := p.hooks
	if p.knobs.Twins {
		hooks = p.twins(stock.spec)
	}
	if err := stock.loadPrograms(p.sym.types); err != nil {
		stock.close()
		return nil, &Error{Op: "load programs", Name: p.set, Err: err}
	}
	loaded := &programs{set: p.set, coll: stock.coll, ring: stock.ring, filter: p.filter}
	if p.family != nil {
		if err := loaded.adopt(p.family); err != nil {
			return nil, errors.Join(err, loaded.close())
		}
	}
	if p.withIter() {
		var err error
		if loaded.iter, err = link.AttachIter(link.IterOptions{Program: loaded.coll.Programs[iterWaiting]}); err != nil {
			return nil, errors.Join(&Error{Op: "attach", Name: "iter/unix", Err: err}, loaded.close())
		}
	}
	if err := loaded.attach(hooks); err != nil {
		return nil, errors.Join(err, loaded.close())
	}
	return loaded, nil
}

// attach attaches the hooks in their order, but tracepoints, which come first
// and of which each waits for the kernel, all at once.
func (p *programs) attach(hooks []hook) error {
	links := make([]link.Link, len(hooks))
	errs := make([]error, len(hooks))
	one := func(i int) {
		h := hooks[i]
		if p.coll.Programs[h.program] == nil {
			errs[i] = &Error{Op: "attach", Name: h.program, Err: errors.New("no such program")}
			return
		}
		var err error
		if links[i], err = attach(h, p.coll.Programs[h.program]); err != nil {
			errs[i] = &Error{Op: "attach", Name: h.kind + "/" + h.target, Err: err}
		}
	}
	var all sync.WaitGroup
	for i, h := range hooks {
		if h.kind == "tracepoint" {
			all.Go(func() { one(i) })
		}
	}
	all.Wait()
	for i, h := range hooks {
		if h.kind != "tracepoint" && errors.Join(errs...) == nil {
			one(i)
		}
	}
	for i, l := range links {
		if l != nil && errs[i] == nil {
			p.links = append(p.links, attached{l, hooks[i]})
		}
	}
	return errors.Join(errs...)
}

// attached is one program in place.
type attached struct {
	link.Link
	hook
}

// twinSuffix is what the second of two equal programs has after its name.
const twinSuffix = "_twin"

// twins gives the plan's hooks with the fentry and fexit programs doubled: see
// second_twin in send.h.
func (p *plan) twins(spec *ebpf.CollectionSpec) []hook {
	hooks := slices.Clone(p.hooks)
	for _, h := range p.hooks {
		if h.kind != "fentry" && h.kind != "fexit" || h.program == "fentry_append" {
			continue // what sendpage appends has no call to tell the second twin
		}
		spec.Programs[h.program+twinSuffix] = spec.Programs[h.program].Copy()
		h.program += twinSuffix
		hooks = append(hooks, h)
	}
	return hooks
}

// iterWaiting is the program that shows unread data.
const iterWaiting = "iter_waiting"

func attach(h hook, prog *ebpf.Program) (link.Link, error) {
	switch h.kind {
	case "fentry", "fexit":
		return link.AttachTracing(link.TracingOptions{Program: prog})
	case "kprobe":
		return link.Kprobe(h.target, prog, nil)
	case "kretprobe":
		return attachReturn(h.target, prog)
	case "raw":
		return link.AttachRawTracepoint(link.RawTracepointOptions{Name: h.target, Program: prog})
	default:
		return link.Tracepoint(h.group, h.target, prog, nil)
	}
}

// missed is how often the kernel skipped a program that may have been about
// to see data. Of twins both must have been skipped. Programs at kprobes and
// classic tracepoints are left out: they cannot be preempted, so what is counted
// of them are interrupts that find one running, in which no AF_UNIX skb is
// queued or freed (48 in 494,392 units beside downloads, of which none was lost).
// What is not told apart from that: a task that is preempted inside a bpf
// system call makes the kernel skip them on its CPU (bpf_disable_instrumentation
// on a kernel that preempts anywhere). Those of system calls see no data: for
// what follows when they are skipped (v7.1) see doubt_senders in senders.h.
func (p *programs) missed() uint64 {
	n := p.skipped
	for _, l := range p.links {
		switch {
		case l.kind != "fentry" && l.kind != "fexit" && l.kind != "raw" || strings.HasSuffix(l.program, twinSuffix):
		case l.program == "raw_syscall" || l.program == "raw_exit" || l.program == rawCopy: // nothing is lost by them alone
		case p.coll.Programs[l.program+twinSuffix] != nil:
			n += min(p.misses(l.program), p.misses(l.program+twinSuffix))
		default:
			n += p.misses(l.program)
		}
	}
	return n
}

func (p *programs) misses(name string) uint64 {
	st, err := p.coll.Programs[name].Stats()
	if err != nil {
		return 0
	}
	return st.RecursionMisses
}

// variable reads a global of the programs; 0 if it can't be read.
func (p *programs) variable(name string) uint64 {
	var n uint64
	if v := p.coll.Variables[name]; v != nil {
		if v.Get(&n) != nil {
			return 0
		}
	}
	return n
}

// sleep says whether the next record is to wake the reader; false if it can't.
func (p *programs) sleep(yes bool) bool {
	v := p.coll.Variables["reader_sleeps"]
	return v != nil && v.Set(yes) == nil
}

// counters reads the programs' counters, as one snapshot.
func (p *programs) counters() [bpf.Counters]uint64 {
	var c [bpf.Counters]uint64
	if p == nil || p.coll == nil { // a session without a kernel side
		return c
	}
	if v := p.coll.Variables["counters"]; v != nil {
		v.Get(&c)
	}
	var spread [bpf.Spread][8]uint64
	if v := p.coll.Variables["spread"]; v != nil && v.Get(&spread) == nil {
		for _, one := range spread {
			for i, n := range one {
				if at := int(bpf.CountUnits) + i; at < len(c) {
					c[at] += n
				}
			}
		}
	}
	return c
}

// hookSets is the order in which auto tries them.
func hookSets() []string {
	if preemptible() {
		// A task preempted inside an fentry program makes others skip it.
		return []string{hooksKprobe, hooksFentry, hooksTracepoint}
	}
	return []string{hooksFentry, hooksKprobe, hooksTracepoint}
}

// isVerifier says whether the verifier refused a program: a mistake of ours,
// not a kernel that lacks something.
func isVerifier(err error) bool {
	var v *ebpf.VerifierError
	return errors.As(err, &v) && !strings.Contains(v.Error(), "unknown func")
}
