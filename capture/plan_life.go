package capture

import (
	"os"
	"path/filepath"
	"strings"
)

// lifePrograms is what the names of the programs begin with that see nothing
// but the life cycle.
const lifePrograms = "life_"

// addLifecycle adds what tells of connect, accept, listen, shutdown and close:
// see bpf/lifecycle.h. Without tracefs there is none of it.
func (p *plan) addLifecycle(dir string, sym *symbols) {
	for _, h := range [...]struct{ program, event string }{
		{"connect", "sys_enter_connect"}, {"connected", "sys_exit_connect"},
		{"accepted", "sys_exit_accept"}, {"accepted", "sys_exit_accept4"},
		{"listen", "sys_enter_listen"}, {"listened", "sys_exit_listen"},
		{"listen", "sys_enter_shutdown"}, {"shut", "sys_exit_shutdown"},
	} {
		p.syscall(lifePrograms+h.program, h.event)
	}
	if p.set != hooksTracepoint && sym.has("unix_release") {
		p.hooks = append(p.hooks, hook{p.set + "_release", "", "unix_release", p.set})
		return
	}
	p.hooks = append(p.hooks, hook{lifePrograms + "exit", "sched", "sched_process_exit", "tracepoint"})
	for _, h := range [...]struct{ program, event string }{
		{"close", "sys_enter_close"}, {"dup2", "sys_enter_dup2"}, {"dup2", "sys_enter_dup3"},
	} {
		if _, err := os.Stat(filepath.Join(dir, "events", "syscalls", h.event)); err == nil { // arm64 has no dup2
			p.syscall(lifePrograms+h.program, h.event)
		}
	}
}

// lifeLimits says what a set does not see of the life cycle.
func lifeLimits(set string) []string {
	if _, err := tracefs(); err != nil {
		return []string{"without tracefs nothing but data is seen, no connect and no close"}
	}
	l := []string{"connect, accept, listen and shutdown by io_uring are not seen"}
	if set == hooksTracepoint {
		l = append(l, "a close is seen where close, dup2, dup3 or the end of a process lets go of a socket's last descriptor; not by exec, close_range or io_uring, nor where two let go at once")
	}
	return l
}

// missedLife is how often the kernel skipped a program of the life cycle, which
// may have been about to see an event.
func (p *programs) missedLife() uint64 {
	n := p.skippedLife
	if p.links == nil {
		return n
	}
	for name := range p.coll.Programs {
		if strings.HasPrefix(name, lifePrograms) {
			n += p.misses(name)
		}
	}
	return n
}
