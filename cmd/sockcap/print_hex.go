package main

import (
	"strconv"
	"unicode/utf8"

	"github.com/sockcap/sockcap/pcapng"
)

// dump says how a payload is printed below its line, as tcpdump does it.
type dump uint8

const (
	dumpNone    dump = iota
	dumpText         // -A
	dumpHex          // -x
	dumpHexText      // -X
)

// appendDump appends p's payload, or with -xx and -XX its whole record, as it
// stands in a capture file; nothing if there is none to show.
func (pr *printer) appendDump(dst []byte, p *pcapng.Packet) []byte {
	shown := p.Data
	if pr.record {
		pr.scratch = pcapng.AppendRecordHeader(pr.scratch[:0], p)
		pr.scratch = append(pr.scratch, p.Data...)
		shown = pr.scratch
	}
	switch {
	case len(shown) == 0:
		return dst
	case pr.dump == dumpText:
		return appendDots(dst, shown)
	case pr.dump == dumpHex:
		return appendHex(dst, shown, false)
	case pr.dump == dumpHexText:
		return appendHex(dst, shown, true)
	}
	return dst
}

// appendDots appends payload as text of many lines with a dot for each byte
// that is not part of a printable character. tcpdump -A does so, but takes
// ASCII alone for printable. The \r of \r\n is left out.
func appendDots(dst, payload []byte) []byte {
	for i := 0; i < len(payload); i++ {
		switch c := payload[i]; {
		case isASCIIPrint(c), c == '\n', c == '\t':
			dst = append(dst, c)
		case c == '\r' && i+1 < len(payload) && payload[i+1] == '\n':
		case c >= utf8.RuneSelf:
			r, size := utf8.DecodeRune(payload[i:])
			if size == 1 || !strconv.IsPrint(r) {
				dst = append(dst, '.')
				continue
			}
			dst = append(dst, payload[i:i+size]...)
			i += size - 1
		default:
			dst = append(dst, '.')
		}
	}
	return endLine(dst)
}

func endLine(dst []byte) []byte {
	if n := len(dst); n > 0 && dst[n-1] != '\n' {
		dst = append(dst, '\n')
	}
	return dst
}

const hexLine = 16 // bytes of payload a line

// appendHex appends payload in tcpdump's layout, -x or, with text, -X:
//
//	0x0000:  4845 4144 202f 5f70 696e 6720 4854 5450  HEAD./_ping.HTTP
func appendHex(dst, payload []byte, text bool) []byte {
	const columns = hexLine / 2 * len(" 4845")
	for at := 0; at < len(payload); at += hexLine {
		line := payload[at:min(at+hexLine, len(payload))]
		dst = append(dst, "\t0x"...)
		dst = append(appendOffset(dst, at), ": "...)
		start := len(dst)
		for i, c := range line {
			if i%2 == 0 {
				dst = append(dst, ' ')
			}
			dst = append(dst, hexByte(c)...)
		}
		if text {
			dst = appendPadding(dst, start+columns+2)
			dst = appendGraphs(dst, line, '!')
		}
		dst = append(dst, '\n')
	}
	return dst
}

// appendSockdump appends a packet in one of the formats of sockdump, the
// number in brackets being the payload's original length:
//
//	06:29:35.824 >>> process docker [27806 -> 2434] path /run/docker.sock len 80(80)
//
// Since the payload follows as it is, text can contain what looks like such a
// line: who must tell them apart takes another format.
func (pr *printer) appendSockdump(dst []byte, p *pcapng.Packet) []byte {
	dst = pr.times.append(dst, p.Time)
	dst = append(dst, ">>> process "...)
	dst = appendComm(dst, &p.Sender)
	dst = append(dst, " ["...)
	dst = appendPID(dst, p.Sender.PID)
	dst = append(dst, " -> "...)
	dst = appendPID(dst, p.Peer.PID)
	dst = append(dst, "] path "...)
	dst = appendAddress(dst, p.Path)
	dst = append(dst, " len "...)
	dst = strconv.AppendInt(dst, int64(len(p.Data)), 10)
	dst = append(dst, '(')
	dst = strconv.AppendUint(dst, uint64(p.Len), 10)
	dst = append(dst, ')')
	dst = appendMarks(dst, p)
	dst = append(dst, '\n')
	switch pr.format {
	case formatHex:
		return appendHexColumns(dst, p.Data)
	case formatHexString:
		return appendHexString(dst, p.Data)
	}
	return endLine(appendEscaped(dst, p.Data, inText))
}

// appendHexColumns appends payload in the layout of sockdump's hex format:
//
//	0000  48 45 41 44 20 2f 5f 70  69 6e 67 20 48 54 54 50  HEAD /_ping HTTP
func appendHexColumns(dst, payload []byte) []byte {
	const half, columns = hexLine / 2, hexLine*len("48 ") + 1
	for at := 0; at < len(payload); at += hexLine {
		line := payload[at:min(at+hexLine, len(payload))]
		dst = append(appendOffset(dst, at), "  "...)
		start := len(dst)
		for i, c := range line {
			if i == half {
				dst = append(dst, ' ')
			}
			dst = append(append(dst, hexByte(c)...), ' ')
		}
		dst = appendPadding(dst, start+columns+1)
		dst = appendGraphs(dst, line, ' ')
		dst = append(dst, '\n')
	}
	return dst
}

// appendHexString appends payload as one line of \x escapes.
func appendHexString(dst, payload []byte) []byte {
	for _, c := range payload {
		dst = appendHexEscape(dst, c)
	}
	return append(dst, '\n')
}

// appendOffset appends at in four hexadecimal digits, more where needed.
func appendOffset(dst []byte, at int) []byte {
	if at > 0xffff {
		dst = strconv.AppendInt(dst, int64(at>>16), 16)
	}
	dst = append(dst, hexByte(byte(at>>8))...)
	return append(dst, hexByte(byte(at))...)
}

// appendPadding appends blanks until dst is width long.
func appendPadding(dst []byte, width int) []byte {
	for len(dst) < width {
		dst = append(dst, ' ')
	}
	return dst
}

// appendGraphs appends line with a dot for each byte that is not ASCII from
// lowest to '~'.
func appendGraphs(dst, line []byte, lowest byte) []byte {
	for _, c := range line {
		if c < lowest || c > '~' {
			c = '.'
		}
		dst = append(dst, c)
	}
	return dst
}
