package capture

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/cilium/ebpf/btf"
	"golang.org/x/sys/unix"

	"github.com/sockcap/sockcap/bpf"
)

// symbols are the kernel's functions by name, with where each ends.
type symbols struct {
	ranges map[string][]bpf.Range // compiler's clones (f.isra.0, f.cold) under f
	types  *btf.Cache             // and its types, which take long to read

	stocks *stocks // our programs and maps, which do so too; nil: none are made ahead
}

// readSymbols reads the text symbols of /proc/kallsyms that wanted names. An
// error says that addresses are hidden.
func readSymbols(r io.Reader, wanted []string) (*symbols, error) {
	s := &symbols{ranges: make(map[string][]bpf.Range), types: btf.NewCache()}
	type found struct {
		name string
		from uint64
	}
	var hits []found
	var all []uint64
	lines := bufio.NewScanner(r)
	for lines.Scan() { // 150,000 of them, so without a string for each
		address, rest, ok := bytes.Cut(lines.Bytes(), []byte(" "))
		if !ok || len(rest) < 3 || (rest[0] != 't' && rest[0] != 'T') {
			continue
		}
		from, ok := parseHex(address)
		if !ok {
			continue
		}
		all = append(all, from)
		name, _, _ := bytes.Cut(rest[2:], []byte("\t")) // "\t[module]"
		base, _, _ := bytes.Cut(name, []byte("."))
		if i := slices.Index(wanted, string(base)); i >= 0 {
			hits = append(hits, found{wanted[i], from})
		}
	}
	if err := lines.Err(); err != nil {
		return nil, err
	}
	slices.Sort(all)
	for _, h := range hits {
		if h.from == 0 {
			return nil, errHidden
		}
		i, _ := slices.BinarySearch(all, h.from+1)
		to := h.from + 4096
		if i < len(all) {
			to = all[i]
		}
		s.ranges[h.name] = append(s.ranges[h.name], bpf.Range{From: h.from, To: to})
	}
	return s, nil
}

// parseHex reads an address of at most 16 digits.
func parseHex(text []byte) (n uint64, ok bool) {
	for _, c := range text {
		switch {
		case '0' <= c && c <= '9':
			c -= '0'
		case 'a' <= c && c <= 'f':
			c -= 'a' - 10
		default:
			return 0, false
		}
		n = n<<4 | uint64(c)
	}
	return n, 0 < len(text) && len(text) <= 16
}

var errHidden = errors.New("the kernel hides its symbols")

// loadSymbols reads this kernel's.
func loadSymbols(wanted []string) (*symbols, error) {
	f, err := os.Open("/proc/kallsyms")
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return readSymbols(f, wanted)
}

func (s *symbols) has(name string) bool { return len(s.ranges[name]) > 0 }

// address is where a function begins, 0 if there is none.
func (s *symbols) address(name string) uint64 {
	if !s.has(name) {
		return 0
	}
	return s.ranges[name][0].From
}

func (s *symbols) all(names ...string) []bpf.Range {
	var r []bpf.Range
	for _, n := range names {
		r = append(r, s.ranges[n]...)
	}
	return r
}

// tracefs finds the mounted tracefs, or mounts it where distributions do.
func tracefs() (string, error) {
	const usual = "/sys/kernel/tracing"
	for _, dir := range []string{usual, "/sys/kernel/debug/tracing"} {
		var st unix.Statfs_t
		if unix.Statfs(dir, &st) == nil && st.Type == unix.TRACEFS_MAGIC {
			return dir, nil
		}
	}
	if err := unix.Mount("tracefs", usual, "tracefs", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, ""); err != nil {
		return "", fmt.Errorf("mount tracefs: %w", err)
	}
	return usual, nil
}

// eventFields gives the offset of each field of a classic tracepoint, from its
// format file, among them those that we need; fs.ErrNotExist if this kernel has no such tracepoint.
func eventFields(dir, group, event string, need ...string) (map[string]uint32, error) {
	text, err := os.ReadFile(filepath.Join(dir, "events", group, event, "format"))
	if err != nil {
		return nil, err
	}
	fields := parseFormat(string(text))
	for _, name := range need {
		if _, ok := fields[name]; !ok {
			return nil, fmt.Errorf("tracepoint %s:%s has no field %s", group, event, name)
		}
	}
	return fields, nil
}

// parseFormat reads lines as "field:void * skbaddr;	offset:8;	size:8; ...".
func parseFormat(text string) map[string]uint32 {
	fields := make(map[string]uint32)
	for line := range strings.Lines(text) {
		declaration, rest, ok := strings.Cut(strings.TrimSpace(line), ";")
		if !ok || !strings.HasPrefix(declaration, "field:") {
			continue
		}
		words := strings.Fields(declaration)
		name := strings.TrimLeft(words[len(words)-1], "*")
		_, offset, ok := strings.Cut(rest, "offset:")
		if !ok {
			continue
		}
		offset, _, _ = strings.Cut(offset, ";")
		if n, err := strconv.ParseUint(offset, 10, 32); err == nil {
			fields[name] = uint32(n)
		}
	}
	return fields
}

// preemptible says whether tasks may be preempted inside the kernel, so that
// fentry programs can be skipped. Unless the kernel says no, it may.
func preemptible() bool {
	var name unix.Utsname
	if unix.Uname(&name) == nil && !strings.Contains(unix.ByteSliceToString(name.Version[:]), "PREEMPT") {
		return false
	}
	mode, err := os.ReadFile("/sys/kernel/debug/sched/preempt")
	if err != nil {
		return true
	}
	return !strings.Contains(string(mode), "(none)") && !strings.Contains(string(mode), "(voluntary)")
}

// hasStruct says whether the kernel has a struct.
func (s *symbols) hasStruct(name string) bool {
	spec, err := s.types.Kernel()
	if err != nil {
		return false
	}
	var t *btf.Struct
	return spec.TypeByName(name, &t) == nil
}

// hasUnixIter says whether the kernel can iterate over Unix sockets (v5.16).
func (s *symbols) hasUnixIter() bool { return s.hasStruct("bpf_iter__unix") }

// parameters is how many a kernel function takes, 0 if BTF does not tell.
func (s *symbols) parameters(function string) int {
	spec, err := s.types.Kernel()
	if err != nil {
		return 0
	}
	var f *btf.Func
	if spec.TypeByName(function, &f) != nil {
		return 0
	}
	proto, ok := f.Type.(*btf.FuncProto)
	if !ok {
		return 0
	}
	return len(proto.Params)
}

// arguments is how many arguments a raw tracepoint's programs get, 0 if this
// kernel has no such tracepoint.
func (s *symbols) arguments(event string) int {
	spec, err := s.types.Kernel()
	if err != nil {
		return 0
	}
	var t *btf.Typedef
	if spec.TypeByName("btf_trace_"+event, &t) != nil {
		return 0
	}
	if p, ok := t.Type.(*btf.Pointer); ok {
		if f, ok := p.Target.(*btf.FuncProto); ok {
			return len(f.Params) - 1 // the first is the tracepoint's own
		}
	}
	return 0
}
