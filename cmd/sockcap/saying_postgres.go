package main

import (
	"bytes"
	"encoding/binary"

	"github.com/sockcap/sockcap/pcapng"
)

// postgres: messages of PostgreSQL's protocol, version 3: a letter, the length
// of what follows (4 bytes, themselves included, big-endian), and that. The
// letters of the two sides differ, so who sends must be known.
func (s *saying) postgres(p *pcapng.Packet, data []byte) bool {
	if p.Role == pcapng.RoleServer {
		return s.postgresMessages(p, data)
	}
	return s.postgresStartup(p, data) ||
		p.Role == pcapng.RoleClient && s.postgresMessages(p, data)
}

// postgresStartup: what comes before the first message has no letter.
func (s *saying) postgresStartup(p *pcapng.Packet, data []byte) bool {
	if len(data) < 8 || binary.BigEndian.Uint32(data) != p.Len {
		return false
	}
	body := data[8:]
	switch code := binary.BigEndian.Uint32(data[4:]); {
	case code == 1234<<16|5679 && p.Len == 8:
		s.words("TLS wanted")
		return true
	case code == 1234<<16|5680 && p.Len == 8:
		s.words("GSSAPI wanted")
		return true
	case code == 1234<<16|5678 && p.Len == 16:
		s.words("cancel")
		return true
	case code>>16 != 3 || !bytes.HasSuffix(body, []byte{0, 0}):
		return false
	}
	s.words("startup")
	for len(body) > 1 {
		key, rest, _ := nulEnded(body)
		value, rest, ok := nulEnded(rest)
		if !ok || !isLine(key) {
			return false
		}
		s.words(" ")
		s.text(key)
		s.words("=")
		s.word(value)
		body = rest
	}
	return true
}

// postgresMessages says what each message says. The last one may be cut off
// if there is one before it.
func (s *saying) postgresMessages(p *pcapng.Packet, data []byte) bool {
	said := 0
	for len(data) > 0 && !s.cut {
		if len(data) < 5 {
			s.cut = true
			return said > 0
		}
		letter, length := data[0], binary.BigEndian.Uint32(data[1:])
		if length < 4 || length > 1<<30 {
			return false
		}
		if uint64(length) >= uint64(len(data)) {
			return s.postgresCut(p, letter, length, data[5:], said)
		}
		more := s.postgresMessage(p.Role, letter, data[5:1+length], said)
		if more < 0 {
			return false
		}
		said += more
		data = data[1+length:]
	}
	return said > 0
}

// postgresCut: of a message that is cut off, only a statement is shown.
func (s *saying) postgresCut(p *pcapng.Packet, letter byte, length uint32, body []byte, said int) bool {
	s.cut = true
	switch {
	case letter == 'Q' && p.Role == pcapng.RoleClient && isSQL(body) && bytes.IndexByte(body, 0) < 0:
		s.cut = false
		s.next(said)
		s.words("query ")
		s.sql(body)
		s.cut = true
		return true
	case letter == 'D' || letter == 'd' || letter == 'T' || letter == 'P' || letter == 'B':
		return said > 0 && length < 1<<24
	}
	return false
}

// postgresMessage reports how many things a message has said, or -1 if it is
// none that this side sends.
func (s *saying) postgresMessage(sender pcapng.Role, letter byte, body []byte, said int) int {
	if sender == pcapng.RoleClient {
		return s.postgresClient(letter, body, said)
	}
	return s.postgresServer(letter, body, said)
}

func (s *saying) postgresClient(letter byte, body []byte, said int) int {
	word, statement := "", []byte(nil)
	switch letter {
	case 'Q':
		text, rest, ok := nulEnded(body)
		if !ok || len(rest) > 0 {
			return -1
		}
		word, statement = "query ", text
	case 'P':
		_, rest, _ := nulEnded(body)
		text, _, ok := nulEnded(rest)
		if !ok {
			return -1
		}
		word, statement = "parse ", text
	case 'B':
		word = "bind"
		if _, rest, _ := nulEnded(body); bytes.IndexByte(rest, 0) < 0 {
			return -1
		}
	case 'D', 'C':
		if len(body) < 2 || body[0] != 'S' && body[0] != 'P' || body[len(body)-1] != 0 {
			return -1
		}
		word = "describe"
		if letter == 'C' {
			word = "close"
		}
	case 'E':
		if _, rest, ok := nulEnded(body); !ok || len(rest) != 4 {
			return -1
		}
		word = "execute"
	case 'S', 'H', 'X', 'c':
		if len(body) > 0 {
			return -1
		}
		switch letter {
		case 'S':
			word = "sync"
		case 'H':
			word = "flush"
		case 'X':
			word = "terminate"
		case 'c':
			word = "copy done"
		}
	case 'd':
		return s.postgresCopy(body, said)
	case 'p':
		if len(body) < 2 || body[len(body)-1] != 0 || !isText(body[:len(body)-1]) {
			return -1
		}
		word = "password"
	default:
		return -1
	}
	s.next(said)
	s.words(word)
	s.sql(statement)
	return 1
}

