package main

import (
	"bytes"
	"encoding/binary"
	"strings"
	"unicode/utf8"

	"github.com/sockcap/sockcap/pcapng"
)

// saying puts what a payload says into the words of its protocol, where the
// bytes leave no doubt of which that is: it is told from this packet alone,
// every length and every constant in what is looked at must be right, and
// whatever is wrong means that it is something else. Nothing is assumed from
// the socket's name.
type saying struct {
	dst  []byte
	left int  // characters that may still be appended, before escaping
	cut  bool // there was more
}

// sayingReach is how much of a payload is looked at.
const sayingReach = 4096

// appendSaying appends ": " and what p says, if it is one of the protocols
// known here. HTTP and its like are not among them: their first line says it.
func appendSaying(dst []byte, p *pcapng.Packet) ([]byte, bool) {
	if p.Continued || len(p.Data) < 4 {
		return dst, false
	}
	s := saying{dst: append(dst, ": "...), left: excerptWidth}
	data := p.Data[:min(len(p.Data), sayingReach)]
	if !s.says(p, data) {
		return dst, false
	}
	if s.cut {
		s.dst = append(s.dst, "..."...)
	}
	return s.dst, true
}

func (s *saying) says(p *pcapng.Packet, data []byte) bool {
	begun := *s
	if s.redis(data) {
		return true
	}
	*s = begun
	if s.dbus(data) {
		return true
	}
	*s = begun
	if s.mysql(p, data) {
		return true
	}
	*s = begun
	return s.postgres(p, data)
}

// words appends our own words, of which many small things could make many.
func (s *saying) words(words string) {
	s.cut = s.cut || s.left <= 0
	if s.cut {
		return
	}
	s.dst = append(s.dst, words...)
	s.left -= len(words) // at worst a little below 0
}

// next begins the next of several things that are said, counted from 0.
func (s *saying) next(n int) {
	if n > 0 {
		s.words("; ")
	}
}

// text appends hostile text.
func (s *saying) text(text []byte) { s.escaped(text, inLine) }

func (s *saying) escaped(text []byte, how escaping) {
	end := 0
	for ; end < len(text) && s.left > 0; s.left-- {
		_, size := utf8.DecodeRune(text[end:])
		end += size
	}
	s.cut = s.cut || end < len(text)
	s.dst = appendEscaped(s.dst, text[:end], how)
}

// word appends text as one word, in quotes if it has to be.
func (s *saying) word(text []byte) {
	for _, c := range text {
		if c <= ' ' || c > '~' || c == '"' || c == '\\' || c == ';' {
			s.quoted(text)
			return
		}
	}
	if len(text) == 0 {
		s.quoted(text)
		return
	}
	s.text(text)
}

func (s *saying) quoted(text []byte) {
	s.words(`"`)
	s.escaped(text, inQuotes)
	s.words(`"`)
}

// sql appends a statement with single blanks in place of line ends and
// indentation, and without the semicolon at its end.
func (s *saying) sql(text []byte) {
	text = bytes.TrimRight(text, "; \t\r\n")
	for n := 0; ; n++ {
		text = bytes.TrimLeft(text, " \t\r\n")
		end := bytes.IndexAny(text, " \t\r\n")
		if len(text) == 0 || s.cut {
			return
		}
		if end < 0 {
			end = len(text)
		}
		if n > 0 {
			s.words(" ")
		}
		s.text(text[:end])
		text = text[end:]
	}
}

// isSQL reports whether text begins with a word that begins a statement.
func isSQL(text []byte) bool {
	end := 0
	for end < len(text) && ('a' <= text[end]|0x20 && text[end]|0x20 <= 'z') {
		end++
	}
	if end < 2 || end > 12 || !utf8.Valid(text[:end]) {
		return false
	}
	if end < len(text) && !strings.ContainsRune(" \t\r\n;(*", rune(text[end])) {
		return false
	}
	var buffer [12]byte
	word := buffer[:end]
	for i := range word {
		word[i] = text[i] | 0x20
	}
	switch string(word) {
	case "alter", "analyze", "begin", "call", "change", "check", "checksum", "close", "cluster", "comment", "commit", "copy", "create",
		"deallocate", "declare", "delete", "desc", "describe", "discard", "do", "drop", "end", "execute", "explain", "fetch", "flush",
		"grant", "handler", "import", "insert", "install", "kill", "listen", "load", "lock", "merge", "move", "notify", "optimize",
		"prepare", "purge", "reassign", "refresh", "reindex", "release", "rename", "repair", "replace", "reset", "revoke", "rollback",
		"savepoint", "security", "select", "set", "show", "shutdown", "start", "stop", "table", "truncate", "unlisten", "unlock",
		"update", "use", "vacuum", "values", "with", "xa":
		return true
	}
	return false
}

