package wireshark_test

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sockcap/sockcap/wireshark"
)

// fakeTshark is a program that answers -G folders.
func fakeTshark(t *testing.T, answer string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "tshark")
	syscall.ForkLock.RLock() // a child of another test would keep it busy
	defer syscall.ForkLock.RUnlock()
	script := "#!/bin/sh\n[ \"$*\" = '-G folders' ] || exit 2\ncat <<'END'\n" + answer + "END\n"
	if err := os.WriteFile(path, []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	return path
}

// What the versions print, as far as it matters and is apt to confuse.
const (
	folders40 = "Temp:                \t/tmp\n" +
		"Personal configuration:\t/home/u/.config/wireshark\n" +
		"Global configuration:\t/usr/share/wireshark\n" +
		"System:              \t/etc\n" +
		"Personal Plugins:    \t/home/u/.local/lib/wireshark/plugins/4.0\n" +
		"Global Plugins:      \t/usr/lib/x86_64-linux-gnu/wireshark/plugins/4.0\n" +
		"Personal Lua Plugins:\t/home/u/.local/lib/wireshark/plugins\n" +
		"Global Lua Plugins:  \t/usr/lib/x86_64-linux-gnu/wireshark/plugins\n" +
		"Extcap path:         \t/usr/lib/x86_64-linux-gnu/wireshark/extcap\n" +
		"MaxMind database path:\t/usr/share/GeoIP\n"
	folders44 = "Personal configuration:\t/home/u/.config/wireshark\n" +
		"Global configuration:\t/usr/share/wireshark\n" +
		"Personal Lua Plugins:\t/home/u/.local/lib/wireshark/plugins\n" +
		"Global Lua Plugins:  \t/usr/lib/x86_64-linux-gnu/wireshark/plugins\n" +
		"Personal Extcap path:\t/home/u/.local/lib/wireshark/extcap\n" +
		"Global Extcap path:  \t/usr/lib/x86_64-linux-gnu/wireshark/extcap\n"
	folders46 = "Personal configuration:\t/home/u: and v/.config/wireshark\n" +
		"Global configuration:\t/usr/share/wireshark\n" +
		"Personal Lua Plugins:\t/home/u: and v/.local/lib/wireshark/plugins\n" +
		"Global Lua Plugins:  \t/usr/lib/x86_64-linux-gnu/wireshark/plugins\n" +
		"Personal Extcap path:\t/home/u: and v/.local/lib/wireshark/extcap\n" +
		"Global Extcap path:  \t/usr/libexec/wireshark/extcap\n"
)

func folders(lua, profiles, extcap string) wireshark.Folders {
	return wireshark.Folders{Lua: []string{lua}, Profiles: []string{profiles}, Extcap: []string{extcap}}
}

func TestAskFolders(t *testing.T) {
	t.Parallel()
	const debian = "/usr/lib/x86_64-linux-gnu/wireshark/"
	for name, test := range map[string]struct {
		answer           string
		personal, global wireshark.Folders
	}{
		"4.0": {
			folders40,
			folders("/home/u/.local/lib/wireshark/plugins", "/home/u/.config/wireshark/profiles", "/home/u/.config/wireshark/extcap"),
			folders(debian+"plugins", "/usr/share/wireshark/profiles", debian+"extcap"),
		},
		"4.4": {
			folders44,
			folders("/home/u/.local/lib/wireshark/plugins", "/home/u/.config/wireshark/profiles", "/home/u/.local/lib/wireshark/extcap"),
			folders(debian+"plugins", "/usr/share/wireshark/profiles", debian+"extcap"),
		},
		"4.6": {
			folders46,
			folders("/home/u: and v/.local/lib/wireshark/plugins", "/home/u: and v/.config/wireshark/profiles",
				"/home/u: and v/.local/lib/wireshark/extcap"),
			folders(debian+"plugins", "/usr/share/wireshark/profiles", "/usr/libexec/wireshark/extcap"),
		},
	} {
		personal, global, err := wireshark.AskFolders(context.Background(), fakeTshark(t, test.answer))
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if diff := cmp.Diff([]wireshark.Folders{test.personal, test.global}, []wireshark.Folders{personal, global}); diff != "" {
			t.Errorf("%s: (-want +got)\n%s", name, diff)
		}
	}
}

