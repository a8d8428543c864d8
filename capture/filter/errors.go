package filter

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// Error is this package's error: what is wrong, and where. Its text is one
// line, "column N: what is wrong", which may hold what the user wrote.
type Error struct {
	Line   int // from 1, for texts of several lines; 0: the text has one, or it is about no place
	Column int // in characters of the line, from 1; 0: it is about no place
	Hint   string
	Err    error // what is wrong
}

func (e *Error) Error() string {
	switch {
	case e.Line > 0:
		return fmt.Sprintf("line %d, column %d: %v", e.Line, e.Column, e.Err)
	case e.Column > 0:
		return fmt.Sprintf("column %d: %v", e.Column, e.Err)
	}
	return e.Err.Error()
}

// Unwrap gives what is wrong, without the place.
func (e *Error) Unwrap() error { return e.Err }

// fail is what stops a parser: the parser's functions return to parse at once.
type fail struct {
	at   int // byte of the text
	hint string
	err  error
}

func (f *fail) Error() string { return f.err.Error() }

func failAt(at int, hint, format string, args ...any) *fail {
	return &fail{at, hint, fmt.Errorf(format, args...)}
}

// in is the error for one that reads text.
func (f *fail) in(text string) *Error {
	before := text[:f.at]
	line := strings.Count(before, "\n") + 1
	if !strings.Contains(text, "\n") {
		line = 0
	}
	start := strings.LastIndexByte(before, '\n') + 1
	return &Error{Line: line, Column: utf8.RuneCountInString(before[start:]) + 1, Hint: f.hint, Err: f.err}
}
