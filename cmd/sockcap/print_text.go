package main

import (
	"bytes"
	"strconv"
	"unicode/utf8"

	"golang.org/x/sys/unix"

	"github.com/sockcap/sockcap/pcapng"
)

// printer turns packets into text, live ones and those of a file alike. It
// keeps what a line needs of the lines before it (-ttt, -v), so one output has one
// printer. Nothing of a packet reaches the output but through appendEscaped,
// appendName, or as hexadecimal digits.
type printer struct {
	format  format
	color   bool
	times   timestamps
	quiet   bool   // -q
	ids     bool   // -e
	verbose int    // -v, -vv
	numbers bool   // -#
	number  uint64 // of packets so far, those that are not shown too
	dump    dump   // -A -x -X
	record  bool   // -xx -XX
	known   toldCommands
	ends    printedJSONEnds
	host    func(p *pcapng.Packet) string // whose packet it is; nil: all are of one
	scratch []byte                        // for a record
}

// append appends p's text: no line for an event that this format leaves out,
// else one line or more, the last of them ended.
func (pr *printer) append(dst []byte, p *pcapng.Packet) []byte {
	pr.number++
	if !pr.shows(p.Event) {
		return dst
	}
	switch pr.format {
	case formatJSON:
		return appendJSON(dst, p, pr.hostOf(p), &pr.ends)
	case formatString, formatHex, formatHexString:
		return pr.appendSockdump(dst, p)
	}
	dst = pr.appendLine(dst, p)
	if pr.verbose > 0 {
		command := pr.known.isNews(p) || pr.verbose > 1
		dst = appendDetails(dst, p, command, pr.verbose > 1) // never colored
	}
	return pr.appendDump(dst, p)
}

// hostOf is the name of the host that p is of, empty if that is no question.
func (pr *printer) hostOf(p *pcapng.Packet) string {
	if pr.host == nil {
		return ""
	}
	return pr.host(p)
}

// shows reports whether events of this kind are printed. The formats of
// sockdump know data only; programs, who read JSON, get everything.
func (pr *printer) shows(e pcapng.Event) bool {
	if pr.format == formatJSON {
		return true
	}
	switch e {
	case pcapng.EventData:
		return true
	case pcapng.EventConnect, pcapng.EventRefused, pcapng.EventClose:
		return pr.format == formatText
	}
	return pr.format == formatText && pr.verbose > 0
}

// appendLine appends the default line:
//
//	06:29:35.824123 docker[27806] > dockerd[2434] /run/docker.sock stream length 80: HEAD /_ping HTTP/1.1
//
// Its words are separated by single spaces up to the first colon that ends a
// word, and no name can forge one of them. After the colon comes an excerpt of
// the payload; [marks] before it tell what is known to be missing or unsure.
func (pr *printer) appendLine(dst []byte, p *pcapng.Packet) []byte {
	if pr.numbers {
		dst = appendOrdinal(dst, pr.number)
	}
	if pr.times.style != noTime {
		dst = pr.paint(dst, colorFaint)
		dst = pr.times.append(dst, p.Time)
		dst = pr.paint(dst, colorNone)
	}
	if pr.host != nil {
		dst = append(appendName(dst, pr.hostOf(p)), ' ')
	}
	known, client := p.Role != pcapng.RoleUnknown, p.Role == pcapng.RoleClient
	dst = pr.appendEnd(dst, &p.Sender, client, known)
	dst = append(dst, " > "...)
	dst = pr.appendEnd(dst, &p.Peer, !client, known)
	dst = append(dst, ' ')
	dst = pr.paint(dst, colorCyan)
	dst = appendAddress(dst, p.Path)
	dst = pr.paint(dst, colorNone)
	dst = append(dst, ' ')
	dst = append(dst, p.Type.String()...)
	dst = append(dst, ' ')
	if pr.ids {
		dst = appendIDs(dst, p)
	}
	dst = pr.appendWhat(dst, p)
	if marked(p) {
		dst = pr.paint(dst, colorYellow)
		dst = appendMarks(dst, p)
		dst = pr.paint(dst, colorNone)
	}
	if p.Event == pcapng.EventData && !pr.quiet && pr.dump == dumpNone {
		var ok bool
		if dst, ok = appendSaying(dst, p); !ok {
			dst = appendExcerpt(dst, p.Data)
		}
	}
	return append(dst, '\n')
}

// appendOrdinal appends a packet's number, as tcpdump does. It is that of the
// frame in Wireshark.
func appendOrdinal(dst []byte, n uint64) []byte {
	for width := uint64(10_000); width > n && width > 1; width /= 10 {
		dst = append(dst, ' ')
	}
	dst = strconv.AppendUint(dst, n, 10)
	return append(dst, "  "...)
}

// appendWhat appends what happened: the length of data, else the event.
func (pr *printer) appendWhat(dst []byte, p *pcapng.Packet) []byte {
	switch p.Event {
	case pcapng.EventData:
		if !pr.quiet {
			dst = append(dst, "length "...)
		}
		dst = strconv.AppendUint(dst, uint64(p.Len), 10)
		if p.Truncated {
			dst = appendMark(dst, uint64(len(p.Data)), markCaptured)
		}
		return dst
	case pcapng.EventRefused:
		dst = pr.paint(dst, colorRed)
		dst = appendErrno(append(dst, "refused "...), p.Errno)
		return pr.paint(dst, colorNone)
	}
	dst = append(dst, p.Event.String()...)
	if p.State != 0 {
		dst = append(append(dst, ' '), p.State.String()...)
	}
	return dst
}

