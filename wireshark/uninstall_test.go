package wireshark_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sockcap/sockcap/wireshark"
)

// uninstall gives what became of each file, by its name below the directory.
func (p *place) uninstall(executable string, force bool) map[string]wireshark.Action {
	p.t.Helper()
	steps, err := wireshark.Uninstall(p.folders, executable, false, force)
	if err != nil {
		p.t.Fatal(err)
	}
	return p.actions(steps)
}

// removedAll is what becomes of all files and the profile's folder, but for
// exceptions.
func removedAll(except map[string]wireshark.Action) map[string]wireshark.Action {
	actions := all(wireshark.Removed, map[string]wireshark.Action{filepath.Clean(profileDir): wireshark.Removed})
	for name, a := range except {
		if actions[name] = a; a == wireshark.Kept {
			delete(actions, filepath.Clean(profileDir))
		}
	}
	return actions
}

// All that Install put goes, and nothing else.
func TestUninstall(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	checkActions(t, "nothing there", p.uninstall("/bin/true", false), map[string]wireshark.Action{})
	p.write("lib/plugins/other.lua", "")
	p.write("config/profiles/other/preferences", "")
	p.write("lib/extcap/other", "")
	before := p.modes()
	p.install("/bin/true")
	checkActions(t, "all", p.uninstall("/bin/true", false), removedAll(nil))
	if diff := cmp.Diff(before, p.modes()); diff != "" {
		t.Errorf("files (-before +after)\n%s", diff)
	}

	p.install("/bin/true")
	p.write(profileDir+"decode_as_entries", "Wireshark's\n")
	want := removedAll(nil)
	delete(want, filepath.Clean(profileDir))
	checkActions(t, "beside another's file", p.uninstall("/bin/true", true), want)
	if p.read(profileDir+"decode_as_entries") != "Wireshark's\n" {
		t.Error("it is gone")
	}
}

// What somebody changed stays, unless it is forced; a program in any case.
func TestUninstallChanged(t *testing.T) {
	t.Parallel()
	for force, action := range map[bool]wireshark.Action{false: wireshark.Kept, true: wireshark.Removed} {
		p := newPlace(t)
		p.install("/bin/true")
		p.write(lua, "-- of another version")
		p.write(preferences, "the user's\n")
		if err := os.Remove(filepath.Join(p.dir, profileDir, "recent")); err != nil {
			t.Fatal(err)
		}
		p.write("elsewhere/mine", "mine\n")
		p.symlink(p.dir+"/elsewhere/mine", profileDir+"recent")
		want := map[string]wireshark.Action{
			lua: action, preferences: action, profileDir + "recent": action, link: action,
		}
		checkActions(t, "changed", p.uninstall("/bin/false", force), removedAll(want)) // the link leads to another program
		if p.read("elsewhere/mine") != "mine\n" {
			t.Error("removed through a link")
		}
	}
	p := newPlace(t)
	p.write(link, "a copy\n")
	checkActions(t, "a program", p.uninstall("/bin/true", true), map[string]wireshark.Action{link: wireshark.Kept})
}

// A file that an older version had goes by its list, which names no others.
func TestUninstallOlder(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	const sum = "9c6cdfb12b12eb634babdf843b8508a7983d2503457f216c8d4385065a6bbd6f  " // printf 'of an older sockcap\n' | sha256sum
	const text = "of an older sockcap\n"
	p.write(profileDir+sumsName, sum+"io_graphs\n"+sum+"../victim\n"+sum+"..\n"+sum+"changed\n"+sum+"gone\n")
	p.write(profileDir+"io_graphs", text)
	p.write(profileDir+"changed", "the user's\n")
	p.write("config/profiles/victim", text)
	checkActions(t, "older", p.uninstall("/bin/true", false), map[string]wireshark.Action{
		profileDir + "io_graphs": wireshark.Removed, profileDir + "changed": wireshark.Kept, profileDir + sumsName: wireshark.Removed,
	})
	if p.read("config/profiles/victim") != text {
		t.Error("removed outside")
	}
}
