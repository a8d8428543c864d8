package filter

import (
	"errors"
	"path"
	"strconv"
	"strings"
	"unicode/utf8"
)

// pattern is a text, or a text with wildcards.
type pattern struct {
	text string
	glob bool
}

// What is wrong with a pattern.
var (
	errBackslash = errors.New("ends in a backslash, which takes the next character for itself")
	errBracket   = errors.New("has a [ that is no [a-z] or [^a-z]")
)

// newPattern makes a pattern of a glob. A backslash that only keeps a character
// from ending the word is left out.
func newPattern(glob string) (pattern, error) {
	var wild bool
	plain, clean := make([]byte, 0, len(glob)), make([]byte, 0, len(glob))
	for i := 0; i < len(glob); i++ {
		switch c := glob[i]; c {
		case '\\':
			if i++; i == len(glob) {
				return pattern{}, errBackslash
			}
			clean = appendEscape(clean, glob[i])
		case '[':
			n := classLen(glob[i:])
			if n == 0 {
				return pattern{}, errBracket
			}
			clean, wild = appendClass(clean, glob[i:i+n]), true
			i += n - 1
		default:
			wild = wild || c == '*' || c == '?'
			clean = append(clean, c)
		}
		plain = append(plain, glob[i])
	}
	if wild {
		return pattern{string(clean), true}, nil
	}
	return pattern{string(plain), false}, nil
}

// appendEscape appends c with the backslash before it, if that means something.
func appendEscape(dst []byte, c byte) []byte {
	if isSpecial(c) {
		return append(dst, c)
	}
	return append(dst, '\\', c)
}

// appendClass appends a [...], in which [! has to stay apart.
func appendClass(dst []byte, class string) []byte {
	for i := 0; i < len(class); i++ {
		switch {
		case class[i] != '\\':
			dst = append(dst, class[i])
		case i == 1 && class[2] == '!':
			dst = append(dst, '\\', '!')
			i++
		default:
			i++
			dst = appendEscape(dst, class[i])
		}
	}
	return dst
}

// classLen is the length of the [...] that s begins with, 0 if it is none.
func classLen(s string) int {
	rest := s[1:]
	if strings.HasPrefix(rest, "!") { // the shell's ^: to take it for itself would surprise
		return 0
	}
	rest = strings.TrimPrefix(rest, "^")
	for first := true; ; first = false {
		if !first && strings.HasPrefix(rest, "]") {
			return len(s) - len(rest) + 1
		}
		low, high, n := classRange(rest)
		if n == 0 || low > high {
			return 0
		}
		rest = rest[n:]
	}
}

// classRange is the range that a class goes on with, and its length in s, 0
// if there is none.
func classRange(s string) (low, high rune, n int) {
	low, n = classRune(s)
	if n == 0 || !strings.HasPrefix(s[n:], "-") {
		return low, low, n
	}
	high, m := classRune(s[n+1:])
	if m == 0 {
		return 0, 0, 0
	}
	return low, high, n + 1 + m
}

// classRune is a character of a class; a byte that is no UTF-8 is none.
func classRune(s string) (r rune, n int) {
	if s == "" || s[0] == '-' || s[0] == ']' {
		return 0, 0
	}
	if s[0] == '\\' {
		s, n = s[1:], 1
	}
	r, size := utf8.DecodeRuneInString(s)
	if r == utf8.RuneError && size <= 1 {
		return 0, 0
	}
	return r, n + size
}

// match reports whether the pattern fits the whole name. Wildcards fit a slash
// only if slashes says so.
func (p pattern) match(name string, slashes bool) bool {
	if !p.glob {
		return p.text == name
	}
	// The last * takes one character more whenever what follows it does not
	// fit. That finds every fit: an earlier * could not get further.
	glob, retryGlob, retryName, retry := p.text, "", "", false
	for glob != "" || name != "" {
		if strings.HasPrefix(glob, "*") {
			glob = glob[1:]
			retryGlob, retryName, retry = glob, name, true
			continue
		}
		if n, m := matchOne(glob, name, slashes); n > 0 {
			glob, name = glob[n:], name[m:]
			continue
		}
		if !retry || retryName == "" || retryName[0] == '/' && !slashes {
			return false
		}
		_, n := utf8.DecodeRuneInString(retryName)
		retryName = retryName[n:]
		glob, name = retryGlob, retryName
	}
	return true
}

