package stream

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestAddress(t *testing.T) {
	for _, c := range []struct {
		text, shown string
		want        Address
	}{
		{"nats://web/S", "nats://web/S", Address{Servers: []string{"nats://web"}, Stream: "S"}},
		{"tls://me:a@b@[::1]:4223/a-b_1", "tls://[::1]:4223/a-b_1", Address{Servers: []string{"tls://me:a%40b@[::1]:4223"}, Stream: "a-b_1", TLS: true}},
		{"nats://token@a:1,b:2/S?creds=/etc/a%26b&ca=ca.pem", "nats://a:1,b:2/S",
			Address{Servers: []string{"nats://token@a:1", "nats://token@b:2"}, Stream: "S", Creds: "/etc/a&b", CA: "ca.pem", TLS: true}},
		{"nats://a/S?cert=c&key=k", "nats://a/S", Address{Servers: []string{"nats://a"}, Stream: "S", Cert: "c", Key: "k", TLS: true}},
	} {
		got, err := ParseAddress(c.text)
		if err != nil || cmp.Diff(c.want, got) != "" || got.String() != c.shown {
			t.Errorf("%s: %+v, shown as %s (%v), want %+v, shown as %s", c.text, got, got, err, c.want, c.shown)
		}
	}
	for _, text := range []string{
		"nats://", "nats://a", "nats://a/", "nats:///S", "nats://a,/S", "nats://a/S/T", "nats://a/S.T", "nats://a/S>", "nats://a/*",
		"nats://me:secret@a:b/S", "nats://me:secret@a/S?creds=", "nats://a/S?creds=a&creds=b", "nats://a/S?other=a", "nats://a/S?cert=a",
		"nats://a/S?ca=%", "nats://me:secret@a/" + strings.Repeat("a", 256),
	} {
		if got, err := ParseAddress(text); !errors.Is(err, ErrAddress) || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: %+v, %v, want an error without the password", text, got, err)
		}
	}
}

func TestSubject(t *testing.T) {
	for host, want := range map[string]string{
		"web-1":           "S.web-1",
		"web.example.org": "S.web.example.org",
		".a..b.":          "S.%2Ea.%2Eb%2E",
		"a b*>%":          "S.a%20b%2A%3E%25",
		"\xc3\xa4\n\x00.": "S.%C3%A4%0A%00%2E",
		".":               "S.%2E",
	} {
		got := subjectOf("S", host)
		back, ok := hostOf("S", got)
		if got != want || back != host || !ok {
			t.Errorf("%q: %s, which is %q; want %s", host, got, back, want)
		}
	}
	for _, subject := range []string{"", "S", "S.", "T.a", "S.a.", "S.a b", "S.%", "S.%2", "S.%2e", "S.%41", "S.a%2Eb", "S." + strings.Repeat("a", 256)} {
		if host, ok := hostOf("S", subject); ok {
			t.Errorf("%s: is of host %q, want none", subject, host)
		}
	}
}

func TestCovers(t *testing.T) {
	for _, c := range []struct {
		pattern, subject string
		want             bool
	}{
		{"S.>", "S.a", true}, {"S.>", "S.a.b", true}, {"S.>", "S", false}, {"S.>", "T.a", false}, {">", "S.a", true},
		{"S.*", "S.a", true}, {"S.*", "S.a.b", false}, {"S.*.b", "S.a.b", true}, {"S.a", "S.a", true}, {"S.a.b", "S.a", false},
	} {
		if got := covers(c.pattern, c.subject); got != c.want {
			t.Errorf("%s of %s: %v, want %v", c.pattern, c.subject, got, c.want)
		}
	}
}