func TestAskFoldersFails(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct{ tshark, want string }{
		"no such file": {"/nowhere/tshark", "run /nowhere/tshark -G folders: no such file or directory"},
		"fails":        {"/bin/false", "run /bin/false -G folders: exit status 1"},
		"without Lua":  {fakeTshark(t, "Personal configuration:\t/home/u/.config/wireshark\n"), "names no folder for Lua plugins"},
		"relative":     {fakeTshark(t, strings.ReplaceAll(folders44, "\t/", "\t")), "names no folder for Lua plugins"},
	} {
		_, _, err := wireshark.AskFolders(context.Background(), test.tshark)
		if ours := (*wireshark.Error)(nil); !errors.As(err, &ours) || !strings.HasSuffix(err.Error(), test.want) {
			t.Errorf("%s: error %v, want %s", name, err, test.want)
		}
	}
}

func TestDefaultFolders(t *testing.T) {
	t.Parallel()
	want := folders("/home/u/.local/lib/wireshark/plugins", "/home/u/.config/wireshark/profiles", "/home/u/.local/lib/wireshark/extcap")
	want.Extcap = append(want.Extcap, "/home/u/.config/wireshark/extcap")
	if diff := cmp.Diff(want, wireshark.DefaultFolders("/home/u", "not/absolute")); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	if got := wireshark.DefaultFolders("/home/u", "/etc/u").Profiles[0]; got != "/etc/u/wireshark/profiles" {
		t.Errorf("with XDG_CONFIG_HOME: profiles in %s", got)
	}
}

// Two versions share folders: nothing is put twice.
func TestFoldersAdd(t *testing.T) {
	t.Parallel()
	var f wireshark.Folders
	f.Add(folders("/lua", "/profiles", "/extcap"))
	f.Add(folders("/lua", "/profiles", "/other/extcap"))
	want := folders("/lua", "/profiles", "/extcap")
	want.Extcap = append(want.Extcap, "/other/extcap")
	if diff := cmp.Diff(want, f); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

// place is a directory to install to.
type place struct {
	t       *testing.T
	dir     string
	folders wireshark.Folders
}

func newPlace(t *testing.T) *place {
	dir := t.TempDir()
	return &place{t, dir, folders(dir+"/lib/plugins", dir+"/config/profiles", dir+"/lib/extcap")}
}

// install gives what became of each file, by its name below the directory.
func (p *place) install(executable string) map[string]wireshark.Action {
	p.t.Helper()
	steps, err := wireshark.Install(p.folders, executable, false)
	if err != nil {
		p.t.Fatal(err)
	}
	return p.actions(steps)
}

func (p *place) actions(steps []wireshark.Step) map[string]wireshark.Action {
	actions := map[string]wireshark.Action{}
	for _, s := range steps {
		name, err := filepath.Rel(p.dir, s.Path)
		if err != nil {
			p.t.Fatal(err)
		}
		actions[name] = s.Action
	}
	return actions
}

func (p *place) write(name, text string) {
	p.t.Helper()
	path := filepath.Join(p.dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		p.t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		p.t.Fatal(err)
	}
}

func (p *place) symlink(target, name string) {
	p.t.Helper()
	path := filepath.Join(p.dir, name)
	if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.Symlink(target, path)); err != nil {
		p.t.Fatal(err)
	}
}

func (p *place) read(name string) string {
	p.t.Helper()
	data, err := os.ReadFile(filepath.Join(p.dir, name))
	if err != nil {
		p.t.Fatal(err)
	}
	return string(data)
}

// modes are all files with type and permissions.
func (p *place) modes() map[string]string {
	p.t.Helper()
	all := map[string]string{}
	err := filepath.WalkDir(p.dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		name, _ := filepath.Rel(p.dir, path)
		if name != "." {
			all[name] = info.Mode().String()
		}
		return err
	})
	if err != nil {
		p.t.Fatal(err)
	}
	return all
}

