package main

import (
	"errors"
	"strings"
	"testing"

	"github.com/sockcap/sockcap/capture"
	"github.com/sockcap/sockcap/capture/snapshot"
)

// TestSayBegun: what is not known of older sockets is said on one line, and
// nothing where all is known.
func TestSayBegun(t *testing.T) {
	const of = "sockcap: warning: of sockets that are older than the capture "
	for want, b := range map[string]capture.Beginning{
		"": {Sockets: 7},
		of + "nothing is known: list processes: no\n":                                            {Err: &snapshot.Error{Op: "list", Name: "processes", Err: errors.New("no")}},
		of + "only names and holders are known, not peers: no\n":                                 {Sockets: 7, NoDiag: errors.New("no")},
		of + "no more than 7 are known\n":                                                        {Sockets: 7, Truncated: true},
		of + "those in 1 other network namespace are hidden (capability SYS_ADMIN shows them)\n": {Hidden: snapshot.Hidden{Namespaces: 1}},
		of + "those in 2 other network namespaces are hidden (capability SYS_ADMIN shows them); " +
			"those of 3 processes of other users lack their holders (capability SYS_PTRACE shows them)\n": {Hidden: snapshot.Hidden{Namespaces: 2, Processes: 3}},
		of + "those of 1 process of another user lack their holders (capability SYS_PTRACE shows them)\n": {Hidden: snapshot.Hidden{Processes: 1}},
	} {
		var stderr strings.Builder
		(&host{stderr: &stderr}).sayBegun(b)
		if got := stderr.String(); got != want {
			t.Errorf("%+v:\ngot  %q\nwant %q", b, got, want)
		}
	}
}
