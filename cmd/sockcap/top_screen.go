package main

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"github.com/sockcap/sockcap/capture"
	"github.com/sockcap/sockcap/pcapng"
)

// topView is how top shows what it has counted.
type topView struct {
	sort    string // one of topKeys
	reverse bool
	byPath  bool // one row for all connections of a path
}

// topKeys are what rows can be sorted by.
var topKeys = [...]string{"bytes", "messages", "latency", "total", "path", "pid"}

// topScreen is what was counted in some time, and what else a screen says.
type topScreen struct {
	at      time.Time
	seconds float64 // since the screen before
	hooks   string
	rows    []topRow
	rest    topRow
	nothing string // stands where there are no rows
	stats   capture.Stats
	lost    uint64 // packets since the screen before
}

// append appends the screen as text, in lines of width characters and at most
// so many rows; 0 is any number of each.
func (s *topScreen) append(dst []byte, v *topView, width, most int) []byte {
	dst = append(append(dst, s.header()...), '\n')
	rows, rest, hidden := s.fit(v, most)
	t := s.table(v, rows)
	if hidden > 0 || rest.traffic != (traffic{}) {
		t.rows = append(t.rows, s.row(v, &rest, topRestName(hidden)))
	}
	var text strings.Builder
	writeTable(&text, t, width)
	dst = append(dst, text.String()...)
	if len(t.rows) == 0 && s.nothing != "" {
		dst = append(appendEscaped(dst, s.nothing, inLine), '\n')
	}
	return dst
}

// fit gives the rows that have room among so many, and the sum of the others,
// which takes one, with their number.
func (s *topScreen) fit(v *topView, most int) (rows []topRow, rest topRow, hidden int) {
	rows, rest = v.arrange(s.rows), s.rest
	needs := len(rows)
	if rest.traffic != (traffic{}) {
		needs++
	}
	if most <= 0 || needs <= most {
		return rows, rest, 0
	}
	for _, r := range rows[most-1:] {
		rest.add(r.traffic)
		rest.total += r.total
	}
	return rows[:most-1], rest, len(rows) - (most - 1)
}

// header is the line above the table: sums, and losses.
func (s *topScreen) header() string {
	sum := s.rest.traffic
	connections := 0
	for i := range s.rows {
		sum.add(s.rows[i].traffic)
		connections += s.rows[i].flows
	}
	return topHeader(s, sum, connections)
}

// arrange gives rows in order, and one for each path if v wants that.
func (v *topView) arrange(rows []topRow) []topRow {
	rows = slices.Clone(rows)
	if v.byPath {
		rows = joinPaths(rows)
	}
	slices.SortFunc(rows, func(a, b topRow) int {
		order := v.compare(&a, &b)
		if v.reverse {
			order = -order
		}
		return cmp.Or(order, strings.Compare(a.path, b.path), cmp.Compare(a.client.PID, b.client.PID),
			cmp.Compare(a.server.PID, b.server.PID), cmp.Compare(b.total, a.total))
	})
	return rows
}

// compare puts the largest first, but names and pids from the beginning.
func (v *topView) compare(a, b *topRow) int {
	switch v.sort {
	case "messages":
		return cmp.Compare(b.messages, a.messages)
	case "latency":
		return cmp.Compare(b.latency(), a.latency())
	case "total":
		return cmp.Compare(b.total, a.total)
	case "path":
		return strings.Compare(a.path, b.path)
	case "pid":
		return cmp.Compare(a.client.PID, b.client.PID)
	}
	return cmp.Compare(b.bytes, a.bytes)
}

// joinPaths makes one row of all with the same path and type. Of processes it
// keeps those that are the same everywhere.
func joinPaths(rows []topRow) []topRow {
	type place struct {
		path string
		kind pcapng.SocketType
	}
	at := make(map[place]int)
	var joined []topRow
	for _, r := range rows {
		i, ok := at[place{r.path, r.kind}]
		if !ok {
			at[place{r.path, r.kind}] = len(joined)
			joined = append(joined, r)
			continue
		}
		j := &joined[i]
		j.add(r.traffic)
		j.total += r.total
		j.flows += r.flows
		if j.client != r.client {
			j.client = pcapng.Endpoint{}
		}
		if j.server != r.server {
			j.server = pcapng.Endpoint{}
		}
	}
	return joined
}

func (s *topScreen) table(v *topView, rows []topRow) *table {
	t := &table{columns: []column{
		{title: "BYTES/s", right: true}, {title: "MSGS/s", right: true}, {title: "LATENCY", right: true}, {title: "TOTAL", right: true, atLeast: 6},
		{title: "TYPE", atLeast: 6}, {title: "PATH", flexible: true}, {title: "CLIENT", flexible: true}, {title: "SERVER", flexible: true},
	}}
	if v.byPath {
		t.columns = append(t.columns[:5:5], append([]column{{title: "CONNS", right: true}}, t.columns[5:]...)...)
	}
	for i := range rows {
		t.rows = append(t.rows, s.row(v, &rows[i], string(appendAddress(nil, rows[i].path))))
	}
	return t
}

func (s *topScreen) row(v *topView, r *topRow, path string) []cell {
	kind, conns := "-", "-"
	if r.flows > 0 {
		kind, conns = r.kind.String(), shortNumber(float64(r.flows))
	}
	row := []cell{
		{text: shortNumber(float64(r.bytes) / s.seconds)}, {text: shortNumber(float64(r.messages) / s.seconds)},
		{text: shortTime(r.latency())}, {text: shortNumber(float64(r.total))}, {text: kind},
	}
	if v.byPath {
		row = append(row, cell{text: conns})
	}
	return append(row, cell{text: path, cut: cutLeft}, processCell(&r.client, r.flows), processCell(&r.server, r.flows))
}

// processCell is a process as one item of a list, so that it is cut like one.
func processCell(e *pcapng.Endpoint, flows int) cell {
	switch {
	case flows == 0, flows > 1 && e.PID == 0:
		return cell{text: "-"} // several
	}
	text := string(appendProcess(nil, e))
	return cell{text: text, cut: cutList, items: []string{text}}
}