// matchOne is how much of glob fits how much of name, one character; 0 if it
// does not fit.
func matchOne(glob, name string, slashes bool) (ofGlob, ofName int) {
	if glob == "" || name == "" {
		return 0, 0
	}
	r, size := utf8.DecodeRuneInString(name)
	switch c := glob[0]; {
	case c == '?' && (slashes || r != '/'):
		return 1, size
	case c == '[' && (slashes || r != '/'):
		if n := classLen(glob); inClass(glob[1:n-1], r) {
			return n, size
		}
	case c == '\\' && glob[1] == name[0]:
		return 2, 1
	case c != '?' && c != '[' && c != '\\' && c == name[0]:
		return 1, 1
	}
	return 0, 0
}

func inClass(class string, r rune) bool {
	rest, negated := strings.CutPrefix(class, "^")
	for rest != "" {
		low, high, n := classRange(rest)
		if low <= r && r <= high {
			return !negated
		}
		rest = rest[n:]
	}
	return negated
}

// matchAddress reports whether the pattern fits an address of a file or a
// directory above it, or an abstract address; without a slash, a file's name
// without its directory.
func (p pattern) matchAddress(address string) bool {
	switch {
	case strings.HasPrefix(p.text, "@") || strings.HasPrefix(address, "@"):
		return strings.HasPrefix(p.text, "@") && strings.HasPrefix(address, "@") && p.match(address, true)
	case !strings.Contains(p.text, "/"):
		return p.match(address[strings.LastIndexByte(address, '/')+1:], false)
	}
	if strings.HasPrefix(address, "/") {
		address = path.Clean(address)
	}
	if !p.glob {
		return p.text == address || isBelow(address, p.text)
	}
	above, ok := cutAfter(address, p.slashes())
	return ok && p.match(above, false)
}

// slashes is how many slashes there are in every name that the pattern fits.
func (p pattern) slashes() (n int) {
	for i := 0; i < len(p.text); i++ {
		switch p.text[i] {
		case '/':
			n++
		case '\\':
			if i++; p.text[i] == '/' {
				n++
			}
		case '[': // fits none
			i += classLen(p.text[i:]) - 1
		}
	}
	return n
}

// cutAfter gives the address, or the directory above it, that has so many slashes;
// ok is false if there is none.
func cutAfter(address string, slashes int) (above string, ok bool) {
	for i := range len(address) {
		if address[i] != '/' {
			continue
		}
		if slashes == 0 {
			return address[:i], i > 0
		}
		slashes--
	}
	return address, slashes == 0
}

// cleaned is the pattern of an address without what [path.Clean] takes away;
// of one with wildcards that is the slash at its end alone.
func (p pattern) cleaned() pattern {
	switch {
	case !strings.HasPrefix(p.text, "/"):
	case p.glob:
		for len(p.text) > 1 && strings.HasSuffix(p.text, "/") && !strings.HasSuffix(p.text, `\/`) {
			p.text = p.text[:len(p.text)-1]
		}
	default:
		p.text = path.Clean(p.text)
	}
	return p
}

// append appends the pattern as the language has it.
func (p pattern) append(dst []byte) []byte {
	if !p.glob {
		return appendWord(dst, p.text)
	}
	for i := 0; i < len(p.text); i++ {
		c := p.text[i]
		if c == '\\' {
			dst = append(dst, c)
			i++
			c = p.text[i]
		} else if isSpecial(c) {
			dst = append(dst, '\\')
		}
		dst = append(dst, c)
	}
	return dst
}

// appendWord appends text that is taken for itself.
func appendWord(dst []byte, text string) []byte {
	bare := text != "" && !isOperator(text) && !strings.ContainsAny(text, `*?[\`)
	for i := 0; i < len(text) && bare; i++ {
		bare = !isSpecial(text[i])
	}
	if !bare || !utf8.ValidString(text) {
		return strconv.AppendQuote(dst, text)
	}
	return append(dst, text...)
}

func isOperator(text string) bool { return text == "and" || text == "or" || text == "not" }

// isSpecial reports whether c can end a word.
func isSpecial(c byte) bool {
	return c <= ' ' || c == 0x7f || strings.IndexByte(`"()&|!<>=`, c) >= 0
}

// escapeGlob is the glob that fits text alone.
func escapeGlob(text string) string {
	var b strings.Builder
	for i := range len(text) {
		if strings.IndexByte(`*?[\`, text[i]) >= 0 {
			b.WriteByte('\\')
		}
		b.WriteByte(text[i])
	}
	return b.String()
}
