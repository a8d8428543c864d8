package snapshot

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
)

// TestForeignProcess: a process whose descriptors are closed to us is another user's,
// unless it has ended, at whatever moment that was, or is the kernel's own.
func TestForeignProcess(t *testing.T) {
	stat := func(flags int) string { return fmt.Sprintf("7 (a) b) S 1 7 7 0 -1 %d 0 0", flags) }
	status := func(uid int) string { return fmt.Sprintf("Name:\ta\nUid:\t%d\t%[1]d\t%[1]d\t%[1]d\n", uid) }
	for name, c := range map[string]struct {
		stat, status string
		foreign      bool
	}{
		"another's":       {stat(0), status(os.Geteuid() + 1), true},
		"ours":            {stat(0), status(os.Geteuid()), false},
		"the kernel's":    {stat(kernelThread), status(os.Geteuid() + 1), false},
		"ended":           {"", "", false},
		"ended meanwhile": {stat(0), "", false},
	} {
		dir := t.TempDir()
		for file, text := range map[string]string{"stat": c.stat, "status": c.status} {
			if text == "" {
				continue
			}
			if err := os.WriteFile(filepath.Join(dir, file), []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		f, err := os.Open(dir)
		if err != nil {
			t.Fatal(err)
		}
		if got := isForeign(int(f.Fd())); got != c.foreign {
			t.Errorf("%s: foreign %v", name, got)
		}
		f.Close()
	}
}
