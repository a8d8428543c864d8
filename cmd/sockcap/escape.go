package main

import (
	"strconv"
	"unicode/utf8"
)

// escaping says what appendEscaped leaves alone besides printable characters.
type escaping uint8

const (
	inLine   escaping = iota // the end of a line: nothing else
	inQuotes                 // between double quotes: those and backslashes are escaped too
	inText                   // text of many lines: newlines and tabs stay
)

// appendEscaped appends hostile text such that no terminal acts on it: what
// strconv.IsPrint does not call printable (C0 and C1 controls, DEL, format
// characters that turn the direction of writing) and what is no UTF-8 becomes
// \n, \x1b, \u202e, as in Go's string literals.
//
// Inside quotes the result can be undone. Elsewhere printable text stays as it
// is, backslashes included, since people search it for what they know was
// sent. In text of many lines the \r of a line's \r\n is left out.
func appendEscaped[T string | []byte](dst []byte, text T, how escaping) []byte {
	for i := 0; i < len(text); {
		if n := plainRun(text[i:]); n > 0 {
			dst = append(dst, text[i:i+n]...)
			i += n
			continue
		}
		c := text[i]
		switch {
		case c >= utf8.RuneSelf:
			var size int
			dst, size = appendRune(dst, string(text[i:min(i+utf8.UTFMax, len(text))]))
			i += size
			continue
		case how == inQuotes && (c == '"' || c == '\\'):
			dst = append(dst, '\\', c)
		case c == '"' || c == '\\', how == inText && (c == '\n' || c == '\t'):
			dst = append(dst, c)
		case how == inText && c == '\r' && i+1 < len(text) && text[i+1] == '\n':
		default:
			dst = appendControl(dst, c)
		}
		i++
	}
	return dst
}

// plainRun is how many bytes at the beginning of text nobody escapes: printable
// ASCII but for double quotes and backslashes.
func plainRun[T string | []byte](text T) int {
	for i := range len(text) {
		if c := text[i]; c < ' ' || c > '~' || c == '"' || c == '\\' {
			return i
		}
	}
	return len(text)
}

// appendRune appends the first character of text, escaped unless it is
// printable, and says how many bytes it took.
func appendRune(dst []byte, text string) ([]byte, int) {
	r, size := utf8.DecodeRuneInString(text)
	switch {
	case r == utf8.RuneError && size == 1:
		return appendHexEscape(dst, text[0]), 1
	case strconv.IsPrint(r):
		return append(dst, text[:size]...), size
	case r < 0x10000:
		dst = append(dst, '\\', 'u')
		dst = append(dst, hexByte(byte(r>>8))...)
		return append(dst, hexByte(byte(r))...), size
	default:
		dst = append(dst, '\\', 'U', '0', '0')
		dst = append(dst, hexByte(byte(r>>16))...)
		dst = append(dst, hexByte(byte(r>>8))...)
		return append(dst, hexByte(byte(r))...), size
	}
}

func appendControl(dst []byte, c byte) []byte {
	switch c {
	case '\n':
		return append(dst, '\\', 'n')
	case '\r':
		return append(dst, '\\', 'r')
	case '\t':
		return append(dst, '\\', 't')
	}
	return appendHexEscape(dst, c)
}

// appendHexEscape appends \x and two digits.
func appendHexEscape(dst []byte, c byte) []byte {
	return append(append(dst, '\\', 'x'), hexByte(c)...)
}

// hexByte is c in two hexadecimal digits.
func hexByte(c byte) string {
	const digits = "" +
		"000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f" +
		"202122232425262728292a2b2c2d2e2f303132333435363738393a3b3c3d3e3f" +
		"404142434445464748494a4b4c4d4e4f505152535455565758595a5b5c5d5e5f" +
		"606162636465666768696a6b6c6d6e6f707172737475767778797a7b7c7d7e7f" +
		"808182838485868788898a8b8c8d8e8f909192939495969798999a9b9c9d9e9f" +
		"a0a1a2a3a4a5a6a7a8a9aaabacadaeafb0b1b2b3b4b5b6b7b8b9babbbcbdbebf" +
		"c0c1c2c3c4c5c6c7c8c9cacbcccdcecfd0d1d2d3d4d5d6d7d8d9dadbdcdddedf" +
		"e0e1e2e3e4e5e6e7e8e9eaebecedeeeff0f1f2f3f4f5f6f7f8f9fafbfcfdfeff"
	return digits[2*int(c) : 2*int(c)+2]
}

// appendName appends a process's name or a socket's address as one word: bare
// if it is plain, else in quotes, so that a name with spaces, brackets or
// arrows in it cannot pass for another field. The file's comments follow the
// same rule (DESIGN 1.4).
func appendName(dst []byte, name string) []byte {
	if isPlain(name) {
		return append(dst, name...)
	}
	dst = append(dst, '"')
	dst = appendEscaped(dst, name, inQuotes)
	return append(dst, '"')
}

// Bytes of a name that a line of text has at most. A kernel's names are shorter;
// those of a file can be anything.
const (
	maxComm    = 64  // TASK_COMM_LEN is 16
	maxAddress = 256 // sun_path of unix(7) has 108
	maxName    = 1024
)

// appendShort is appendName of the first bytes of a name, as many as may be,
// and "..." for those that are left out.
func appendShort(dst []byte, name string, most int) []byte {
	if len(name) <= most {
		return appendName(dst, name)
	}
	for most > 0 && !utf8.RuneStart(name[most]) {
		most--
	}
	return append(appendName(dst, name[:most]), "..."...)
}

func isPlain(name string) bool {
	for i := range len(name) {
		switch c := name[i]; {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9':
		case c == '_' || c == '.' || c == '/' || c == ':' || c == '@' || c == '+' || c == ',' || c == '-':
		default:
			return false
		}
	}
	return name != ""
}
