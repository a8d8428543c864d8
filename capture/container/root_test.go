package container

import (
	"errors"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// TestRoot: names are looked up below a root as they are below that of a
// process that has it for its own: links that begin with a slash, and those
// that would lead out of it, stay inside.
func TestRoot(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"run/deep", "var"} {
		if err := os.MkdirAll(filepath.Join(dir, name), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for name, to := range map[string]string{"var/run": "/run", "out": "../../../../../../run", "run/link": "s", "var/circle": "circle"} {
		if err := os.Symlink(to, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"run/s", "run/deep/s"} {
		l, err := net.ListenUnix("unix", &net.UnixAddr{Net: "unix", Name: filepath.Join(dir, name)})
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
	}
	r, err := OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer r.dir.Close()
	want, err := os.Stat(filepath.Join(dir, "run/s"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"/run/s", "run/s", "/var/run/s", "/out/s", "/run/link", "/../run//s"} {
		info, err := r.Stat(name)
		if err != nil || !os.SameFile(info, want) {
			t.Errorf("Stat(%q): %v", name, err)
		}
		if got, err := r.Resolve(name); got != "/run/s" || err != nil {
			t.Errorf("Resolve(%q) = %q, %v", name, got, err)
		}
	}
	for _, name := range []string{"/none", "/var/circle", dir + "/run/s"} {
		if _, err := r.Stat(name); err == nil {
			t.Errorf("Stat(%q): there is something", name)
		}
	}
	if got, err := r.Glob("/*/run/[a-s]"); !slices.Equal(got, []string{"/var/run/s"}) || err != nil {
		t.Errorf("Glob: %q, %v", got, err)
	}
	var sockets []string
	err = r.WalkDir("/var/run/", func(name string, d fs.DirEntry, err error) error {
		if err == nil && d.Type()&fs.ModeSocket != 0 {
			if info, err := d.Info(); err != nil || info.Mode()&fs.ModeSocket == 0 {
				t.Errorf("%s: %v", name, err)
			}
			sockets = append(sockets, name)
		}
		return err
	})
	if !slices.Equal(sockets, []string{"/var/run/deep/s", "/var/run/s"}) || err != nil {
		t.Errorf("WalkDir: %q, %v", sockets, err)
	}
	if _, err := r.OpenFile("/run/link"); err == nil {
		t.Error("opened a link")
	}
	if info, err := os.Stat(r.Name() + "/run/s"); err != nil || !os.SameFile(info, want) {
		t.Errorf("by %s: %v", r.Name(), err)
	}
}

// TestOpenHost: the host's file system is that of those from whom a process
// descends that has another one itself; else there is none besides our own.
func TestOpenHost(t *testing.T) {
	if dir := os.Getenv("SOCKCAP_INSIDE"); dir != "" {
		lookOut(t, dir)
		return
	}
	if r, err := OpenHost(); r != nil || err != nil {
		t.Errorf("%v, %v: our own root is the host's", r, err)
	}
	if all := ancestors(); len(all) == 0 || all[0] != os.Getppid() || all[len(all)-1] != 1 {
		t.Errorf("ancestors %d, want from %d to 1", all, os.Getppid())
	}
	cmd := exec.Command("/proc/self/exe", "-test.run", "^TestOpenHost$")
	cmd.Env = append(os.Environ(), "SOCKCAP_INSIDE="+t.TempDir())
	cmd.SysProcAttr = &syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNS}
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("inside: %v\n%s", err, out)
	}
}

// lookOut moves into a directory, as into a container with the host's pids, and
// looks for itself from there.
func lookOut(t *testing.T, dir string) {
	if err := errors.Join(os.Mkdir(dir+"/proc", 0o755), unix.Mount("/proc", dir+"/proc", "", unix.MS_BIND, ""),
		unix.Chroot(dir), os.Chdir("/")); err != nil {
		t.Fatal(err)
	}
	r, err := OpenHost()
	if err != nil || r == nil {
		t.Fatalf("%v, %v", r, err)
	}
	if _, err := os.Stat(dir); err == nil {
		t.Errorf("%s is to be seen without", dir)
	}
	if _, err := r.Stat(dir + "/proc"); err != nil {
		t.Error(err)
	}
}

// TestNoRoot: without one it is this process's own.
func TestNoRoot(t *testing.T) {
	var r *Root
	if info, err := r.Stat("/proc/self/stat"); err != nil || r.Name() != "/" {
		t.Errorf("%v, %v, %q", info, err, r.Name())
	}
	if names, err := r.Glob("/proc/self/sta[t]"); len(names) != 1 || err != nil {
		t.Errorf("%q, %v", names, err)
	}
}
