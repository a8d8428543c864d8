package capture

import (
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// TestEndsWithoutRights: a session whose process may not open the files of root
// any more, as after giving up its rights, ends without an error, and leaves no
// probe behind in tracefs' list.
func TestEndsWithoutRights(t *testing.T) {
	eachSet(t, func(t *testing.T, set string) {
		s, err := Start(t.Context(), Options{Hooks: set, NoSnapshot: true, BufferSize: minBuffer})
		if err != nil {
			t.Fatal(err)
		}
		var groups []string
		for _, l := range s.progs.links {
			if r, ok := l.Link.(*returnProbe); ok {
				groups = append(groups, r.group)
			}
		}
		if n := len(listed(t, groups)); n != len(groups) {
			t.Errorf("%d probes in the list, want %d", n, len(groups))
		}
		runtime.LockOSThread()
		unix.SetfsuidRetUid(65534) // of this thread, with what overrides modes
		err = s.Close()
		unix.SetfsuidRetUid(os.Geteuid())
		runtime.UnlockOSThread()
		if err != nil {
			t.Error(err)
		}
		if left := listed(t, groups); len(left) > 0 {
			t.Errorf("left behind: %q", left)
		}
	})
}

// listed are the lines of tracefs' list of probes that are of one of the groups.
func listed(t *testing.T, groups []string) (lines []string) {
	t.Helper()
	if len(groups) == 0 {
		return nil
	}
	dir, err := tracefs()
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(dir, "kprobe_events"))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if slices.ContainsFunc(groups, func(g string) bool { return strings.Contains(line, ":"+g+"_") }) {
			lines = append(lines, line)
		}
	}
	return lines
}
