package main

import (
	"context"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// These tests run as root, as sockcap does: who is not root cannot give files
// away, and nothing of that is left to test.

const (
	stranger = 4101
	sudoer   = 4099
)

// sudoHost is a host where the user sudoer called sudo.
func sudoHost(t *testing.T) *host {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Fatal("run as root")
	}
	h := testHost()
	h.getenv = func(name string) string {
		return map[string]string{"SUDO_UID": "4099", "SUDO_GID": "4099"}[name]
	}
	return h
}

// sticky is a directory like /tmp.
func sticky(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o777|fs.ModeSticky); err != nil {
		t.Fatal(err)
	}
	return dir
}

// write opens name, writes a line and closes.
func write(h *host, name string) error {
	d, err := openDestination(context.Background(), h, name)
	if err != nil {
		return err
	}
	if err := d.begin(); err != nil {
		return err
	}
	if _, err := d.Write([]byte("new\n")); err != nil {
		return err
	}
	return d.close()
}

func checkFile(t *testing.T, name, text string, mode fs.FileMode, owner int) {
	t.Helper()
	got, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(name)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != text || info.Mode() != mode || uidOf(info) != owner {
		t.Errorf("%s is %q, %v, of %d; want %q, %v, of %d", name, got, info.Mode(), uidOf(info), text, mode, owner)
	}
}

// TestNewFile: private, and of who called sudo, who can be given it again and
// again even where fs.protected_regular guards it.
func TestNewFile(t *testing.T) {
	defer unix.Umask(unix.Umask(0))
	name := filepath.Join(sticky(t), "out")
	if err := write(testHost(), name); err != nil {
		t.Fatal(err)
	}
	checkFile(t, name, "new\n", 0o600, 0)
	name += "2"
	for range 2 {
		if err := write(sudoHost(t), name); err != nil {
			t.Fatal(err)
		}
		checkFile(t, name, "new\n", 0o600, sudoer)
	}
}

// TestOldFile: emptied when we begin, not before, and else as it was.
func TestOldFile(t *testing.T) {
	name := filepath.Join(t.TempDir(), "old")
	if err := os.WriteFile(name, []byte("old and long\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Chown(name, stranger, stranger); err != nil {
		t.Fatal(err)
	}
	d, err := openDestination(context.Background(), sudoHost(t), name)
	if err != nil {
		t.Fatal(err)
	}
	d.abandon()
	checkFile(t, name, "old and long\n", 0o644, stranger)
	if err := write(sudoHost(t), name); err != nil {
		t.Fatal(err)
	}
	checkFile(t, name, "new\n", 0o644, stranger)
}

// TestAbandoned: a file that was only just made goes away again.
func TestAbandoned(t *testing.T) {
	name := filepath.Join(t.TempDir(), "new")
	d, err := openDestination(context.Background(), testHost(), name)
	if err != nil {
		t.Fatal(err)
	}
	d.abandon()
	if _, err := os.Lstat(name); !os.IsNotExist(err) {
		t.Errorf("after abandon: %v", err)
	}
}

// TestTraps: nothing that others may have put in our way is written to.
func TestTraps(t *testing.T) {
	dir := sticky(t)
	target, link, dangling := filepath.Join(dir, "target"), filepath.Join(dir, "link"), filepath.Join(dir, "dangling")
	if err := os.WriteFile(target, []byte("theirs\n"), 0o666); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(target, 0o666); err != nil {
		t.Fatal(err)
	}
	if err := os.Chown(target, stranger, stranger); err != nil {
		t.Fatal(err)
	}
	for old, name := range map[string]string{target: link, filepath.Join(dir, "nowhere"): dangling} {
		if err := os.Symlink(old, name); err != nil {
			t.Fatal(err)
		}
	}
	for name, want := range map[string]string{
		link:     "is a symbolic link",
		dangling: "is a symbolic link",
		target:   "belongs to another user",
		dir:      "is a directory",
		"":       "no such file",
	} {
		if err := write(sudoHost(t), name); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("write %s: %v, want %q", name, err, want)
		}
	}
	checkFile(t, target, "theirs\n", 0o666, stranger)
	if _, err := os.Lstat(filepath.Join(dir, "nowhere")); !os.IsNotExist(err) {
		t.Errorf("a dangling link made its target: %v", err)
	}
}

// TestGuardedFifo: where fs.protected_fifos refuses an O_CREAT (another user's
// fifo in /tmp), the fifo opens all the same.
func TestGuardedFifo(t *testing.T) {
	name := filepath.Join(sticky(t), "fifo")
	if err := unix.Mkfifo(name, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chown(name, sudoer, sudoer); err != nil {
		t.Fatal(err)
	}
	reader, err := os.OpenFile(name, os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	if err := write(sudoHost(t), name); err != nil {
		t.Fatal(err)
	}
	got := make([]byte, 8)
	if n, err := reader.Read(got); string(got[:n]) != "new\n" {
		t.Errorf("read %q, %v", got[:n], err)
	}
}