// appendProcess appends comm[pid], with a question mark for what is unknown.
func appendProcess(dst []byte, e *pcapng.Endpoint) []byte {
	dst = appendComm(dst, e)
	if e.PID == 0 && e.Comm == "" {
		return dst
	}
	dst = append(dst, '[')
	dst = appendPID(dst, e.PID)
	return append(dst, ']')
}

func appendComm(dst []byte, e *pcapng.Endpoint) []byte {
	if e.Comm == "" {
		return append(dst, '?')
	}
	return appendShort(dst, e.Comm, maxComm)
}

func appendPID(dst []byte, pid uint32) []byte {
	if pid == 0 {
		return append(dst, '?')
	}
	return strconv.AppendUint(dst, uint64(pid), 10)
}

// appendAddress appends the service's address; one that has none is
// (unnamed), which no address looks like, for parentheses make it quoted.
func appendAddress(dst []byte, path string) []byte {
	if path == "" {
		return append(dst, "(unnamed)"...)
	}
	return appendShort(dst, path, maxAddress)
}

// appendErrno appends an error's name, or its number where it has none.
func appendErrno(dst []byte, errno uint32) []byte {
	if name := unix.ErrnoName(unix.Errno(errno)); name != "" {
		return append(dst, name...)
	}
	return strconv.AppendUint(append(dst, "errno "...), uint64(errno), 10)
}

// appendMarks appends what a reader must know before trusting the line, each
// in brackets. Which moment the time is of is not among them: it is the same
// all through a capture, but for data that nobody has read yet.
func appendMarks(dst []byte, p *pcapng.Packet) []byte {
	if p.DropCount > 0 {
		dst = appendMark(dst, p.DropCount, markDropped)
	}
	if p.Lost > 0 {
		dst = appendMark(dst, p.Lost, markLost)
	}
	if p.Skipped > 0 {
		dst = appendMark(dst, p.Skipped, markSkipped)
	}
	switch {
	case p.FDCount == 1:
		dst = appendMark(dst, 1, markDescriptor)
	case p.FDCount > 1:
		dst = appendMark(dst, uint64(p.FDCount), markDescriptors)
	}
	if p.Stamp == pcapng.StampWaiting {
		dst = append(dst, " ["+markWaiting+"]"...)
	}
	if p.Uncertain&pcapng.UncertainSender != 0 {
		dst = append(dst, " ["+markSender+"]"...)
	}
	if p.Uncertain&pcapng.UncertainOrder != 0 {
		dst = append(dst, " ["+markOrder+"]"...)
	}
	return dst
}

// marked reports whether appendMarks has something to say.
func marked(p *pcapng.Packet) bool {
	return p.DropCount > 0 || p.Lost > 0 || p.Skipped > 0 || p.FDCount > 0 || p.Stamp == pcapng.StampWaiting || p.Uncertain != 0
}

func appendMark(dst []byte, n uint64, words string) []byte {
	dst = strconv.AppendUint(append(dst, " ["...), n, 10)
	dst = append(dst, ' ')
	dst = append(dst, words...)
	return append(dst, ']')
}

const (
	excerptWidth = 80  // characters of an excerpt, before escaping
	excerptReach = 512 // bytes of payload in which it is looked for
	runLength    = 4   // printable characters in a row that look like a word in binary data
)

// appendExcerpt appends ": " and what a person would want to see of a payload:
// its first line if that is text; of a binary payload its readable runs, as
// strings(1) finds them, ".." standing for the rest; nothing if there is none.
func appendExcerpt(dst, payload []byte) []byte {
	text := bytes.TrimLeft(payload[:min(len(payload), excerptReach)], "\r\n")
	line, cut := firstLine(text)
	switch {
	case len(line) == 0:
		return dst
	case isText(line):
		dst = append(dst, ": "...)
		dst = appendEscaped(dst, line, inLine)
		if cut {
			dst = append(dst, "..."...)
		}
		return dst
	}
	return appendRuns(dst, text)
}

// firstLine is the first line of text, at most excerptWidth characters of it,
// and whether that cut it.
func firstLine(text []byte) (line []byte, cut bool) {
	if i := bytes.IndexByte(text, '\n'); i >= 0 {
		text = bytes.TrimSuffix(text[:i], []byte{'\r'})
	} else {
		text = bytes.TrimRight(text, "\x00") // C programs send their strings whole
	}
	end := 0
	for n := 0; end < len(text); n++ {
		if n == excerptWidth {
			return text[:end], true
		}
		_, size := utf8.DecodeRune(text[end:])
		end += size
	}
	return text, false
}

// isText reports whether line is printable UTF-8, tabs allowed.
func isText(line []byte) bool {
	for len(line) > 0 {
		if isASCIIPrint(line[0]) {
			line = line[1:]
			continue
		}
		r, size := utf8.DecodeRune(line)
		if r == utf8.RuneError && size == 1 || r != '\t' && !strconv.IsPrint(r) {
			return false
		}
		line = line[size:]
	}
	return true
}

// appendRuns appends ":" and the readable runs of binary data, each after
// " .. ", or nothing.
func appendRuns(dst, data []byte) []byte {
	width, begun := 0, 0
	for i := range len(data) + 1 {
		if i < len(data) && isASCIIPrint(data[i]) {
			continue
		}
		run := data[begun:i]
		begun = i + 1
		if len(run) < runLength {
			continue
		}
		if width == 0 {
			dst = append(dst, ':')
		}
		if width+len(run) > excerptWidth {
			dst = appendEscaped(append(dst, " .. "...), run[:excerptWidth-width], inLine)
			return append(dst, "..."...)
		}
		dst = appendEscaped(append(dst, " .. "...), run, inLine)
		width += len(run)
	}
	return dst
}

func isASCIIPrint(c byte) bool { return ' ' <= c && c <= '~' }
