package capture

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/btf"
	"golang.org/x/sys/unix"

	"github.com/sockcap/sockcap/capture/snapshot"
)

// attachBest attaches the hook set that o asks for, or the first that works.
func attachBest(o *Options) (*programs, error) {
	if lacking(unix.CAP_BPF, unix.CAP_PERFMON) != "" {
		return nil, &Error{Op: "capture", Hint: grant(), Err: fs.ErrPermission}
	}
	if ns, err := os.Readlink("/proc/self/ns/pid"); err == nil && ns != fmt.Sprintf("pid:[%d]", initialPIDNS) {
		return nil, &Error{Op: "capture", Hint: "run it in the host's (docker run --pid=host)", Err: errors.New("not in the initial pid namespace")}
	}
	if refusesBPF() {
		return nil, &Error{Op: "capture", Hint: callCure(), Err: errNoBPF}
	}
	sym, err := readKernel(o)
	if err != nil {
		return nil, err
	}
	defer sym.stocks.close()
	sets := hookSets()
	if o.Hooks != "" && o.Hooks != "auto" {
		sets = []string{o.Hooks}
	}
	var refused []error
	for _, set := range sets {
		p, err := attachSet(set, o, sym)
		if err == nil {
			return p, nil
		}
		if isVerifier(err) {
			return nil, err
		}
		refused = append(refused, refine(set, err))
	}
	if len(refused) == 1 {
		return nil, &Error{Op: "capture by", Name: sets[0], Hint: hint(refused), Err: refused[0]}
	}
	return nil, &Error{Op: "capture", Hint: hint(refused), Err: refusals(refused)}
}

// readKernel reads this kernel's symbols, and meanwhile its types and our
// programs, and makes maps. The caller closes the stocks.
func readKernel(o *Options) (*symbols, error) {
	types := btf.NewCache()
	read := make(chan error, 1)
	go func() {
		_, err := types.Kernel()
		read <- err
	}()
	stocks := stockUp(func() (*stock, error) { return newStock(o, types) })
	sym, err := loadSymbols(kernelSymbols[:])
	if err := <-read; err != nil {
		stocks.close()
		return nil, &Error{Op: "read kernel types", Hint: "a kernel with CONFIG_DEBUG_INFO_BTF=y has /sys/kernel/btf/vmlinux", Err: err}
	}
	if err != nil {
		stocks.close()
		h := "sysctl kernel.kptr_restrict=1"
		if lacking(unix.CAP_SYSLOG) != "" {
			h = grant()
		}
		return nil, &Error{Op: "read kernel symbols", Hint: h, Err: err}
	}
	sym.types, sym.stocks = types, stocks
	return sym, nil
}

// refusals is why no hook set could be used, in one line.
type refusals []error

func (r refusals) Error() string {
	text := "no hook set can be used here"
	for _, err := range r {
		text += "; " + err.Error()
	}
	return text
}

func (r refusals) Unwrap() []error { return r }

// reason is an error in a user's words.
type reason struct {
	text string
	err  error
}

func (r *reason) Error() string { return r.text }
func (r *reason) Unwrap() error { return r.err }

// refine says why a set was refused, where the kernel's error says too little.
func refine(set string, err error) error {
	locked, unknown := lockedDown(os.DirFS("/"))
	switch {
	case isParanoid(err):
		return &reason{paranoidCause(), err}
	case set == hooksKprobe && errors.Is(err, fs.ErrNotExist):
		return &reason{"this kernel has no kprobes", err}
	case set != hooksTracepoint && locked && errors.Is(err, unix.EPERM):
		return &reason{"the kernel is locked down", err}
	case set != hooksTracepoint && unknown != nil && errors.Is(err, unix.EPERM):
		return &reason{"the kernel refuses such programs, as when it is locked down", err}
	case set == hooksFentry && errors.Is(err, ebpf.ErrNotSupported):
		return &reason{"this kernel has no fentry", err}
	}
	return err
}

// hint is the cure for what the sets were refused for, if it is known.
func hint(refused []error) string {
	if slices.ContainsFunc(refused, isParanoid) && lacking(needed[:]...) == "" {
		return paranoidCure
	}
	for _, err := range refused {
		var r *reason
		if errors.As(err, &r) {
			if len(refused) == 1 {
				return "let sockcap choose: -i auto"
			}
			continue // no cure for this set, maybe one for another
		}
		if !errors.Is(err, unix.EPERM) && !errors.Is(err, unix.EACCES) {
			return ""
		}
	}
	if lacking(needed[:]...) != "" {
		return grant()
	}
	return cure("docker run -v /sys/kernel/tracing:/sys/kernel/tracing:ro", "needs capability SYS_ADMIN to mount tracefs; under lockdown use -i tracepoint")
}

