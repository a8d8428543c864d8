package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sockcap/sockcap/wireshark"
)

// fakeAccount is the user sudoer, whose home a test names.
func fakeAccount(uid string) (*user.User, error) {
	if uid != strconv.Itoa(sudoer) {
		return nil, user.UnknownUserIdError(0)
	}
	return &user.User{Uid: uid, Gid: uid, Username: "sudoer", HomeDir: os.Getenv("SOCKCAP_HOME")}, nil
}

// installation is a machine's Wireshark in a directory, and a sockcap that
// every user may run.
type installation struct {
	t   *testing.T
	dir string
	env []string
}

func newInstallation(t *testing.T) *installation {
	t.Helper()
	dir, err := os.MkdirTemp("/tmp", "sockcap") // not TempDir, which is closed to others
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	in := &installation{t, dir, []string{"PATH=" + dir + "/bin", "HOME=" + dir + "/home"}}
	test, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	binary, err := os.ReadFile(test)
	if err != nil {
		t.Fatal(err)
	}
	in.write("bin/sockcap", string(binary))
	for _, home := range []string{"home", "sudoer"} {
		if err := os.Mkdir(filepath.Join(dir, home), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return in
}

// write makes a file that can be run. No other test forks meanwhile: the child
// would have it open for writing, and it would be busy.
func (in *installation) write(name, text string) {
	in.t.Helper()
	path := filepath.Join(in.dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		in.t.Fatal(err)
	}
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	if err := os.WriteFile(path, []byte(text), 0o755); err != nil {
		in.t.Fatal(err)
	}
}

// tshark puts one into PATH, which answers as 4.4 does.
func (in *installation) tshark() {
	in.write("bin/tshark", fmt.Sprintf(`#!/bin/sh
[ "$*" = '-G folders' ] || exit 2
[ ! -d "$HOME/ids" ] || (/usr/bin/id -u; /usr/bin/id -g; /usr/bin/id -G) >"$HOME/ids/ids"
echo "Personal configuration:	$HOME/config
Global configuration:	%[1]s/share
Personal Lua Plugins:	$HOME/plugins
Global Lua Plugins:	%[1]s/lib/plugins
Personal Extcap path:	$HOME/extcap
Global Extcap path:	%[1]s/lib/extcap"
`, in.dir))
}

// run gives what install printed, with DIR for the directory.
func (in *installation) run(status int, args ...string) (stdout, stderr string) {
	in.t.Helper()
	if len(args) == 0 || args[0] != "uninstall" {
		args = append([]string{"install"}, args...)
	}
	cmd := exec.Command(filepath.Join(in.dir, "bin/sockcap"), append([]string{"dissector"}, args...)...)
	cmd.Env, cmd.Dir = in.env, in.dir
	var out, errs strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	if got := cmd.ProcessState.ExitCode(); got != status {
		in.t.Fatalf("%q: %v, want status %d\n%s%s", args, err, status, &out, &errs)
	}
	return strings.ReplaceAll(out.String(), in.dir, "DIR"), strings.ReplaceAll(errs.String(), in.dir, "DIR")
}

// owners are those of all files but the program, by name.
func (in *installation) owners() map[string]int {
	in.t.Helper()
	all := map[string]int{}
	err := filepath.WalkDir(in.dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		if name, _ := filepath.Rel(in.dir, path); filepath.Dir(name) != "bin" && err == nil {
			all[name] = uidOf(info)
		}
		return err
	})
	if err != nil {
		in.t.Fatal(err)
	}
	return all
}

// put is what install prints when it puts all into these folders.
func put(lua, profiles, extcap string) string {
	text := "put       " + lua + "/sockcap.lua\n"
	for _, name := range profileFiles {
		text += "put       " + profiles + "/sockcap/" + name + "\n"
	}
	return text + "linked    " + extcap + "/sockcap -> DIR/bin/sockcap\n"
}

var profileFiles = []string{"colorfilters", "dfilter_buttons", "dfilters", "preferences", "profile_settings", "recent", "sockcap.sha256"}

// files are those that install makes in these folders, all of one owner.
func files(owner int, lua, profiles, extcap string) map[string]int {
	all := map[string]int{lua + "/sockcap.lua": owner, extcap + "/sockcap": owner}
	for _, name := range profileFiles {
		all[profiles+"/sockcap/"+name] = owner
	}
	return all
}

func (in *installation) check(what, got, want string) {
	in.t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		in.t.Errorf("%s (-want +got)\n%s", what, diff)
	}
}

func (in *installation) checkOwners(want map[string]int) {
	in.t.Helper()
	if diff := cmp.Diff(want, in.owners()); diff != "" {
		in.t.Errorf("files (-want +got)\n%s", diff)
	}
}

