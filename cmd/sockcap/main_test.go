package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"iter"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"strconv"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	"golang.org/x/sys/unix"

	"github.com/sockcap/sockcap/capture"
	"github.com/sockcap/sockcap/pcapng"
	"github.com/sockcap/sockcap/pcapng/stream/streamtest"
)

var update = flag.Bool("update", false, "rewrite the goldens: look at the difference")

// TestMain makes the test binary the command itself when it is called by the
// name sockcap: in scripts, and in tests that send signals.
func TestMain(m *testing.M) {
	testscript.Main(settled{m}, map[string]func(){
		"sockcap": func() {
			if os.Getenv("SOCKCAP_FAKE") == "none" {
				main()
			}
			os.Exit(testHost().main(os.Args[1:]))
		},
		streamtest.ServerName: func() { os.Exit(streamtest.Main()) },

		"sockets":   func() { os.Exit(withSockets(os.Args[1:])) },
		holdName:    func() { os.Exit(hold(os.Args[1:])) },
		probeName:   func() { os.Exit(probe(os.Args[1:])) },
		givesUpName: func() { os.Exit(givesUp(os.Args[1:])) },
		tellsName:   func() { os.Exit(tells()) },
		asksName:    func() { os.Exit(asks(os.Args[1], os.Args[2])) },
	})
}

// settled runs the tests in the same surroundings everywhere.
type settled struct{ *testing.M }

func (m settled) Run() int {
	unix.Umask(0o022)
	for _, name := range []string{"SUDO_UID", "SUDO_GID", "NO_COLOR"} {
		os.Unsetenv(name)
	}
	// What nohup(1), or a shell for what it runs in the background, lets us
	// ignore is not inherited by who has a handler for it.
	for _, s := range []os.Signal{unix.SIGINT, unix.SIGHUP} {
		if signal.Ignored(s) {
			signal.Notify(make(chan os.Signal, 1), s)
		}
	}
	return m.M.Run()
}

// testHost is the real one but for the kernel's side, which SOCKCAP_FAKE
// chooses (none: the real command), and the time zone.
func testHost() *host {
	return &host{
		stdin: os.Stdin, stdout: os.Stdout, stderr: os.Stderr,
		now:      func() time.Time { return at(0) },
		getenv:   os.Getenv,
		zone:     time.UTC,
		patience: time.Minute,
		tick:     5 * time.Millisecond,
		start:    startFake(os.Getenv("SOCKCAP_FAKE")),
		sets:     fakeSets,
		examine:  fakeChecks,
		account:  fakeAccount,

		proc:       os.DirFS(cmp.Or(os.Getenv("SOCKCAP_PROC"), "/proc")),
		candidates: func() []string { return []string{"fentry", "tracepoint"} },
		sameSignal: time.Minute, // as long as that, a busy machine may take for two
	}
}

// fakeSession yields given packets and then waits for the end, as a capture
// does when nobody sends any more.
type fakeSession struct {
	ctx     context.Context
	options capture.Options
	packets []pcapng.Packet
	stats   capture.Stats
	before  func(*pcapng.Packet) // or nil; before each packet
	err     error                // after the packets, in place of waiting
	atClose func()
}

func startFake(name string) func(context.Context, capture.Options) (session, error) {
	return func(ctx context.Context, o capture.Options) (session, error) {
		s := &fakeSession{ctx: ctx, options: o}
		switch name {
		case "silent":
		case "http":
			s.packets = httpPackets()
		case "odd":
			s.packets = oddPackets()
			s.stats = capture.Stats{
				Received: 20, LostRing: 1, LostMissed: 2, LostMap: 3, LostEvents: 4, LostNotes: 3, LostPassed: 2, Unreadable: 1, Cut: 2,
				LostBytes: 4096, OrderUnsure: 1, SenderUnsure: 1, Self: 7,
			}
		case "placed":
			s.packets = placedPackets()
		case "flood":
			s.packets = floodPackets()
		case "nagged":
			s.packets = httpPackets()
			s.atClose = func() {
				for range 101 {
					unix.Kill(unix.Getpid(), unix.SIGINT)
					runtime.Gosched()
				}
			}
		case "panic":
			s.packets = httpPackets()
			s.before = func(p *pcapng.Packet) {
				if p.Event == pcapng.EventClose {
					panic("a panic on purpose")
				}
			}
		case "killed":
			s.packets = httpPackets()
			s.before = func(p *pcapng.Packet) {
				if p.Event == pcapng.EventClose {
					unix.Kill(unix.Getpid(), unix.SIGKILL)
					select {}
				}
			}
		case "interrupted": // while it starts
			if err := unix.Kill(unix.Getpid(), unix.SIGTERM); err != nil {
				return nil, err
			}
			<-ctx.Done()
		case "broken":
			s.packets = httpPackets()[:3]
			s.err = &capture.Error{Op: "read", Name: "ring buffer", Err: unix.EIO}
		default:
			return nil, &capture.Error{
				Op: "attach", Name: "fentry/unix_stream_sendmsg", Err: unix.EPERM,
				Hint: "run as root, or grant cap_bpf and cap_perfmon",
			}
		}
		if s.stats.Received == 0 {
			s.stats.Received = uint64(len(s.packets))
		}
		return s, nil
	}
}

