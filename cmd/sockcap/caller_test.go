package main

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// publicSelf is a directory that every user may read, with this binary in it as
// sockcap. It is below /tmp: t.TempDir's parent is closed to others, and TMPDIR
// may lie anywhere.
func publicSelf(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("/tmp", "public")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	self, err := os.ReadFile("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "sockcap"), self, 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

// TestAsCaller: with the capability to read everything, a user still reads and
// writes no more than without.
func TestAsCaller(t *testing.T) {
	dir := t.TempDir()
	secret := filepath.Join(dir, "secret.pcapng")
	if err := os.WriteFile(secret, encode(t, httpPackets()), 0o600); err != nil {
		t.Fatal(err)
	}
	exe := filepath.Join(publicSelf(t), "sockcap")
	golden, err := filepath.Abs("../../testdata/capture/http.pcapng")
	if err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"-r", secret}, {"-r", "/dev/stdin", "-w", secret}, {"-r", "/dev/stdin", "-w", filepath.Join(dir, "new")}} {
		in, err := os.Open(golden)
		if err != nil {
			t.Fatal(err)
		}
		defer in.Close()
		cmd := exec.Command(exe)
		cmd.Args = append([]string{"sockcap"}, args...)
		cmd.Dir, cmd.Env, cmd.Stdin = "/", []string{}, in
		cmd.SysProcAttr = &syscall.SysProcAttr{
			Credential:  &syscall.Credential{Uid: 65534, Gid: 65534},
			AmbientCaps: []uintptr{unix.CAP_DAC_READ_SEARCH, unix.CAP_DAC_OVERRIDE},
		}
		out, err := cmd.CombinedOutput()
		if exit := (*exec.ExitError)(nil); !errors.As(err, &exit) || !strings.Contains(string(out), "permission denied") || strings.Contains(string(out), "docker[") {
			t.Errorf("%v: %v\n%s", args, err, out)
		}
	}
}