const (
	sumsName    = "sockcap.sha256"
	lua         = "lib/plugins/sockcap.lua"
	link        = "lib/extcap/sockcap"
	profileDir  = "config/profiles/sockcap/"
	preferences = profileDir + "preferences"
)

// all is each file with the same action, but for the exceptions.
func all(a wireshark.Action, except map[string]wireshark.Action) map[string]wireshark.Action {
	actions := map[string]wireshark.Action{lua: a, link: a}
	for _, name := range []string{"colorfilters", "dfilter_buttons", "dfilters", "preferences", "profile_settings", "recent", sumsName} {
		actions[profileDir+name] = a
	}
	for name, a := range except {
		actions[name] = a
	}
	return actions
}

func checkActions(t *testing.T, when string, got, want map[string]wireshark.Action) {
	t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%s: (-want +got)\n%s", when, diff)
	}
}

func TestInstall(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	checkActions(t, "first", p.install("/bin/true"), all(wireshark.Put, map[string]wireshark.Action{link: wireshark.Linked}))
	want := map[string]string{
		"lib": "drwxr-xr-x", "lib/plugins": "drwxr-xr-x", lua: "-rw-r--r--", "lib/extcap": "drwxr-xr-x", link: "Lrwxrwxrwx",
		"config": "drwxr-xr-x", "config/profiles": "drwxr-xr-x", "config/profiles/sockcap": "drwxr-xr-x",
	}
	files, err := fs.Glob(wireshark.Profile(), "*")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range append(files, "sockcap.sha256") {
		want[profileDir+name] = "-rw-r--r--"
	}
	if diff := cmp.Diff(want, p.modes()); diff != "" {
		t.Errorf("files (-want +got)\n%s", diff)
	}
	if p.read(lua) != string(wireshark.Dissector()) || p.read(preferences) != profileText(t, "preferences") {
		t.Error("the files are not those that are embedded")
	}
	if target, err := os.Readlink(filepath.Join(p.dir, link)); target != "/bin/true" {
		t.Errorf("the link leads to %q, %v", target, err)
	}
	out, err := exec.Command("sh", "-c", "cd "+p.dir+"/"+profileDir+" && sha256sum -c --quiet sockcap.sha256").CombinedOutput()
	if err != nil {
		t.Errorf("sha256sum: %v\n%s", err, out)
	}

	checkActions(t, "again", p.install("/bin/true"), all(wireshark.Unchanged, nil))
	checkActions(t, "moved", p.install("/bin/false"), all(wireshark.Unchanged, map[string]wireshark.Action{link: wireshark.Linked}))
	if diff := cmp.Diff(want, p.modes()); diff != "" {
		t.Errorf("files after all (-want +got)\n%s", diff)
	}
}

// What the user changed stays; what only we changed does not.
func TestInstallOverOther(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	p.write(lua, "-- of an older sockcap")
	p.write(profileDir+"colorfilters", "of an older sockcap\n")
	p.write(profileDir+"sockcap.sha256", // printf 'of an older sockcap\n' | sha256sum
		"9c6cdfb12b12eb634babdf843b8508a7983d2503457f216c8d4385065a6bbd6f  colorfilters\n"+
			"9c6cdfb12b12eb634babdf843b8508a7983d2503457f216c8d4385065a6bbd6f  preferences\n")
	p.write(preferences, "the user's\n")
	p.write(profileDir+"dfilters", "the user's\n")
	p.write(link, "a copy\n")
	kept := map[string]wireshark.Action{
		preferences: wireshark.Kept, profileDir + "dfilters": wireshark.Kept, link: wireshark.Kept,
	}
	checkActions(t, "over others", p.install("/bin/true"), all(wireshark.Put, kept))
	for _, name := range []string{preferences, profileDir + "dfilters"} {
		if got := p.read(name); got != "the user's\n" {
			t.Errorf("%s: %q", name, got)
		}
	}
	if got := p.read(profileDir + "colorfilters"); got != profileText(t, "colorfilters") {
		t.Errorf("colorfilters: %q", got)
	}
	checkActions(t, "again", p.install("/bin/true"), all(wireshark.Unchanged, kept))
	if err := os.Remove(filepath.Join(p.dir, preferences)); err != nil {
		t.Fatal(err)
	}
	delete(kept, preferences)
	kept[preferences], kept[profileDir+sumsName] = wireshark.Put, wireshark.Put
	checkActions(t, "removed", p.install("/bin/true"), all(wireshark.Unchanged, kept))
}