func (s *saying) postgresServer(letter byte, body []byte, said int) int {
	switch letter {
	case 'R':
		if len(body) < 4 || binary.BigEndian.Uint32(body) > 12 {
			return -1
		}
		s.next(said)
		if binary.BigEndian.Uint32(body) == 0 {
			s.words("authenticated")
		} else {
			s.words("authentication")
		}
		return 1
	case 'C':
		tag, rest, ok := nulEnded(body)
		if !ok || len(rest) > 0 || !isLine(tag) {
			return -1
		}
		s.next(said)
		s.text(tag)
		return 1
	case 'E', 'N':
		return s.postgresNotice(body, said)
	case 'D':
		return s.postgresRow(body, said)
	case 'd':
		return s.postgresCopy(body, said)
	case 'A':
		if len(body) < 6 {
			return -1
		}
		channel, rest, _ := nulEnded(body[4:])
		payload, rest, ok := nulEnded(rest)
		if !ok || len(rest) > 0 {
			return -1
		}
		s.next(said)
		s.words("notification ")
		s.word(channel)
		s.words(" ")
		s.word(payload)
		return 1
	case 'S':
		key, rest, _ := nulEnded(body)
		if _, rest, ok := nulEnded(rest); !ok || len(rest) > 0 || !isLine(key) {
			return -1
		}
		return 0
	case 'Z':
		if len(body) != 1 || body[0] != 'I' && body[0] != 'T' && body[0] != 'E' {
			return -1
		}
		return 0
	case 'T', 't', 'G', 'H', 'W', 'K', 'V', 'v':
		return 0
	case '1', '2', '3', 'n', 's', 'I', 'c':
		if len(body) > 0 {
			return -1
		}
		return 0
	}
	return -1
}

// postgresNotice: an error or notice is fields of a letter and text.
func (s *saying) postgresNotice(body []byte, said int) int {
	var severity, code, message []byte
	for len(body) > 1 {
		text, rest, ok := nulEnded(body[1:])
		if !ok {
			return -1
		}
		switch body[0] {
		case 'S':
			severity = text
		case 'C':
			code = text
		case 'M':
			message = text
		}
		body = rest
	}
	if len(body) != 1 || body[0] != 0 || len(code) != 5 || len(severity) == 0 || len(message) == 0 {
		return -1
	}
	s.next(said)
	s.text(severity)
	s.words(" ")
	s.text(code)
	s.words(": ")
	s.text(message)
	return 1
}

// postgresRow: a row's values, as psql -A puts them. NULL is an empty one.
func (s *saying) postgresRow(body []byte, said int) int {
	if len(body) < 2 {
		return -1
	}
	columns := int(binary.BigEndian.Uint16(body))
	body = body[2:]
	s.next(said)
	for i := range columns {
		if len(body) < 4 {
			return -1
		}
		n := binary.BigEndian.Uint32(body)
		body = body[4:]
		if i > 0 {
			s.words("|")
		}
		if n == 1<<32-1 {
			continue
		}
		if uint64(n) > uint64(len(body)) {
			return -1
		}
		s.text(body[:n])
		body = body[n:]
	}
	if len(body) > 0 {
		return -1
	}
	return 1
}

// postgresCopy: a line of a COPY in text.
func (s *saying) postgresCopy(body []byte, said int) int {
	line, ok := bytes.CutSuffix(body, []byte{'\n'})
	if !ok || !isText(line) {
		return -1
	}
	s.next(said)
	s.text(line)
	return 1
}
