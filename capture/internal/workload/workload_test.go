package workload

import (
	"context"
	"errors"
	"os"
	"strings"
	"testing"
	"time"
)

func TestMain(m *testing.M) {
	Main()
	os.Exit(m.Run())
}

// seed is logged, so that a failure can be run again.
const seed = 20240229

// TestCases runs all cases without a capture: the generator's own readers must
// have got what was sent.
func TestCases(t *testing.T) {
	begin := time.Now()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	w, err := Start(ctx, Config{Seed: seed})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range Cases() {
		t.Run(c.Name, func(t *testing.T) {
			truth, err := w.Run(c.Name)
			if errors.Is(err, ErrNotPossible) && optional(c.Name) {
				t.Skip(err)
			}
			if err != nil {
				t.Fatal(err)
			}
			units := 0
			for _, f := range truth.Flows {
				units += len(f.Units)
			}
			if r := Compare(truth, perfect(truth)); r.Verdict != Exact {
				t.Errorf("packets made of the truth: %v", r)
			}
			if !testing.Short() { // the same on every kernel
				spoil(t, truth)
			}
			t.Logf("%d sends, %d flows, %d units, %v", len(truth.Sends), len(truth.Flows), units, truth.End.Sub(truth.Start))
		})
	}
	if err := w.Close(); err != nil {
		t.Error(err)
	}
	t.Logf("all in %v", time.Since(begin))
}

// optional reports whether some kernel from 5.10 on may lack what the case
// needs: MSG_OOB came with 5.15 and can be configured out, as can io_uring.
func optional(name string) bool {
	return strings.HasPrefix(name, "oob") || strings.Contains(name, "uring")
}

// TestCaseNames: a case is told by its name alone.
func TestCaseNames(t *testing.T) {
	seen := make(map[string]bool)
	for _, c := range Cases() {
		if seen[c.Name] || c.Name == "" || c.About == "" {
			t.Errorf("case %q (%s): its name is taken, or something is empty", c.Name, c.About)
		}
		seen[c.Name] = true
	}
}

// TestRunUnknown: a case that there is not is an error, and no end.
func TestRunUnknown(t *testing.T) {
	w, err := Start(t.Context(), Config{Seed: seed, Cases: []string{"stream-small"}})
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	if _, err := w.Run("no-such-case"); err == nil {
		t.Error("no error")
	}
	if _, err := w.Run("stream-small"); err != nil {
		t.Error(err)
	}
}
