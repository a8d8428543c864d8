package main

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"text/tabwriter"
)

// spread is a figure as it came in each round.
type spread []float64

func (s spread) min() float64    { return slices.Min(s) }
func (s spread) max() float64    { return slices.Max(s) }
func (s spread) median() float64 { return slices.Sorted(slices.Values(s))[len(s)/2] }

// String is minimum, median and maximum.
func (s spread) String() string {
	if len(s) == 0 {
		return "-"
	}
	return fmt.Sprintf("%.2f %.2f %.2f", s.min(), s.median(), s.max())
}

// table prints rows under a title, in columns.
type table struct{ w *tabwriter.Writer }

func newTable(title string, columns ...string) table {
	fmt.Printf("\n%s\n", title)
	t := table{tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)}
	t.row(columns...)
	return t
}

func (t table) row(cells ...string) {
	fmt.Fprintln(t.w, "  "+strings.Join(cells, "\t"))
}

func (t table) end() error { return t.w.Flush() }

// ns is a time, formatBytes a size, as people read them.
func ns(n float64) string { return fmt.Sprintf("%.0f", n) }

func formatBytes(n int64) string {
	switch {
	case n >= 1<<20 && n%(1<<20) == 0 || n >= 100<<20:
		return fmt.Sprintf("%d MiB", n>>20)
	case n >= 1<<10 && n%(1<<10) == 0 || n >= 100<<10:
		return fmt.Sprintf("%d KiB", n>>10)
	}
	return fmt.Sprintf("%d B", n)
}
