package workload

import (
	"encoding/gob"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// lifeCases are about processes that are not what they were, or not who they
// think they are.
func lifeCases() []Case {
	return []Case{
		{Name: "procs-exec", About: "a sender that executes another program, under another name, between sends", run: procsExec},
		{Name: "procs-fork", About: "parent and forked child send on one stream and one datagram socket in turn", run: procsFork},
		{Name: "procs-pidns", About: "a child that is pid 1 of its own namespace", run: procsPIDNS},
	}
}

func procsExec(e *Env) {
	c := e.connection(unix.SOCK_STREAM)
	e.mu.Lock()
	second := e.nextTask + 1
	e.nextTask += 2
	e.mu.Unlock()
	k := e.spawn("exec", args(3, 201, int(second)), c.client)
	k.hear()
	e.main.read(c.server, 3*201+3, 4096)
	k.past = append(k.past, k.report)
	k.messages = gob.NewDecoder(k.pipe) // the next program begins anew
	k.tell()
	k.hear()
	k.tell()
	e.main.read(c.server, 5*301+10, 4096)
}

// roleExec writes count messages of size and more, says its report, and when
// told becomes another program, which writes more.
func roleExec(h *home) {
	for i := range h.number(0) {
		h.t.put(h.socks[0], h.number(1)+i, write)
	}
	h.sayReport()
	h.await()
	next := spec{Role: "write", Comm: "wl-executed", Dir: h.e.dir, Seed: h.e.seed, Task: uint64(h.number(2)),
		Args: args(1, 5, 301), Types: []int{h.socks[0].typ}}
	text, err := json.Marshal(next)
	check("marshal", err)
	for _, fd := range []int{fdCommands, fdMessages, fdSockets} {
		_, err := unix.FcntlInt(uintptr(fd), unix.F_SETFD, 0)
		check("fcntl", err)
	}
	check("exec", syscall.Exec("/proc/self/exe", os.Args[:1], append(os.Environ(), envName+"="+string(text))))
}

// procsFork forks without exec: the child's pid and its name, the parent's, are
// all that differs.
func procsFork(e *Env) {
	stream, dgram := e.connection(unix.SOCK_STREAM), e.pair(unix.SOCK_DGRAM)
	turns, reports := e.pipe(), e.pipe()
	const size = 333
	child := &task{e: e, num: e.nextTask}
	e.nextTask++
	var plan forkPlan
	plan.turns, plan.reports = uintptr(turns[0]), uintptr(reports[1])
	for i := range plan.sends {
		s := []*sock{stream.client, dgram.client}[i%2]
		x := child.next(s, size+i)
		data := child.content(x)
		plan.hold = append(plan.hold, data)
		plan.sends[i] = forkSend{uintptr(s.fd), uintptr(start(data)), uintptr(x.Len)}
	}
	pid, errno := forkChild(&plan)
	check("fork", errnoOf(errno))
	child.Task = e.main.Task
	child.PID, child.TID, child.Is.OwnPID = uint32(pid), uint32(pid), uint32(pid)
	e.tasks = append(e.tasks, child)
	for i, x := range child.sends {
		c := []*conn{stream, dgram}[i%2]
		x.Begin = now()
		check("tell child", writeByte(turns[1]))
		var answer [8]byte
		_, err := unix.Read(reports[0], answer[:])
		check("hear child", err)
		x.Finish, x.Done = now(), int(answer[0])|int(answer[1])<<8
		e.main.put(c.client, size+50+i, write)
		e.main.read(c.server, x.Len, x.Len)
		e.main.read(c.server, size+50+i, 4096)
	}
	var status unix.WaitStatus
	_, err := unix.Wait4(int(pid), &status, 0, nil)
	check("wait", err)
	if status != 0 {
		fail("the child ended with %#x", status)
	}
}

func procsPIDNS(e *Env) {
	c, d := e.connection(unix.SOCK_STREAM), e.pair(unix.SOCK_DGRAM)
	for _, s := range []*sock{c.client, d.client} {
		k := e.spawnIn(unix.CLONE_NEWPID, "write", args(1, 7, 91), s)
		k.hear()
		k.learnIDs()
		k.tell()
	}
	e.main.read(c.server, 7*91+21, 4096)
	e.main.readMessages(d.server, 7)
}

// learnIDs asks /proc what we call the child's threads.
func (k *kid) learnIDs() {
	k.ids = make(map[uint32]uint32)
	status, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/status", k.cmd.Process.Pid))
	check("glob", err)
	for _, file := range status {
		text, err := os.ReadFile(file)
		check("read", err)
		_, line, _ := strings.Cut(string(text), "\nNSpid:")
		line, _, _ = strings.Cut(line, "\n")
		ids := strings.Fields(line)
		if len(ids) < 2 {
			fail("%s: no pid namespace: %q", file, line)
		}
		outer, err := strconv.Atoi(ids[0])
		check("number", err)
		inner, err := strconv.Atoi(ids[len(ids)-1])
		check("number", err)
		k.ids[uint32(inner)] = uint32(outer)
	}
}

// translate puts our ids for those of a child in a pid namespace of its own.
func (k *kid) translate(r report) report {
	for i := range r.Tasks {
		if t := &r.Tasks[i]; k.ids != nil {
			t.PID, t.TID = k.ids[t.PID], k.ids[t.TID]
		}
	}
	return r
}
