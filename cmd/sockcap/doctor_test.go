package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// TestDoctor runs it for real: whether one can capture here it says as -D does,
// and to who has no rights what is lacking.
func TestDoctor(t *testing.T) {
	out, err := runDoctor(t, nil)
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for _, want := range []string{"ok  capabilities ", "ok  hooks tracepoint ", "ok  capture "} {
		if !strings.Contains("\n"+out, "\n"+want) {
			t.Errorf("no line %q:\n%s", want, out)
		}
	}
	out, err = runDoctor(t, &syscall.Credential{Uid: 65534, Gid: 65534})
	if fmt.Sprint(err) != "exit status 1" {
		t.Errorf("without rights: %v, want exit status 1", err)
	}
	for _, want := range []string{
		"no  capabilities        without cap_bpf,cap_perfmon,cap_syslog,cap_dac_read_search\n",
		"-   hooks tracepoint    not tried: see above\n",
		"no  capture             sockcap can't capture here\n",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("without rights: no line %q:\n%s", want, out)
		}
	}
}

// runDoctor runs the real command as this user, or another one.
func runDoctor(t *testing.T, as *syscall.Credential) (string, error) {
	t.Helper()
	in := newInstallation(t)
	cmd := exec.Command(filepath.Join(in.dir, "bin/sockcap"), "doctor")
	cmd.Env, cmd.Dir = append(in.env, "SOCKCAP_FAKE=none"), "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: as}
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	return string(out), err
}

// TestProbe: the process that doctor sends with fails where it can't.
func TestProbe(t *testing.T) {
	address := fmt.Sprintf("@sockcap-test-%d", os.Getpid())
	if err := sendProbe(t.Context(), address, "text"); err != nil {
		t.Error(err)
	}
	if err := sendProbe(t.Context(), "/nowhere/socket", "text"); fmt.Sprint(err) != "exit status 1" {
		t.Errorf("%v, want exit status 1", err)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if err := sendProbe(ended, address, "text"); err == nil {
		t.Error("sent after the end")
	}
}
