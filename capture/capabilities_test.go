package capture

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

const capabilityProbe = "who may see this?"

// TestCapabilities: another user captures with the capabilities that needed
// names, each of which is needed, and without one is told which.
func TestCapabilities(t *testing.T) {
	if os.Getenv(asNobody) != "" {
		captureProbe(t.Context())
		return
	}
	// Where nobody has mounted tracefs yet, as on a machine just booted, raw
	// tracepoints serve, and CAP_DAC_READ_SEARCH is for nothing.
	events, err := tracefs()
	if err != nil {
		t.Fatal(err)
	}
	exe := copyOfSelf(t, publicDir(t))
	if got := runWith(t, exe, needed[:]); got != "captured\n" {
		t.Errorf("with all capabilities: %s", got)
	}
	for _, c := range needed {
		others := slices.DeleteFunc(slices.Clone(needed[:]), func(o uint) bool { return o == c })
		if c == unix.CAP_SYSLOG && showsSymbols() || c == unix.CAP_DAC_READ_SEARCH && isPublic(events) {
			continue
		}
		want := "hint: run as root, or grant it " + capabilityName(c) + "\n"
		if got := runWith(t, exe, others); !strings.Contains(got, want) {
			t.Errorf("without %s: %s, want %q in it", capabilityName(c), got, want)
		}
	}
}

// showsSymbols reports whether this kernel shows the addresses of its symbols
// to everyone: kallsyms_show_value of kernel/ksyms_common.c.
func showsSymbols() bool {
	restrict, _ := os.ReadFile("/proc/sys/kernel/kptr_restrict")
	paranoid, _ := os.ReadFile("/proc/sys/kernel/perf_event_paranoid")
	return string(restrict) == "0\n" && (string(paranoid) == "1\n" || string(paranoid) == "0\n" || string(paranoid) == "-1\n")
}

// isPublic reports whether others may go through a directory: tracefs can be
// mounted so, and stays as it was mounted first.
func isPublic(dir string) bool {
	info, err := os.Stat(dir)
	return err == nil && info.Mode().Perm()&0o005 == 0o005
}

// runWith runs this test as nobody with capabilities, sends the probe once it
// captures, and gives what it said besides.
func runWith(t *testing.T, exe string, capabilities []uint) string {
	t.Helper()
	return runTest(t, exe, "TestCapabilities", capabilities)
}

// runTest is runWith of any test.
func runTest(t *testing.T, exe, name string, capabilities []uint) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute) // can only fail
	defer cancel()
	cmd := exec.CommandContext(ctx, exe, "-test.run=^"+name+"$")
	cmd.Dir = "/"
	cmd.Env = []string{asNobody + "=1"}
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	for _, c := range capabilities {
		cmd.SysProcAttr.AmbientCaps = append(cmd.SysProcAttr.AmbientCaps, uintptr(c))
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var said strings.Builder
	for lines := bufio.NewReader(out); ; {
		line, err := lines.ReadString('\n')
		switch {
		case err == io.EOF:
			if err := cmd.Wait(); err != nil {
				t.Fatalf("%v: %s", err, said.String())
			}
			return strings.TrimSuffix(said.String(), "PASS\n")
		case err != nil:
			t.Fatal(err)
		case line == "ready\n":
			sendProbe(t)
		default:
			said.WriteString(line)
		}
	}
}

// sendProbe sends the probe on a socket pair and reads it there.
func sendProbe(t *testing.T) {
	t.Helper()
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fds[0])
	defer unix.Close(fds[1])
	if _, err := unix.Write(fds[0], []byte(capabilityProbe)); err != nil {
		t.Fatal(err)
	}
	if _, err := unix.Read(fds[1], make([]byte, len(capabilityProbe))); err != nil {
		t.Fatal(err)
	}
}

// captureProbe says "ready", and "captured" once it has the probe.
func captureProbe(ctx context.Context) {
	s, err := Start(ctx, Options{})
	var e *Error
	if errors.As(err, &e) {
		fmt.Printf("error: %v\nhint: %s\n", err, e.Hint)
		return
	}
	defer s.Close()
	fmt.Println("ready")
	for p, err := range s.Packets() {
		if err != nil {
			fmt.Println(err)
			return
		}
		if string(p.Data) == capabilityProbe {
			fmt.Println("captured")
			return
		}
	}
}