// A link in a file's place is not written through, wherever it leads.
func TestInstallOverLinks(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	p.write("elsewhere/mine", "mine\n")
	p.symlink(p.dir+"/elsewhere/mine", lua)
	p.symlink(p.dir+"/elsewhere/mine", preferences)
	p.symlink(p.dir+"/elsewhere/new", profileDir+"recent")
	p.symlink(p.dir+"/elsewhere/mine", profileDir+"sockcap.sha256")
	p.symlink(p.dir+"/elsewhere/gone", link)
	checkActions(t, "over links", p.install("/bin/true"), all(wireshark.Put, map[string]wireshark.Action{
		preferences: wireshark.Kept, profileDir + "recent": wireshark.Kept, link: wireshark.Linked,
	}))
	entries, err := os.ReadDir(p.dir + "/elsewhere")
	if err != nil || len(entries) != 1 || p.read("elsewhere/mine") != "mine\n" {
		t.Errorf("elsewhere: %v, %v, mine is %q", entries, err, p.read("elsewhere/mine"))
	}
	if got := p.modes()[lua]; got != "-rw-r--r--" {
		t.Errorf("%s has mode %s", lua, got)
	}
}

// A package's link goes by its own folder: it leads to the same program.
func TestInstallOverRelative(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	p.write("bin/sockcap", "")
	exe := filepath.Join(p.dir, "bin/sockcap")
	if err := os.Chmod(exe, 0o755); err != nil {
		t.Fatal(err)
	}
	p.symlink("../../bin/sockcap", link)
	checkActions(t, "relative", p.install(exe), all(wireshark.Put, map[string]wireshark.Action{link: wireshark.Unchanged}))
}

func TestInstallFails(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	p.write("config/profiles", "a file")
	steps, err := wireshark.Install(p.folders, "/bin/true", false)
	checkActions(t, "before the error", p.actions(steps), map[string]wireshark.Action{lua: wireshark.Put})
	want := "put " + p.dir + "/" + profileDir + "colorfilters: not a directory"
	if ours := (*wireshark.Error)(nil); !errors.As(err, &ours) || err.Error() != want || !errors.Is(err, syscall.ENOTDIR) {
		t.Errorf("error %v, want %s", err, want)
	}

	p = newPlace(t)
	p.write(lua+"/a directory", "")
	_, err = wireshark.Install(p.folders, "/bin/true", false)
	if want := "put " + p.dir + "/" + lua + ": file exists"; err == nil || err.Error() != want {
		t.Errorf("error %v, want %s", err, want)
	}
	if left, err := filepath.Glob(p.dir + "/lib/plugins/.sockcap-*"); err != nil || len(left) > 0 {
		t.Errorf("left behind: %q, %v", left, err)
	}
}

