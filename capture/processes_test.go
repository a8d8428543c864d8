package capture

import (
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/sockcap/sockcap/bpf"
	"github.com/sockcap/sockcap/pcapng"
)

// toldOf is what the kernel side says of a process.
func toldOf(pid, number uint32, exe, group string) *bpf.Process {
	reversed := func(path string) []byte {
		var names []byte
		parts := strings.Split(path, "/")
		for i := len(parts) - 1; i > 0; i-- {
			names = append(append(names, parts[i]...), 0)
		}
		return names
	}
	p := &bpf.Process{ExeNames: reversed(exe), CgroupNames: reversed(group), Args: []byte("a\x00b c\x00")}
	p.Pid, p.Number, p.OwnPid, p.Pidns, p.Start = pid, number, pid, initialPIDNS, uint64(pid)*1000
	return p
}

func TestProcessesTold(t *testing.T) {
	id := strings.Repeat("0123456789abcdef", 4)
	ps := newProcesses(nil)
	inner := toldOf(7, 2, "/bin/cat", "/system.slice/docker-"+id+".scope")
	inner.OwnPid, inner.Pidns = 1, initialPIDNS+1
	ps.tell(toldOf(7, 1, "/bin/sh", "/system.slice/a.service"))
	ps.tell(inner)                                   // after exec
	ps.tell(toldOf(8, 2, "/bin/dog", "/user.slice")) // told of at the same time
	for _, c := range []struct {
		pid, number uint32
		want        pcapng.Packet
	}{
		{7, 1, pcapng.Packet{Exe: "/bin/sh", Cgroup: "/system.slice/a.service", Unit: "a.service", Cmdline: "a\x00b c"}},
		{7, 2, pcapng.Packet{Exe: "/bin/cat", Cgroup: "/system.slice/docker-" + id + ".scope", Container: id, Unit: "docker-" + id + ".scope", NSPID: 1, Cmdline: "a\x00b c"}},
		{8, 2, pcapng.Packet{Exe: "/bin/dog", Cgroup: "/user.slice", Cmdline: "a\x00b c"}},
		{7, 3, pcapng.Packet{}}, {9, 1, pcapng.Packet{}}, {8, 0, pcapng.Packet{}},
	} {
		var got pcapng.Packet
		ps.known(c.pid, c.number).setSender(&got)
		if fmt.Sprintf("%+v", got) != fmt.Sprintf("%+v", c.want) {
			t.Errorf("%d, %d: %+v, want %+v", c.pid, c.number, got, c.want)
		}
	}
}

// TestProcessesSince: who has a pid now is who had it only if it was started
// before.
func TestProcessesSince(t *testing.T) {
	ps := newProcesses(nil)
	started, looks := map[uint32]time.Duration{5: 100}, 0
	ps.started = func(pid uint32) time.Duration { return started[pid] }
	ps.look = func(pid uint32) *process {
		looks++
		if started[pid] == 0 {
			return nil
		}
		return &process{start: started[pid], comm: fmt.Sprint("since ", int(started[pid]))}
	}
	check := func(at uint64, want string, looked int) {
		t.Helper()
		got := ""
		if p := ps.since(5, at); p != nil {
			got = p.comm
		}
		if got != want || looks != looked {
			t.Errorf("at %d: %q after %d looks, want %q after %d", at, got, looks, want, looked)
		}
	}
	check(99, "", 0)
	check(100, "since 100", 1)
	check(1<<60, "since 100", 1)
	started[5] = 300 // another has the number now
	check(200, "", 1)
	check(300, "since 300", 2)
	delete(started, 5)
	check(300, "", 2)
}

// TestProcessesBounded: as many processes as one likes take no more memory than
// those that may be remembered, and of those that are asked for none is
// forgotten.
func TestProcessesBounded(t *testing.T) {
	ps := newProcesses(nil)
	ps.tell(toldOf(1, 1, "/sbin/init", "/init.scope"))
	for i := range uint32(5 * maxProcesses) {
		ps.tell(toldOf(2+i%30000, 2+i, "/bin/"+fmt.Sprint(i), "/"+fmt.Sprint(i)))
		if i%(maxProcesses/2) == 0 && ps.known(1, 1) == nil {
			t.Fatalf("forgotten after %d others", i)
		}
	}
	if n := len(ps.told.young) + len(ps.told.old); n > 2*maxProcesses {
		t.Errorf("%d are remembered, at most %d", n, 2*maxProcesses)
	}
}

// TestIdentifyAllocates: naming the ends of a packet allocates nothing.
func TestIdentifyAllocates(t *testing.T) {
	s := &Session{processes: newProcesses(nil)}
	s.processes.tell(toldOf(7, 1, "/bin/a", "/a.service"))
	s.processes.tell(toldOf(8, 2, "/bin/b", "/b.service"))
	from, to := &socket{}, &socket{user: processKey{8, 2}}
	p := pcapng.Packet{Peer: pcapng.Endpoint{PID: 8}}
	if n := testing.AllocsPerRun(101, func() { s.identify(&p, &bpf.Task{Pid: 7, Process: 1}, from, to) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
	if p.Exe != "/bin/a" || p.PeerPlace.Exe != "/bin/b" || p.PeerPlace.Unit != "b.service" {
		t.Errorf("%+v", p)
	}
}

// BenchmarkTold: what it costs to hear of a process, and what all that are
// remembered take, with names of the usual length.
func BenchmarkTold(b *testing.B) {
	id := strings.Repeat("0123456789abcdef", 4)
	told := make([]*bpf.Process, 1000)
	for i := range told {
		told[i] = toldOf(uint32(i), 0, "/usr/lib/postgresql/15/bin/postgres", "/system.slice/docker-"+id+".scope")
		told[i].Args = []byte(fmt.Sprintf("postgres: 15/main: user database 127.0.0.1(%d) idle", i))
	}
	ps := newProcesses(nil)
	before := heap()
	b.ReportAllocs()
	for i := range b.N {
		p := told[i%len(told)]
		p.Number = uint32(i)
		ps.tell(p)
	}
	b.StopTimer()
	b.ReportMetric(float64(heap()-before)/1e6, "MB")
	b.ReportMetric(float64(len(ps.told.young)+len(ps.told.old)), "remembered")
	runtime.KeepAlive(ps)
}
