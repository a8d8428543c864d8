package capture

import (
	"os"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sockcap/sockcap/capture/snapshot"
)

// TestLookAhead: a process that was looked at ahead is not looked at again, as
// long as it is the same.
func TestLookAhead(t *testing.T) {
	pid := uint32(os.Getpid())
	self := &snapshot.Socket{Holders: []snapshot.Holder{{Process: &snapshot.Process{PID: pid}}}}
	a := &surroundings{links: []snapshot.Link{{Client: self, Server: self}, {Server: &snapshot.Socket{}}}}
	a.lookAhead(nil, nil)
	if len(a.holders) != 1 || a.holders[pid] == nil {
		t.Fatalf("%+v, want one, of %d", a.holders, pid)
	}
	exe, err := os.Readlink("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	looks := 0
	p := newProcesses(nil)
	p.look = func(uint32) *process { looks++; return nil }
	p.foresee(a.holders)
	p.foresee(map[uint32]*process{1: nil})
	if got := p.since(pid, uint64(bootTime())); got == nil || got.place.Exe != exe || looks != 0 {
		t.Errorf("%+v after %d looks, want %s after none", got, looks, exe)
	}
	p.started = func(uint32) time.Duration { return a.holders[pid].start + 1 } // another one
	if got := p.since(pid, uint64(bootTime())); got != nil || looks != 1 {
		t.Errorf("%+v after %d looks, want none after one", got, looks)
	}
	ended := make(chan struct{})
	close(ended)
	a.lookAhead(ended, nil)
	if len(a.holders) != 0 {
		t.Errorf("%+v after the end", a.holders)
	}
}

// TestKept: capabilities are as they were after it was found out which are to
// be kept, and those to the end are not only for the beginning.
func TestKept(t *testing.T) {
	before := lacking(unix.CAP_BPF, unix.CAP_SYS_PTRACE)
	toEnd, atFirst := Kept()
	if toEnd&(1<<unix.CAP_SYS_PTRACE) == 0 || toEnd&(1<<unix.CAP_SYS_ADMIN) != 0 || toEnd&atFirst != 0 {
		t.Errorf("%#x to the end, %#x at first", toEnd, atFirst)
	}
	if after := lacking(unix.CAP_BPF, unix.CAP_SYS_PTRACE); after != before {
		t.Errorf("lacking %q, before %q", after, before)
	}
}
