package main

import (
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestAppendEscaped(t *testing.T) {
	for _, tt := range []struct {
		text, line, quotes, many string
	}{
		{"plain", "plain", "plain", "plain"},
		{"a\tb\n", `a\tb\n`, `a\tb\n`, "a\tb\n"},
		{"a\r\nb\rc\r", `a\r\nb\rc\r`, `a\r\nb\rc\r`, "a\nb\\rc\\r"},
		{`say "\n"`, `say "\n"`, `say \"\\n\"`, `say "\n"`},
		{"\x1b[31mred\x07", `\x1b[31mred\x07`, `\x1b[31mred\x07`, `\x1b[31mred\x07`},
		{"\x00\x7f\x9b\xc2\x9b", `\x00\x7f\x9b\u009b`, `\x00\x7f\x9b\u009b`, `\x00\x7f\x9b\u009b`},
		{"grün €, 漢字", "grün €, 漢字", "grün €, 漢字", "grün €, 漢字"},
		{"ab\u202ecd\u200b\ufeff\u2028", `ab\u202ecd\u200b\ufeff\u2028`, `ab\u202ecd\u200b\ufeff\u2028`, `ab\u202ecd\u200b\ufeff\u2028`},
		{"\U000e0001", `\U000e0001`, `\U000e0001`, `\U000e0001`},
		{"cut \xe2\x82", `cut \xe2\x82`, `cut \xe2\x82`, `cut \xe2\x82`},
		{"\ufffd", "\ufffd", "\ufffd", "\ufffd"},
	} {
		for how, want := range map[escaping]string{inLine: tt.line, inQuotes: tt.quotes, inText: tt.many} {
			if got := string(appendEscaped(nil, tt.text, how)); got != want {
				t.Errorf("appendEscaped(%q, %d) = %s, want %s", tt.text, how, got, want)
			}
			if got := string(appendEscaped(nil, []byte(tt.text), how)); got != want {
				t.Errorf("appendEscaped([]byte(%q), %d) = %s, want %s", tt.text, how, got, want)
			}
		}
	}
}

func TestAppendName(t *testing.T) {
	for name, want := range map[string]string{
		"docker":             "docker",
		"kworker/0:1":        "kworker/0:1",
		"@/tmp/.X11-unix/X0": "@/tmp/.X11-unix/X0",
		"tmux: server":       `"tmux: server"`,
		"a[1] > b":           `"a[1] > b"`,
		`a"b\c`:              `"a\"b\\c"`,
		"?":                  `"?"`,
		"(unnamed)":          `"(unnamed)"`,
		"@\x00\x01":          `"@\x00\x01"`,
		"":                   `""`,
	} {
		if got := string(appendName(nil, name)); got != want {
			t.Errorf("appendName(%q) = %s, want %s", name, got, want)
		}
	}
}

// safe reports whether a terminal would only print text.
func safe(text string, newlines bool) bool {
	if !utf8.ValidString(text) {
		return false
	}
	return !strings.ContainsFunc(text, func(r rune) bool {
		return !strconv.IsPrint(r) && !(newlines && (r == '\n' || r == '\t'))
	})
}

func FuzzEscape(f *testing.F) {
	for _, seed := range []string{"", "docker", "a b", "\x1b]0;x\x07", "\xc2\x9b31m", "\u202e", "\r\n", `\"`, "[1] > b[2]", "\xff\xfe"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		for _, how := range []escaping{inLine, inQuotes, inText} {
			if got := string(appendEscaped(nil, text, how)); !safe(got, how == inText) {
				t.Errorf("appendEscaped(%q, %d) = %q: not safe", text, how, got)
			}
		}
		name := string(appendName(nil, string(text)))
		if !safe(name, false) {
			t.Errorf("appendName(%q) = %q: not safe", text, name)
		}
		if name != string(text) {
			if back, err := strconv.Unquote(name); err != nil || back != string(text) {
				t.Errorf("appendName(%q) = %s, which reads back as %q, %v", text, name, back, err)
			}
		} else if strings.ContainsAny(name, " []<>\"\\()?") {
			t.Errorf("appendName(%q) stands bare", text)
		}
	})
}
