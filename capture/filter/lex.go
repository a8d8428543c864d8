package filter

import (
	"strconv"
	"strings"
)

// token is a piece of an expression: a word, or a sign.
type token struct {
	kind tokenKind
	text string // of a word, without its quotes; else as written
	at   int    // first byte in the expression
}

type tokenKind uint8

const (
	tokenEnd tokenKind = iota
	tokenWord
	tokenQuoted
	tokenOpen
	tokenClose
	tokenAnd
	tokenOr
	tokenNot
	tokenCompare
)

// lexer takes an expression apart.
type lexer struct {
	text string
	at   int
}

// next is the next token; at the end it is tokenEnd, again and again.
func (l *lexer) next() (token, error) {
	for l.at < len(l.text) && isBlank(l.text[l.at]) {
		l.at++
	}
	rest := l.text[l.at:]
	t := token{at: l.at}
	switch {
	case rest == "":
		return t, nil
	case rest[0] == '"':
		return l.quoted()
	}
	for _, sign := range []struct {
		text string
		kind tokenKind
	}{
		{"(", tokenOpen}, {")", tokenClose}, {"&&", tokenAnd}, {"||", tokenOr},
		{"<=", tokenCompare}, {">=", tokenCompare}, {"==", tokenCompare}, {"!=", tokenCompare},
		{"<", tokenCompare}, {">", tokenCompare}, {"=", tokenCompare}, {"!", tokenNot},
	} {
		if strings.HasPrefix(rest, sign.text) {
			t.kind, t.text = sign.kind, sign.text
			l.at += len(sign.text)
			return t, nil
		}
	}
	if rest[0] == '&' || rest[0] == '|' {
		return t, failAt(t.at, "the signs for and and or are && and ||", "%q is no sign", rest[:1])
	}
	t.text = rest[:wordLen(rest)]
	l.at += len(t.text)
	switch t.kind = tokenWord; t.text {
	case "and":
		t.kind = tokenAnd
	case "or":
		t.kind = tokenOr
	case "not":
		t.kind = tokenNot
	}
	return t, nil
}

// quoted is the token of a string of Go, which has to end where a word could.
func (l *lexer) quoted() (token, error) {
	t := token{kind: tokenQuoted, at: l.at}
	quoted, err := strconv.QuotedPrefix(l.text[l.at:])
	if err == nil {
		t.text, err = strconv.Unquote(quoted)
	}
	if err != nil {
		return t, failAt(t.at, "", "a quoted word does not end, or has a wrong escape")
	}
	l.at += len(quoted)
	if rest := l.text[l.at:]; rest != "" && (!isSpecial(rest[0]) || rest[0] == '"') {
		return t, failAt(l.at, "quote all of the word, or put a blank between", "a quoted word goes on after its quote")
	}
	return t, nil
}

// wordLen is the length of the word that s begins with. Addresses may have
// signs of comparison in them.
func wordLen(s string) int {
	address := IsPath(s)
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == '\\' && i+1 < len(s):
			i++
		case isBlank(c), c == '(', c == ')', c == '"':
			return i
		case (c == '&' || c == '|') && i+1 < len(s) && s[i+1] == c:
			return i
		case !address && strings.IndexByte("<>=!", c) >= 0:
			return i
		}
	}
	return len(s)
}

func isBlank(c byte) bool { return c == ' ' || '\t' <= c && c <= '\r' }