func TestInstallPersonal(t *testing.T) {
	t.Parallel()
	in := newInstallation(t)
	in.tshark()
	out, _ := in.run(0)
	in.check("stdout", out, put("DIR/home/plugins", "DIR/home/config/profiles", "DIR/home/extcap"))
	in.checkOwners(files(os.Geteuid(), "home/plugins", "home/config/profiles", "home/extcap"))

	in.write("home/config/profiles/sockcap/preferences", "mine\n")
	out, _ = in.run(0)
	want := strings.ReplaceAll(put("DIR/home/plugins", "DIR/home/config/profiles", "DIR/home/extcap"), "put      ", "unchanged")
	want = strings.ReplaceAll(want, "linked   ", "unchanged")
	const preferences = "DIR/home/config/profiles/sockcap/preferences"
	want = strings.ReplaceAll(want, "unchanged "+preferences, "kept      "+preferences+": not as sockcap has put it (remove it to get sockcap's)")
	want = strings.ReplaceAll(want, "unchanged DIR/home/config/profiles/sockcap/sockcap.sha256", "put       DIR/home/config/profiles/sockcap/sockcap.sha256")
	in.check("stdout again", out, want)
}

// removed is what uninstall prints when it takes all from these folders.
func removed(lua, profiles, extcap string) string {
	text := "removed   " + extcap + "/sockcap\n" + "removed   " + lua + "/sockcap.lua\n"
	for _, name := range profileFiles {
		text += "removed   " + profiles + "/sockcap/" + name + "\n"
	}
	return text + "removed   " + profiles + "/sockcap\n"
}

// What install has put there goes again, for the user, for all, and for who
// calls sudo, with that user's rights; nothing else does.
func TestUninstall(t *testing.T) {
	t.Parallel()
	in := newInstallation(t)
	in.tshark()
	for _, c := range []struct {
		args                 []string
		lua, profile, extcap string
	}{
		{nil, "DIR/home/plugins", "DIR/home/config/profiles", "DIR/home/extcap"},
		{[]string{"--system"}, "DIR/lib/plugins", "DIR/share/profiles", "DIR/lib/extcap"},
	} {
		before := in.owners()
		in.run(0, c.args...)
		out, errs := in.run(0, append([]string{"uninstall"}, c.args...)...)
		in.check("stdout", out, removed(c.lua, c.profile, c.extcap))
		in.check("stderr", errs, "")
		in.checkOwners(before)
		out, errs = in.run(0, append([]string{"uninstall"}, c.args...)...)
		in.check("stdout again", out, "")
		if !strings.HasPrefix(errs, "sockcap: nothing of sockcap is installed") {
			t.Errorf("stderr again: %s", errs)
		}
	}
	in.run(0)
	in.env = append(in.env, "SUDO_UID=4099", "SUDO_GID=4099", "SOCKCAP_HOME="+in.dir+"/home")
	out, errs := in.run(1, "uninstall")
	in.check("stdout, sudo", out, "")
	in.check("stderr, sudo", errs, "sockcap: uninstalling for sudoer, who called sudo; with --system: for all users\n"+
		"sockcap: error: remove DIR/home/extcap/sockcap: permission denied\n")
}

func TestInstallWithoutTshark(t *testing.T) {
	t.Parallel()
	in := newInstallation(t)
	out, errs := in.run(0)
	in.check("stdout", out, put("DIR/home/.local/lib/wireshark/plugins", "DIR/home/.config/wireshark/profiles", "DIR/home/.local/lib/wireshark/extcap")+
		"linked    DIR/home/.config/wireshark/extcap/sockcap -> DIR/bin/sockcap\n")
	if !strings.Contains(errs, "sockcap: no tshark to ask: taking the folders where every Wireshark from 4.0 on looks\n") {
		t.Errorf("stderr: %s", errs)
	}
	out, errs = in.run(1, "--system")
	in.check("stdout, system", out, "")
	in.check("stderr, system", errs, "sockcap: error: find the folders for all users: no tshark in PATH, which knows them\n"+
		"sockcap: hint: install tshark; for you alone, without --system, it is not needed\n")
}

// One tshark that fails is passed over if another one answers.
func TestInstallBrokenTshark(t *testing.T) {
	t.Parallel()
	in := newInstallation(t)
	in.write("old/tshark", "#!/bin/sh\nexit 3\n")
	in.env = append(in.env, "PATH="+in.dir+"/old:"+in.dir+"/bin")
	out, errs := in.run(1, "--system")
	in.check("stdout", out, "")
	in.check("stderr", errs, "sockcap: error: run DIR/old/tshark -G folders: exit status 3\n")
	in.tshark()
	out, errs = in.run(0, "--system")
	in.check("stdout with another", out, put("DIR/lib/plugins", "DIR/share/profiles", "DIR/lib/extcap"))
	in.check("stderr with another", errs, "")
}

