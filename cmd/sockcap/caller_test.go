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

// TestAsCaller: with the capability to read everything, a user still reads and
// writes no more than without.
func TestAsCaller(t *testing.T) {
	dir := t.TempDir()
	secret := filepath.Join(dir, "secret.pcapng")
	if err := os.WriteFile(secret, encode(t, httpPackets()), 0o600); err != nil {
		t.Fatal(err)
	}
	public, err := os.MkdirTemp("/tmp", "caller")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(public)
	if err := os.Chmod(public, 0o755); err != nil {
		t.Fatal(err)
	}
	self, err := os.ReadFile("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	exe := filepath.Join(public, "sockcap")
	if err := os.WriteFile(exe, self, 0o755); err != nil {
		t.Fatal(err)
	}
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