// No link to what can't be run: Wireshark would say so at each start.
func TestInstallNotRunnable(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		file, dir fs.FileMode
		everyone  bool
		want      string
	}{
		"not executable": {0o644, 0o755, false, "you may not run it"},
		"for me":         {0o700, 0o700, false, ""},
		"for root":       {0o700, 0o755, true, "others may not run it: %s/bin/sockcap is closed to them"},
		"for a group":    {0o750, 0o755, true, ""},
		"out of reach":   {0o755, 0o700, true, "others may not run it: %s/bin is closed to them"},
	} {
		p := newPlace(t)
		exe := p.dir + "/bin/sockcap"
		p.write("bin/sockcap", "")
		if err := errors.Join(os.Chmod(exe, test.file), os.Chmod(p.dir+"/bin", test.dir),
			os.Chmod(filepath.Dir(p.dir), 0o755)); err != nil { // which TempDir closes to others
			t.Fatal(err)
		}
		steps, err := wireshark.Install(p.folders, exe, test.everyone)
		want := all(wireshark.Put, map[string]wireshark.Action{link: wireshark.Linked})
		if test.want != "" {
			delete(want, link)
			test.want = "link " + exe + ": " + strings.ReplaceAll(test.want, "%s", p.dir)
		}
		checkActions(t, name, p.actions(steps), want)
		if (err == nil) != (test.want == "") || err != nil && err.Error() != test.want {
			t.Errorf("%s: error %v, want %q", name, err, test.want)
		}
	}
}

// installFor installs for the user that tshark is run by.
func (s *shark) installFor(t *testing.T, executable string) {
	t.Helper()
	out, _ := s.start(t, "-G", "folders")
	out = strings.ReplaceAll(out, "\t"+s.path(""), "\t"+s.dir) // without the root directory
	personal, _, err := wireshark.AskFolders(context.Background(), fakeTshark(t, out))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := wireshark.Install(personal, executable, false); err != nil {
		t.Fatal(err)
	}
}

// The real tshark finds all that Install puts where it says it looks.
func TestInstalled(t *testing.T) {
	t.Parallel()
	s := newShark(t)
	golden, err := os.ReadFile("../testdata/capture/http.pcapng")
	if err != nil {
		t.Fatal(err)
	}
	s.write(t, "http.pcapng", golden)
	exe := filepath.Join(s.dir, "program")
	build := exec.Command("go", "build", "-o", exe, "./testdata/interface")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	s.write(t, wireshark.DissectorName, nil) // what -X loads
	decoded := func() int { return s.count(t, "http.pcapng", "http.request") }
	if n := decoded(); n != 0 {
		t.Fatalf("%d requests decoded before the dissector is there", n)
	}
	s.installFor(t, exe)
	if n := decoded(); n != 2 {
		t.Errorf("%d requests decoded, want 2", n)
	}
	out := s.run(t, "-C", wireshark.ProfileName, "-r", s.path("http.pcapng"), "-T", "tabs")
	if row := strings.Split(strings.Split(out, "\n")[2], "\t"); !slices.Contains(row, "/run/docker.sock") {
		t.Errorf("no path in the profile's columns: %q", row)
	}

	// The link leads to where it is outside of the root directory.
	for _, extcap := range []string{".local/lib/wireshark/extcap", ".config/wireshark/extcap"} {
		if link := filepath.Join(s.dir, extcap, "sockcap"); os.Remove(link) == nil {
			if err := os.Symlink(s.path("program"), link); err != nil {
				t.Fatal(err)
			}
		}
	}
	if out := s.run(t, "-D"); !strings.Contains(out, "installed (Installed)") {
		t.Errorf("tshark -D does not see the program:\n%s", out)
	}
	if err := os.Remove(exe); err != nil { // moved away
		t.Fatal(err)
	}
	out, errs := s.start(t, "-D")
	if strings.Contains(out+errs, "installed") || strings.Contains(errs, "sockcap") {
		t.Errorf("tshark -D after the program went away:\n%s%s", out, errs)
	}
}

// The same script is put for the user and for all users: the second copy is
// passed over without a word.
func TestInstalledTwice(t *testing.T) {
	t.Parallel()
	s := withProfile(t)
	for _, dir := range []string{".local/lib/wireshark/plugins", ".config/wireshark/plugins"} {
		f := wireshark.Folders{Lua: []string{filepath.Join(s.dir, dir)}}
		if _, err := wireshark.Install(f, "", false); err != nil {
			t.Fatal(err)
		}
	}
	out, errs := s.start(t, "-r", s.path("http.pcapng"), "-Y", "http.request")
	if w := words(errs); w != "" || strings.Count(out, "\n") != 2 {
		t.Errorf("with three copies:\n%s%s", w, out)
	}
}
