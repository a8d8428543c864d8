package main

import (
	"os"

	"github.com/sockcap/sockcap/pcapng"
)

// color is an SGR sequence (ECMA-48 8.3.117) of the eight colors that every
// terminal has, so that the user's own palette decides how they look.
type color string

const (
	colorNone   color = "\x1b[0m" // ends each of the others
	colorFaint  color = "\x1b[2m"
	colorRed    color = "\x1b[31m"
	colorGreen  color = "\x1b[32m"
	colorYellow color = "\x1b[33m"
	colorPurple color = "\x1b[35m"
	colorCyan   color = "\x1b[36m"
)

// The choices of --color.
const (
	colorAuto   = "auto"
	colorAlways = "always"
	colorNever  = "never"
)

// wantsColor reports whether lines to f have color: on a terminal, unless the
// environment says no (no-color.org, or a terminal that cannot).
func wantsColor(choice string, f *os.File, getenv func(string) string) bool {
	switch choice {
	case colorAlways:
		return true
	case colorNever:
		return false
	}
	return getenv("NO_COLOR") == "" && getenv("TERM") != "dumb" && getenv("TERM") != "" && isTerminal(f)
}

// paint begins a color, if there are colors. Nothing but these constants ever
// brings an escape sequence into a line.
func (pr *printer) paint(dst []byte, c color) []byte {
	if pr.color {
		dst = append(dst, c...)
	}
	return dst
}

// appendEnd appends one end's process in the color of its side.
func (pr *printer) appendEnd(dst []byte, e *pcapng.Endpoint, client, known bool) []byte {
	switch {
	case !known:
		return appendProcess(dst, e)
	case client:
		dst = pr.paint(dst, colorGreen)
	default:
		dst = pr.paint(dst, colorPurple)
	}
	return pr.paint(appendProcess(dst, e), colorNone)
}
