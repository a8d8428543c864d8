package main

// What `sockcap doctor` says of itself, and of Wireshark; what it says of the
// kernel is capture.Examine's.

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/sockcap/sockcap/capture"
	"github.com/sockcap/sockcap/wireshark"
)

const shortDoctor = "tell whether one can capture here, and what helps"

const helpDoctor = `Usage: sockcap doctor [--json]
Tell what this kernel, this container and this user allow, by trying it: each
set of hooks is to capture a message that sockcap sends itself. Of what is
refused it says the cause, and the cure.

  --json            an object a line
  -h, --help

ok     is there
no     is refused, or missing: what that means is said below it
-      can't be told, or is not needed
The status is 0 only if at least one set of hooks captures. Run it as you would
capture: by sudo, in the container, in the service.
`

// verdictKey is a verdict in JSON.
func verdictKey(v capture.Verdict) string {
	switch v {
	case capture.Fine:
		return "ok"
	case capture.Refused:
		return "no"
	}
	return "unknown"
}

// appendCheck appends c as a line, and what is refused with two lines more.
func (pr *printer) appendCheck(dst []byte, c *capture.Check) []byte {
	word, shade := "-", colorFaint
	switch c.Verdict {
	case capture.Fine:
		word, shade = "ok", colorGreen
	case capture.Refused:
		word, shade = "no", colorRed
	}
	dst = append(pr.paint(dst, shade), word...)
	dst = append(pr.paint(dst, colorNone), "   "[len(word):]...)
	dst = fmt.Appendf(dst, " %-19s ", c.Name)
	dst = append(appendEscaped(dst, c.Found, inLine), '\n')
	for _, f := range []struct{ title, text string }{{"cause", c.Cause}, {"cure", c.Cure}} {
		if f.text != "" {
			dst = fmt.Appendf(dst, "      %-6s ", f.title+":")
			dst = append(appendEscaped(dst, f.text, inLine), '\n')
		}
	}
	return dst
}

// lastWord is whether one can capture.
func lastWord(sets []string) capture.Check {
	if len(sets) == 0 {
		return capture.Check{Name: "capture", Verdict: capture.Refused, Found: "sockcap can't capture here"}
	}
	return capture.Check{Name: "capture", Verdict: capture.Fine, Found: "sockcap captures here, by " + sets[0]}
}

// Of Wireshark. None of it is needed for a capture.

func notLooked(err error) capture.Check {
	return capture.Check{Name: "wireshark", Found: "can't be told", Cause: err.Error(), Cure: hintOf(err)}
}

func noTshark() capture.Check {
	return capture.Check{Name: "wireshark", Found: "there is no tshark in PATH, which would tell",
		Cure: "to look at captures: apt-get install wireshark tshark"}
}

var errNoVersion = errors.New("it does not say which version it is")

func foundTshark(path, version string) capture.Check {
	c := capture.Check{Name: "wireshark", Verdict: capture.Fine, Found: fmt.Sprintf("%s is %s", quoteName(path), version)}
	major, _, _ := strings.Cut(version, ".")
	if n, err := strconv.Atoi(major); err == nil && n < 4 {
		c.Verdict, c.Cause = capture.Refused, "the dissector is for 4.0 and later"
		c.Cure = "a newer Wireshark; or write what any can read: sockcap -y RAW -w FILE"
	}
	return c
}

const installCure = "sockcap dissector install"

func foundDissector(all []wireshark.Found) capture.Check {
	return foundInstalled("dissector", all, "Wireshark shows captures as bytes without it", "is of another version than this sockcap")
}

func foundExtcap(all []wireshark.Found) capture.Check {
	return foundInstalled("extcap", all, "sockcap is not among Wireshark's interfaces without it", "does not lead to this sockcap")
}

// foundInstalled is about something that dissector install puts in place: what
// its lack means, and what is wrong with one that is not ours.
func foundInstalled(name string, all []wireshark.Found, lack, foreign string) capture.Check {
	c := capture.Check{Name: name, Verdict: capture.Fine}
	if len(all) == 0 {
		c.Verdict, c.Found = capture.Refused, "is not installed"
		c.Cause, c.Cure = lack, installCure
		return c
	}
	for _, f := range all {
		if !f.Ours {
			c.Verdict, c.Found = capture.Refused, quoteName(f.Path)+" "+foreign
			c.Cure = installCure + ", by root with --system where it is all users'"
			return c
		}
	}
	c.Found = quoteName(all[0].Path)
	return c
}