func (s *fakeSession) Now() time.Time { return at(0) }

func (s *fakeSession) Stats() capture.Stats { return s.stats }

func (s *fakeSession) Hooks() string {
	if s.options.Hooks == "auto" {
		return "tracepoint"
	}
	return s.options.Hooks
}

func (s *fakeSession) Close() error {
	if s.atClose != nil {
		s.atClose()
	}
	return nil
}

func (s *fakeSession) Packets() iter.Seq2[*pcapng.Packet, error] {
	return func(yield func(*pcapng.Packet, error) bool) {
		for i := range s.packets {
			if !s.options.Filter.Match(&s.packets[i]) {
				continue
			}
			if s.before != nil {
				s.before(&s.packets[i])
			}
			if !yield(&s.packets[i], nil) {
				return
			}
		}
		if s.err != nil {
			yield(nil, s.err)
			return
		}
		<-s.ctx.Done()
	}
}

func fakeSets() []capture.Set {
	return []capture.Set{
		{Name: "fentry", Err: &capture.Error{Op: "load", Name: "programs", Err: unix.EPERM}},
		{Name: "kprobe", Limits: []string{"the first limit", "the second"}},
		{Name: "tracepoint", Chosen: true},
	}
}

// fakeChecks is a machine on which one can capture, or with SOCKCAP_FAKE=poor
// one on which one can't.
func fakeChecks(context.Context) []capture.Check {
	if os.Getenv("SOCKCAP_FAKE") == "poor" {
		return []capture.Check{
			{Name: "capabilities", Verdict: capture.Refused, Found: "without cap_bpf", Cause: "odd \x1b[31m\ncause", Cure: "run it by sudo"},
			{Name: "hooks tracepoint", Found: "not tried: see above"},
		}
	}
	return []capture.Check{
		{Name: "lockdown", Found: "can't be told", Cure: "mount securityfs"},
		{Name: "hooks kprobe", Verdict: capture.Refused, Found: "can't be used", Cause: "this kernel has no kprobes"},
		{Name: "hooks tracepoint", Verdict: capture.Fine, Found: "captured the message that it sent"},
	}
}

// TestScripts runs testdata/script, which has the goldens in $GOLDEN.
func TestScripts(t *testing.T) {
	golden, err := filepath.Abs("../../testdata/capture")
	if err != nil {
		t.Fatal(err)
	}
	testscript.Run(t, testscript.Params{
		Dir:                 "../../testdata/script",
		UpdateScripts:       *update,
		RequireExplicitExec: true,
		Setup: func(e *testscript.Env) error {
			e.Setenv("GOLDEN", golden)
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"status": scriptStatus,
			"mode":   scriptMode,
			"nats":   scriptNATS,
		},
	})
}

// scriptStatus is "status N COMMAND...": the command ends with this status.
func scriptStatus(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: status N COMMAND...")
	}
	got := 0
	err := ts.Exec(args[1], args[2:]...)
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) {
		got = exit.ExitCode()
	} else if err != nil {
		ts.Fatalf("%v: %v", args[1:], err)
	}
	if want, err := strconv.Atoi(args[0]); err != nil || got != want {
		ts.Fatalf("%v: status %d, want %s", args[1:], got, args[0])
	}
}

// scriptNATS is "nats": a server, at $NATS, until the script ends.
func scriptNATS(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 0 {
		ts.Fatalf("usage: nats")
	}
	c, err := streamtest.Start(ts.MkAbs("."), 1, "")
	ts.Check(err)
	ts.Defer(c.Close)
	ts.Setenv("NATS", "nats://"+c.Hosts())
}

// scriptMode is "mode PERMISSIONS UID FILE".
func scriptMode(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 3 {
		ts.Fatalf("usage: mode PERMISSIONS UID FILE")
	}
	info, err := os.Stat(ts.MkAbs(args[2]))
	ts.Check(err)
	if got := info.Mode().String(); got != args[0] {
		ts.Fatalf("%s has mode %s, want %s", args[2], got, args[0])
	}
	if got := strconv.Itoa(uidOf(info)); got != args[1] {
		ts.Fatalf("%s belongs to %s, want %s", args[2], got, args[1])
	}
}
