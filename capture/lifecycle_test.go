package capture

import (
	"context"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/sockcap/sockcap/capture/internal/workload"
	"github.com/sockcap/sockcap/pcapng"
)

// TestLifecycle captures the cases whose events are known with each hook set:
// each event is told once, of the right socket, task and connection, and in its
// place among the data.
func TestLifecycle(t *testing.T) {
	var names []string
	for _, c := range workload.Cases() {
		if strings.HasPrefix(c.Name, "life-") {
			names = append(names, c.Name)
		}
	}
	for _, set := range liveSets(t) {
		for name, o := range liveOptions(t, set) {
			t.Run(name, func(t *testing.T) { lifecycle(t, o, names) })
		}
	}
}

func lifecycle(t *testing.T, o Options, names []string) {
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	w, err := workload.Start(ctx, workload.Config{Seed: 7, Cases: names})
	if err != nil {
		t.Fatal(err)
	}
	before := newClock()
	captured := startCapture(t, o)
	truths := runCases(t, w, names)
	noteSteps(truths, before)
	if err := w.Close(); err != nil {
		t.Error(err)
	}
	packets, stats := captured()
	compareEvents(t, truths, packets)
	if stats.LostEvents > 0 {
		t.Errorf("%d events lost", stats.LostEvents)
	}
}

// compareEvents compares the events of cases that know theirs.
func compareEvents(t *testing.T, truths []*workload.Truth, packets []*pcapng.Packet) {
	t.Helper()
	for _, truth := range truths {
		if len(truth.Events) == 0 {
			continue
		}
		for _, d := range workload.CompareEvents(truth, packets) {
			t.Error(d)
		}
	}
}

// TestLifecycleChosen: a path keeps the events of its sockets alone, among them
// of those that were asked for and are not there.
func TestLifecycleChosen(t *testing.T) {
	names := []string{"life-refused", "life-stream", "life-dgram"}
	for _, set := range liveSets(t) {
		t.Run(set, func(t *testing.T) {
			dir := t.TempDir()
			w, err := workload.Start(t.Context(), workload.Config{Seed: 7, Dir: dir, Cases: names})
			if err != nil {
				t.Fatal(err)
			}
			chosen := caseDir(t, dir, "life-refused")
			captured := startCapture(t, Options{Hooks: set, Paths: []string{chosen}})
			// The chosen one first: a file that is removed leaves its number to
			// the next, which who hears of the first only then takes for it.
			truths := runCases(t, w, names[:1])
			truths = append(truths, runCases(t, w, names[1:])...)
			if err := w.Close(); err != nil {
				t.Error(err)
			}
			packets, _ := captured()
			for _, truth := range truths {
				truth.Events = slices.DeleteFunc(truth.Events, func(x workload.Event) bool { return !strings.HasPrefix(x.Path, chosen+"/") })
				if truth.Case == "life-refused" && len(truth.Events) < 10 {
					t.Errorf("%d events below %s", len(truth.Events), chosen)
				}
			}
			compareEvents(t, truths, packets)
			for _, p := range packets {
				if !strings.HasPrefix(p.Path, chosen+"/") {
					t.Errorf("told: %s", show(p))
				}
			}
		})
	}
}

// caseDir is where a case of a worker that was started in dir has its sockets.
func caseDir(t *testing.T, dir, name string) string {
	workers, err := filepath.Glob(filepath.Join(dir, "wl*"))
	if err != nil || len(workers) != 1 {
		t.Fatalf("workers in %s: %q, %v", dir, workers, err)
	}
	i := slices.IndexFunc(workload.Cases(), func(c workload.Case) bool { return c.Name == name })
	return filepath.Join(workers[0], strconv.Itoa(i))
}