// isLine reports whether text is printable UTF-8 with a letter or digit first.
func isLine(text []byte) bool {
	if len(text) == 0 {
		return false
	}
	first := text[0]
	return ('0' <= first && first <= '9' || 'a' <= first|0x20 && first|0x20 <= 'z') && isText(text)
}

// nulEnded is data up to its first NUL, and what follows that.
func nulEnded(data []byte) (text, rest []byte, ok bool) { return bytes.Cut(data, []byte{0}) }

// redis: the serialization protocol of Redis and its kin, RESP2 and RESP3.
// Commands are arrays of strings. What begins with a line of text, such as +OK,
// is left to appendExcerpt.
func (s *saying) redis(data []byte) bool {
	data = bytes.TrimPrefix(data, []byte("\r\n")) // redis-cli --pipe
	if len(data) == 0 || !strings.ContainsRune("*%~>$", rune(data[0])) {
		return false
	}
	open, values := 0, 0 // of the value that has begun; seen so far
	for items := 0; len(data) > 0 && !s.cut; items++ {
		if items > 0 && open == 0 {
			s.words(";")
		}
		if items > 0 && s.dst[len(s.dst)-1] != ' ' {
			s.words(" ")
		}
		line, rest, ok := bytes.Cut(data[1:], []byte("\r\n"))
		if !ok {
			s.cut = true // a send may end anywhere
			return values > 0
		}
		open = max(open-1, 0)
		switch kind := data[0]; kind {
		case '*', '%', '~', '>':
			n, ok := respLength(line)
			if !ok || items > 0 && n > 1<<20 {
				return false
			}
			if kind == '%' {
				n *= 2
			}
			open += max(n, 0)
			switch {
			case n == 0:
				s.words("(empty)")
				values++
			case n < 0:
				s.words("(nil)")
				values++
			}
		case '$', '=':
			n, ok := respLength(line)
			if !ok {
				return false
			}
			values++
			if n < 0 {
				s.words("(nil)")
				break
			}
			if n+2 > len(rest) {
				s.word(rest[:min(n, len(rest))])
				s.cut = true
				return items > 0 || isText(rest[:min(n, len(rest))])
			}
			s.word(rest[:n])
			if rest[n] != '\r' || rest[n+1] != '\n' {
				return false
			}
			rest = rest[n+2:]
		case '+', '-', ':', '_', '#', ',', '(':
			if !isText(line) || len(line) > 512 {
				return false
			}
			s.word(line)
			values++
		default:
			return false
		}
		data = rest
	}
	return values > 0
}

// respLength is a decimal number from -1 up to Redis's limit of 512 MB.
func respLength(line []byte) (int, bool) {
	if string(line) == "-1" {
		return -1, true
	}
	n := 0
	for _, c := range line {
		if c < '0' || c > '9' {
			return 0, false
		}
		n = n*10 + int(c-'0')
		if n > 512<<20 {
			return 0, false
		}
	}
	return n, len(line) > 0 && (line[0] != '0' || len(line) == 1)
}

// mysql: a packet of the MySQL protocol, which MariaDB speaks too: the length
// of what follows (3 bytes, little-endian), its number, then a command.
func (s *saying) mysql(p *pcapng.Packet, data []byte) bool {
	if len(data) < 5 || uint64(data[0])|uint64(data[1])<<8|uint64(data[2])<<16 != uint64(p.Len)-4 {
		return false
	}
	number, command, body := data[3], data[4], data[5:]
	switch {
	case number == 0 && p.Role != pcapng.RoleServer && command == 0x03 && isSQL(body):
		s.words("query ")
		s.sql(body)
		return utf8.Valid(body) || len(p.Data) > len(data) || p.Truncated
	case number == 0 && p.Role != pcapng.RoleServer && command == 0x16 && isSQL(body):
		s.words("prepare ")
		s.sql(body)
		return utf8.Valid(body) || len(p.Data) > len(data) || p.Truncated
	case number == 0 && p.Role != pcapng.RoleClient && command == 0x0a && len(body) > 40:
		version, _, ok := nulEnded(body)
		if !ok || len(version) < 5 || !isLine(version) || version[0] > '9' || bytes.IndexByte(version, '.') < 0 {
			return false
		}
		s.words("server version ")
		s.text(version)
		return true
	case number > 0 && p.Role != pcapng.RoleClient && command == 0xff && len(body) > 8 && body[2] == '#':
		state, message := body[3:8], body[8:]
		for _, c := range state {
			if (c < '0' || c > '9') && (c < 'A' || c > 'Z') {
				return false
			}
		}
		s.words("error ")
		s.number(uint64(binary.LittleEndian.Uint16(body)))
		s.words(" (")
		s.text(state)
		s.words("): ")
		s.text(message)
		return isText(message)
	}
	return false
}
