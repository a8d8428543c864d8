package stream

import (
	"fmt"
	"strings"
)

// maxHost is how long a host's name may be, as a name in DNS.
const maxHost = 255

// subjectOf is the subject of a host: its name after the stream's. A dot that
// would leave nothing between two is %2E.
func subjectOf(stream, host string) string {
	b := []byte(stream + ".")
	for i := range len(host) {
		c := host[i]
		lone := c == '.' && (i == 0 || i == len(host)-1 || host[i-1] == '.')
		if isSubjectByte(c) && !lone {
			b = append(b, c)
		} else {
			b = fmt.Appendf(b, "%%%02X", c)
		}
	}
	return string(b)
}

// hostOf is the host whose subject this is. It fails for what subjectOf does
// not give.
func hostOf(stream, subject string) (string, bool) {
	name, ok := strings.CutPrefix(subject, stream+".")
	if !ok {
		return "", false
	}
	var host []byte
	for i := 0; i < len(name); i++ {
		c := name[i]
		if c == '%' {
			if i+2 >= len(name) {
				return "", false
			}
			high, low := strings.IndexByte(hexDigits, name[i+1]), strings.IndexByte(hexDigits, name[i+2])
			if high < 0 || low < 0 {
				return "", false
			}
			c = byte(high<<4 | low)
			i += 2
		}
		host = append(host, c)
	}
	return string(host), len(host) > 0 && len(host) <= maxHost && subjectOf(stream, string(host)) == subject
}

const hexDigits = "0123456789ABCDEF"

// isSubjectByte reports whether c stands for itself: * and > are wildcards, and
// a byte that is not ASCII may be part of anything.
func isSubjectByte(c byte) bool {
	return c > ' ' && c < 0x7f && c != '*' && c != '>' && c != '%'
}

// covers reports whether a subject matches a pattern of a stream's.
func covers(pattern, subject string) bool {
	p, s := strings.Split(pattern, "."), strings.Split(subject, ".")
	for i, token := range p {
		switch {
		case token == ">":
			return len(s) > i
		case i >= len(s), token != "*" && token != s[i]:
			return false
		}
	}
	return len(p) == len(s)
}