// attachSet attaches one hook set and calibrates it.
func attachSet(set string, o *Options, sym *symbols) (*programs, error) {
	if err := probe(set, sym.types); err != nil {
		return nil, err
	}
	exact := o.Senders == "exact" || !countsSenders(sym)
	plan, err := newPlan(set, o, sym, exact)
	if err != nil {
		return nil, &Error{Op: "attach", Name: set, Err: err}
	}
	p, err := plan.load()
	if plan.knobs.HoldCPU && isVerifier(err) {
		// Up to v6.14 who forbids preemption may call no global function.
		plan.knobs.HoldCPU = false
		p, err = plan.load()
	}
	if err != nil {
		return nil, err
	}
	err = p.calibrate()
	if err == nil {
		err = p.coll.Variables["armed"].Set(true)
	}
	if err != nil {
		return nil, errors.Join(err, p.close())
	}
	return p, nil
}

// countsSenders says whether the tracepoint set can learn who sent by counting:
// since v6.3, and without sendpage, for which sk_data_ready tells of more units
// than there are.
func countsSenders(sym *symbols) bool {
	return sym.arguments("sock_send_length") > 0 && !sym.has("unix_stream_sendpage")
}

// Set is what Sets tells of one hook set.
type Set struct {
	Name   string   // "fentry", "kprobe" or "tracepoint"
	Err    error    // why it can't be used here, nil if it can
	Chosen bool     // what "auto" would take
	Limits []string // what it does not see here, one clause each
}

// Sets probes which hook sets this kernel allows.
func Sets() []Set {
	sets := make([]Set, 0, 3)
	chosen := false
	for _, name := range hookSets() {
		s := Set{Name: name}
		o := Options{Hooks: name, BufferSize: minBuffer}
		var p *programs
		var why *Error
		if p, s.Err = attachBest(&o); errors.As(s.Err, &why) && why.Name == name {
			s.Err = why.Err
		}
		if s.Err == nil {
			s.Err = p.close()
			s.Limits = limits(name)
			s.Chosen = !chosen
			chosen = true
		}
		sets = append(sets, s)
	}
	return sets
}

// Candidates names the hook sets for which this kernel has what they need, the
// one that "auto" tries first in front. It only looks, in milliseconds and
// without privileges: that a set is there does not say that it will attach,
// which [Sets] finds out.
func Candidates() []string { return candidates(os.DirFS("/"), hookSets()) }

func candidates(root fs.FS, sets []string) []string {
	has := func(name string) bool {
		_, err := fs.Stat(root, name)
		return err == nil
	}
	if !has("sys/kernel/btf/vmlinux") {
		return nil
	}
	locked, _ := lockedDown(root)
	var names []string
	for _, set := range sets {
		switch {
		case set != hooksTracepoint && locked:
		case set == hooksKprobe && !has("sys/bus/event_source/devices/kprobe"):
		case set == hooksFentry && !has("proc/sys/kernel/ftrace_enabled"):
		default:
			names = append(names, set)
		}
	}
	return names
}

// lockedDown reports whether the kernel is locked down; the error says that it
// can't be known, as where securityfs is not mounted.
func lockedDown(root fs.FS) (bool, error) {
	mode, err := fs.ReadFile(root, "sys/kernel/security/lockdown")
	return strings.Contains(string(mode), "[integrity]") || strings.Contains(string(mode), "[confidentiality]"), err
}

// limits says what a set does not see on this kernel.
func limits(set string) []string {
	l := append(lifeLimits(set), snapshotLimits(snapshot.Ask())...)
	if set != hooksTracepoint {
		if set == hooksFentry && preemptible() {
			l = append(l, "this kernel may preempt and so skip programs: each runs twice, what both miss is counted")
		}
		return l
	}
	l = append(l, "time is that of reading, not of sending", "descriptors passed with what splice reads are not seen")
	sym, err := loadSymbols(kernelSymbols[:])
	if err == nil && sym.hasUnixIter() {
		l = append(l, "unread data shows after a second; that of other network namespaces when it is read, or its socket closed")
	} else {
		l = append(l, "unread data shows when its socket is closed")
	}
	if err != nil || !countsSenders(sym) {
		return append(l, "the sender is told by a tracepoint that taxes all allocations",
			"of passed descriptors it is not told which number they had in the sender")
	}
	return append(l, "of descriptors passed by io_uring, or of one file under several numbers, it is not told which number they had in the sender",
		"the sender is marked uncertain where several tasks were inside a send (--senders exact: never)")
}