// Files for all users can be read by them, whatever root's umask.
func TestInstallSystem(t *testing.T) {
	t.Parallel()
	in := newInstallation(t)
	in.tshark()
	in.env = append(in.env, "SUDO_UID=4099", "SUDO_GID=4099", "SOCKCAP_HOME="+in.dir+"/sudoer")
	cmd := exec.Command("sh", "-c", "umask 077 && exec bin/sockcap dissector install --system")
	cmd.Dir, cmd.Env = in.dir, in.env
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	in.check("output", strings.ReplaceAll(string(out), in.dir, "DIR"), put("DIR/lib/plugins", "DIR/share/profiles", "DIR/lib/extcap"))
	in.checkOwners(files(os.Geteuid(), "lib/plugins", "share/profiles", "lib/extcap"))
	for name, want := range map[string]fs.FileMode{"lib/plugins": 0o755, "share/profiles/sockcap": 0o755, "share/profiles/sockcap/recent": 0o644} {
		if info, err := os.Stat(filepath.Join(in.dir, name)); err != nil || info.Mode().Perm() != want {
			t.Errorf("%s: mode %v, %v, want %v", name, info.Mode(), err, want)
		}
	}
}

// Under sudo it is the caller's home, and nothing is done with root's rights.
func TestInstallUnderSudo(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		t.Fatal("run as root")
	}
	in := newInstallation(t)
	in.tshark()
	in.env = append(in.env, "SUDO_UID=4099", "SUDO_GID=4099", "SOCKCAP_HOME="+in.dir+"/sudoer")
	const note = "sockcap: installing for sudoer, who called sudo; with --system: for all users\n"
	out, errs := in.run(1)
	in.check("stdout, root's home", out, "")
	in.check("stderr, root's home", errs, note+"sockcap: error: put DIR/sudoer/plugins/sockcap.lua: permission denied\n")

	if err := os.Chown(filepath.Join(in.dir, "sudoer"), sudoer, sudoer); err != nil {
		t.Fatal(err)
	}
	ids := filepath.Join(in.dir, "sudoer/ids")
	if err := errors.Join(os.Mkdir(ids, 0o755), os.Chown(ids, sudoer, sudoer)); err != nil {
		t.Fatal(err)
	}
	out, errs = in.run(0)
	is, err := os.ReadFile(filepath.Join(ids, "ids")) // what a tshark of the user's may do
	in.check("who ran tshark", string(is), "4099\n4099\n4099\n")
	if err := errors.Join(err, os.RemoveAll(ids)); err != nil {
		t.Fatal(err)
	}
	in.check("stdout", out, put("DIR/sudoer/plugins", "DIR/sudoer/config/profiles", "DIR/sudoer/extcap"))
	in.check("stderr", errs, note)
	in.checkOwners(files(sudoer, "sudoer/plugins", "sudoer/config/profiles", "sudoer/extcap"))

	in.env = append(in.env, "SUDO_UID=4101")
	_, errs = in.run(1)
	in.check("stderr, no such user", errs, "sockcap: error: find the home of user 4101, who called sudo: not in /etc/passwd\n"+
		"sockcap: hint: run it without sudo\n")
}

// What lies in the current directory is never run, whatever PATH says.
func TestInstallRunsNothingHere(t *testing.T) {
	t.Parallel()
	in := newInstallation(t)
	in.tshark()
	in.write("tshark", "#!/bin/sh\nexit 3\n")
	in.env[0] = "PATH=.::" + in.dir + "/bin"
	_, errs := in.run(0)
	if strings.Contains(errs, "exit status 3") {
		t.Errorf("ran ./tshark:\n%s", errs)
	}
}

// Root's own Wireshark is rarely what was meant.
func TestInstallForRoot(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		t.Fatal("run as root")
	}
	in := newInstallation(t)
	in.tshark()
	_, errs := in.run(0)
	in.check("stderr", errs, "sockcap: warning: installing for root alone, and from 4.4 on Wireshark loads no Lua for root\n"+
		"sockcap: hint: run it as yourself, or with --system for all users\n")
}

func TestPrintStepsEscape(t *testing.T) {
	var b strings.Builder
	if err := printSteps(&b, []wireshark.Step{{Action: wireshark.Linked, Path: "/home/\x1b[2J/x", Target: "/a\nb"}}, ""); err != nil {
		t.Fatal(err)
	}
	if strings.ContainsAny(strings.TrimSuffix(b.String(), "\n"), "\x1b\n") {
		t.Errorf("%q", b.String())
	}
}
