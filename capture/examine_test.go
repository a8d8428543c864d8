package capture

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/sockcap/sockcap/capture/internal/workload"
)

// TestExamine: a hook set is found fit by what it captures, and which are fit is
// what Sets says; what this kernel refuses has a cause.
func TestExamine(t *testing.T) {
	all := Examine(t.Context(), puppetProbe(t))
	for _, c := range all {
		if c.Found == "" || c.Verdict == Refused && c.Cause == "" || c.Verdict == Fine && c.Cause+c.Cure != "" {
			t.Errorf("%+v says too little, or too much", c)
		}
	}
	for _, s := range Sets() {
		i := slices.IndexFunc(all, func(c Check) bool { return c.Name == "hooks "+s.Name })
		if i < 0 {
			t.Fatalf("%s is not examined: %+v", s.Name, all)
		}
		if got := all[i].Verdict; (got == Fine) != (s.Err == nil) || got == Unknown {
			t.Errorf("%+v, but -D: %v", all[i], s.Err)
		}
	}
}

// puppetProbe is a Probe that can be called again.
func puppetProbe(t *testing.T) Probe {
	p := newPuppet(t, workload.PuppetConfig{Comm: "probe"})
	return func(_ context.Context, address, text string) error {
		to, err := p.Socket(unix.SOCK_DGRAM)
		p.must(err)
		p.must(p.Bind(to, address))
		from, err := p.Socket(unix.SOCK_DGRAM)
		p.must(err)
		_, err = p.Send(from, []byte(text), address)
		p.must(err)
		got, err := p.Receive(to, len(text))
		p.must(errors.Join(err, p.CloseFD(from), p.CloseFD(to)))
		if string(got) != text {
			return fmt.Errorf("got %q", got)
		}
		return nil
	}
}

// TestProveAgain: a message that is lost, as on a busy machine, is sent again.
func TestProveAgain(t *testing.T) {
	eachSet(t, func(t *testing.T, set string) {
		times, send := 0, puppetProbe(t)
		err := prove(t.Context(), set, func(ctx context.Context, address, text string) error {
			if times++; times == 1 {
				return nil // and nothing was sent
			}
			return send(ctx, address, text)
		})
		if err != nil || times < 2 {
			t.Errorf("after %d times: %v", times, err)
		}
	})
}

// TestProveUnseen: a set that captures other messages does not do, nor where
// none is sent.
func TestProveUnseen(t *testing.T) {
	eachSet(t, func(t *testing.T, set string) {
		p := newPuppet(t, workload.PuppetConfig{Comm: "other"})
		ctx, cancel := context.WithCancel(t.Context())
		err := prove(ctx, set, func(context.Context, string, string) error {
			a, b := p.pair(unix.SOCK_STREAM)
			p.pass(a, b, "another message")
			cancel()
			return nil
		})
		if !errors.Is(err, errUnseen) {
			t.Errorf("%v, want %v", err, errUnseen)
		}
		if err := prove(t.Context(), set, func(context.Context, string, string) error { return unix.ENOENT }); !errors.Is(err, unix.ENOENT) {
			t.Errorf("%v, want %v", err, unix.ENOENT)
		}
	})
}

// TestParanoid: what Debian's kernels refuse to all but SYS_ADMIN is told from
// other refusals.
func TestParanoid(t *testing.T) {
	for _, c := range []struct {
		err  error
		want bool
	}{
		{unix.EPERM, false},
		{fmt.Errorf("opening tracepoint perf event: %w", unix.EACCES), true},
	} {
		if got := refusedByParanoia(c.err, 3, true); got != c.want {
			t.Errorf("%v at level 3: %t, want %t", c.err, got, c.want)
		}
		if refusedByParanoia(c.err, 2, true) || refusedByParanoia(c.err, 3, false) {
			t.Errorf("%v at level 2, or with SYS_ADMIN: is no such refusal", c.err)
		}
	}
}

// TestHidePID reads mountinfo, of proc_pid_mountinfo(5).
func TestHidePID(t *testing.T) {
	const line = "22 28 0:21 / %s rw,nosuid,nodev,noexec,relatime shared:13 - proc proc %s\n"
	for _, c := range []struct{ at, options, want string }{
		{"/proc", "rw", ""},
		{"/proc", "rw,hidepid=0", ""},
		{"/proc", "rw,hidepid=off", ""},
		{"/proc", "rw,gid=4,hidepid=2", "hidepid=2"},
		{"/proc", "rw,hidepid=invisible", "hidepid=invisible"},
		{"/other/proc", "rw,hidepid=2", ""},
	} {
		mounts := "21 28 0:20 / /sys rw - sysfs sysfs rw\n\n" + fmt.Sprintf(line, c.at, c.options)
		if got := hidePIDIn(mounts); got != c.want {
			t.Errorf("%s: %q, want %q", strings.TrimSpace(mounts), got, c.want)
		}
	}
}

// TestCheckCapabilities: root without them is told so, and that they were
// taken for good.
func TestCheckCapabilities(t *testing.T) {
	if os.Getenv(asNobody) != "" {
		fmt.Printf("%+v\n", checkCapabilities())
		return
	}
	exe := copyOfSelf(t, publicDir(t))
	for _, c := range []struct {
		capabilities []uint
		want         string
	}{
		{needed[:], "{Name:capabilities Verdict:1 Found:all that a capture needs Cause: Cure:}"},
		{needed[1:], "{Name:capabilities Verdict:2 Found:without cap_bpf Cause:"},
	} {
		if got := runTest(t, exe, "TestCheckCapabilities", c.capabilities); !strings.Contains(got, c.want) {
			t.Errorf("%s, want %s", got, c.want)
		}
	}
}
