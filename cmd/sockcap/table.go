package main

import (
	"io"
	"os"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/sys/unix"
)

// table is rows of cells below a header, for people: aligned, and on a terminal
// as wide as that. Cells hold no control characters.
type table struct {
	columns []column
	rows    [][]cell
	rest    []string // what stands behind each row, if anything
	gap     int      // between columns
}

type column struct {
	title    string
	right    bool // aligned to the right
	flexible bool // may be narrower than its cells
	atLeast  int  // as wide, whatever the cells are
}

// cell is a text, and how it is made narrower.
type cell struct {
	text  string
	cut   cut
	items []string // of which text is made, for cutList
}

type cut uint8

const (
	cutRight cut = iota
	cutLeft      // the end says most, as of a path
	cutList      // what does not fit is counted: +N
)

// maxPadding is the width up to which a flexible column is aligned where width
// is no matter: one long cell must not push all others away.
const maxPadding = 40

// writeTable writes t, in lines of up to width characters; 0: of any length,
// and nothing is cut. What stands behind rows counts for nothing.
func writeTable(w io.StringWriter, t *table, width int) {
	widths := t.natural()
	t.gap = 2
	if width > 0 {
		t.squeeze(widths, width)
	}
	var line []byte
	header := make([]cell, len(t.columns))
	for i, c := range t.columns {
		header[i].text = c.title
	}
	w.WriteString(string(t.appendRow(line, header, widths, width > 0, "")))
	for i, row := range t.rows {
		rest := ""
		if t.rest != nil {
			rest = t.rest[i]
		}
		line = t.appendRow(line[:0], row, widths, width > 0, rest)
		w.WriteString(string(line))
	}
}

// natural is how wide each column is if nothing is cut.
func (t *table) natural() []int {
	widths := make([]int, len(t.columns))
	for i, c := range t.columns {
		widths[i] = max(len(c.title), c.atLeast)
		for _, row := range t.rows {
			widths[i] = max(widths[i], textWidth(row[i].text))
		}
	}
	return widths
}

// squeeze makes flexible columns narrower, the widest first, until a line has
// the width, or all are as narrow as their titles.
func (t *table) squeeze(widths []int, width int) {
	wide := t.gap * (len(widths) - 1)
	for _, w := range widths {
		wide += w
	}
	if wide <= width {
		return
	}
	t.gap = 1
	left := width - (len(widths) - 1)
	var cut []int // columns that are
	for i, c := range t.columns {
		if c.flexible {
			cut = append(cut, i)
		} else {
			left -= widths[i]
		}
	}
	cut, left = t.share(widths, cut, left)
	slack := left
	for _, i := range cut { // a list does not fill its share
		fitted := len(t.columns[i].title)
		for _, row := range t.rows {
			fitted = max(fitted, textWidth(row[i].fit(widths[i])))
		}
		slack += widths[i] - fitted
		widths[i] = fitted
	}
	for _, i := range cut {
		widths[i] += max(slack, 0)
		slack = 0
	}
}

// share divides left among columns: those that need less than their share get
// that, the others the same each. It returns those that are cut, and what is
// left over.
func (t *table) share(widths, columns []int, left int) ([]int, int) {
	for len(columns) > 0 {
		share, fits := left/len(columns), -1
		for at, i := range columns {
			if widths[i] <= share {
				fits = at
			}
		}
		if fits < 0 {
			for _, i := range columns {
				widths[i] = max(share, len(t.columns[i].title))
				left -= widths[i]
			}
			return columns, left
		}
		left -= widths[columns[fits]]
		columns = append(columns[:fits:fits], columns[fits+1:]...)
	}
	return nil, left
}

func (t *table) appendRow(dst []byte, row []cell, widths []int, cutting bool, rest string) []byte {
	for i, c := range row {
		text := c.text
		if cutting && t.columns[i].flexible {
			text = c.fit(widths[i])
		}
		padding := widths[i]
		if !cutting && t.columns[i].flexible {
			padding = min(padding, maxPadding)
		}
		padding -= textWidth(text)
		if t.columns[i].right {
			dst = appendBlanks(dst, padding)
			padding = 0
		}
		dst = append(dst, text...)
		if i < len(row)-1 {
			dst = appendBlanks(dst, max(padding, 0)+t.gap)
		}
	}
	return append(append(dst, rest...), '\n')
}

func appendBlanks(dst []byte, n int) []byte {
	for ; n > 0; n-- {
		dst = append(dst, ' ')
	}
	return dst
}

// fit is the cell's text in a width.
func (c cell) fit(width int) string {
	switch {
	case textWidth(c.text) <= width:
		return c.text
	case c.cut == cutList && len(c.items) > 0:
		return fitList(c.items, width)
	case c.cut == cutLeft:
		return fitEnd(c.text, width)
	}
	return fitStart(c.text, width)
}

// fitList is as many items as fit, the first in any case, and how many do not.
func fitList(items []string, width int) string {
	more := func(n int) string {
		if n == len(items) {
			return ""
		}
		return "+" + strconv.Itoa(len(items)-n)
	}
	text, n := "", 0
	for _, item := range items {
		next := strings.TrimPrefix(text+","+item, ",")
		if textWidth(next)+len(more(n+1)) > width {
			break
		}
		text, n = next, n+1
	}
	if n > 0 {
		return text + more(n)
	}
	name, id := items[0], "" // rather the name's end than the number's
	if i := strings.LastIndexByte(name, '['); i > 0 {
		name, id = name[:i], name[i:]
	}
	return fitStart(name, width-len(id)-len(more(1))) + id + more(1)
}

const ellipsis = "…"

func fitStart(text string, width int) string {
	if textWidth(text) <= width {
		return text
	}
	used := 1
	for i, r := range text {
		if used += runeWidth(r); used > width {
			return text[:i] + ellipsis
		}
	}
	return text
}

func fitEnd(text string, width int) string {
	used, start := 1, len(text)
	for start > 0 {
		r, n := utf8.DecodeLastRuneInString(text[:start])
		if used += runeWidth(r); used > width {
			break
		}
		start -= n
	}
	return ellipsis + text[start:]
}

// textWidth is how many columns of a terminal a text takes.
func textWidth(text string) int {
	width := 0
	for _, r := range text {
		width += runeWidth(r)
	}
	return width
}

// runeWidth is near enough what terminals do: two for what East Asia writes and
// for pictures (UAX 11), none for marks above or below others.
func runeWidth(r rune) int {
	switch {
	case r < 0x300:
		return 1
	case unicode.In(r, unicode.Mn, unicode.Me, unicode.Cf):
		return 0
	case r >= 0x1100 && r <= 0x115f, r >= 0x2e80 && r <= 0xa4cf, r >= 0xac00 && r <= 0xd7a3, r >= 0xf900 && r <= 0xfaff,
		r >= 0xfe30 && r <= 0xfe6f, r >= 0xff00 && r <= 0xff60, r >= 0xffe0 && r <= 0xffe6,
		r >= 0x1f300 && r <= 0x1f64f, r >= 0x1f900 && r <= 0x1f9ff, r >= 0x20000 && r <= 0x3fffd:
		return 2
	}
	return 1
}

// windowSize is the size of a terminal in characters, 0 and 0 if f is none or
// does not say.
func windowSize(f *os.File) (columns, rows int) {
	conn, err := f.SyscallConn()
	if err != nil {
		return 0, 0
	}
	conn.Control(func(fd uintptr) {
		if size, err := unix.IoctlGetWinsize(int(fd), unix.TIOCGWINSZ); err == nil {
			columns, rows = int(size.Col), int(size.Row)
		}
	})
	return columns, rows
}
