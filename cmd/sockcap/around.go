package main

import (
	"bufio"
	"io/fs"
	"os"
	"slices"
	"strconv"
	"strings"
)

// What a shell may be offered of this machine. It is for convenience: what
// can't be read is left out, and so are names that a shell, a terminal or the
// filter language would take for something else.

// sockets is the addresses of /proc/net/unix, without repetition and sorted. A
// zero byte in an abstract one is an @ there, so with two it is anyone's guess.
func (h *host) sockets() []string {
	file, err := h.proc.Open("net/unix")
	if err != nil {
		return nil
	}
	defer file.Close()
	var all []string
	lines := bufio.NewScanner(file)
	for lines.Scan() {
		_, address, ok := strings.Cut(afterFields(lines.Text(), 6), " ")
		if ok && isPlain(address) && strings.LastIndexByte(address, '@') <= 0 &&
			(address[0] == '/' || address[0] == '@') {
			all = append(all, address)
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// afterFields is what follows the first n fields of a line.
func afterFields(line string, n int) string {
	for range n {
		line = strings.TrimLeft(line, " ")
		_, line, _ = strings.Cut(line, " ")
	}
	return strings.TrimLeft(line, " ")
}

// comms is the names of the processes that there are.
func (h *host) comms() []string {
	var all []string
	for _, pid := range h.pids() {
		comm, err := fs.ReadFile(h.proc, pid+"/comm")
		if name := strings.TrimSuffix(string(comm), "\n"); err == nil && isPlain(name) && name[0] != '-' {
			all = append(all, name)
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// pids is the processes that there are.
func (h *host) pids() []string {
	entries, err := fs.ReadDir(h.proc, ".")
	if err != nil {
		return nil
	}
	var all []string
	for _, e := range entries {
		if _, err := strconv.ParseUint(e.Name(), 10, 32); err == nil {
			all = append(all, e.Name())
		}
	}
	return all
}

// accounts is the names in a file like passwd(5).
func accounts(file string) func() []string {
	return func() []string {
		text, err := os.ReadFile(file)
		if err != nil {
			return nil
		}
		var all []string
		for line := range strings.Lines(string(text)) {
			if name, _, ok := strings.Cut(line, ":"); ok && isPlain(name) {
				all = append(all, name)
			}
		}
		return all
	}
}
