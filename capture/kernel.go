package capture

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/sockcap/sockcap/bpf"
)

// symbols are the kernel's functions by name, with where each ends.
type symbols struct {
	ranges map[string][]bpf.Range // compiler's clones (f.isra.0, f.cold) under f
}

// readSymbols reads the text symbols of /proc/kallsyms that wanted names. An
// error says that addresses are hidden.
func readSymbols(r io.Reader, wanted []string) (*symbols, error) {
	s := &symbols{ranges: make(map[string][]bpf.Range)}
	type found struct {
		name string
		from uint64
	}
	var hits []found
	var all []uint64
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		line := lines.Text()
		address, rest, ok := strings.Cut(line, " ")
		if !ok || len(rest) < 3 || (rest[0] != 't' && rest[0] != 'T') {
			continue
		}
		from, err := strconv.ParseUint(address, 16, 64)
		if err != nil {
			continue
		}
		all = append(all, from)
		name, _, _ := strings.Cut(rest[2:], "\t") // "\t[module]"
		base, _, _ := strings.Cut(name, ".")
		if slices.Contains(wanted, base) {
			hits = append(hits, found{base, from})
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
