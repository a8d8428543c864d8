package capture

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
)

// maxActive is how many tasks may be inside a function with a kretprobe; what
// goes beyond is not seen to return, which costs nothing but memory.
const maxActive = 4096

// returnProbe is a kretprobe in tracefs' list, where alone the kernel takes
// maxActive. Who made it need not be able to open that list any more when it is
// to go: a session may have given its rights up meanwhile.
type returnProbe struct {
	link.Link
	group string   // what the name of its group begins with, and no other's
	list  *os.File // kprobe_events
}

// attachReturn attaches a program where a function returns.
func attachReturn(target string, prog *ebpf.Program) (link.Link, error) {
	if r, err := listReturn(target, prog); err == nil {
		return r, nil
	}
	return link.Kretprobe(target, prog, nil) // for as many tasks as the kernel likes
}

func listReturn(target string, prog *ebpf.Program) (link.Link, error) {
	dir, err := tracefs()
	if err != nil {
		return nil, err
	}
	list, err := os.OpenFile(filepath.Join(dir, "kprobe_events"), os.O_RDWR|os.O_APPEND, 0)
	if err != nil {
		return nil, err
	}
	group := fmt.Sprintf("sockcap_%016x", rand.Uint64())
	l, err := link.Kretprobe(target, prog, &link.KprobeOptions{RetprobeMaxActive: maxActive, TraceFSPrefix: group})
	if err != nil {
		list.Close()
		return nil, err
	}
	return &returnProbe{l, group, list}, nil
}

// Close detaches the program and takes the probe out of the list.
func (r *returnProbe) Close() error {
	err := r.Link.Close()
	if errors.Is(err, fs.ErrPermission) { // detached, but still in the list
		err = r.remove()
	}
	return errors.Join(err, r.list.Close())
}

// maxList bounds the list, which others add to.
const maxList = 16 << 20

// remove takes it out by the list that was opened in time. Its lines begin as
// r4096:GROUP/EVENT does.
func (r *returnProbe) remove() error {
	lines, err := io.ReadAll(io.NewSectionReader(r.list, 0, maxList))
	if err != nil {
		return &Error{Op: "read", Name: r.list.Name(), Err: err}
	}
	for line := range strings.Lines(string(lines)) {
		probe, _, _ := strings.Cut(line, " ")
		_, name, _ := strings.Cut(probe, ":")
		if !strings.HasPrefix(name, r.group+"_") {
			continue
		}
		if _, err := r.list.WriteString("-:" + name + "\n"); err != nil {
			return &Error{Op: "remove probe", Name: name, Err: err}
		}
	}
	return nil
}
