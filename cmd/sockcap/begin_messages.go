package main

// What a capture says of the sockets that are older than it, besides
// messages.go.

import (
	"fmt"
	"strings"

	"github.com/sockcap/sockcap/capture"
)

// sayBegun warns, on one line, of what is not known of the sockets that are
// older than the capture, if anything.
func (h *host) sayBegun(b capture.Beginning) {
	if words := unknownOlder(&b); words != "" {
		h.say("warning: ", "of sockets that are older than the capture %s", words)
	}
}

func unknownOlder(b *capture.Beginning) string {
	if b.Err != nil {
		return fmt.Sprintf("nothing is known: %v", b.Err)
	}
	var words []string
	if b.NoDiag != nil {
		words = append(words, fmt.Sprintf("only names and holders are known, not peers: %v", b.NoDiag))
	}
	if b.Truncated {
		words = append(words, fmt.Sprintf("no more than %d are known", b.Sockets))
	}
	if n := b.Hidden.Namespaces; n > 0 {
		words = append(words, fmt.Sprintf("those in %s are hidden (capability SYS_ADMIN shows them)", count(uint64(n), "other network namespace")))
	}
	if n := b.Hidden.Processes; n > 0 {
		words = append(words, fmt.Sprintf("those of %s lack their holders (capability SYS_PTRACE shows them)",
			countOf(uint64(n), "process of another user", "processes of other users")))
	}
	return strings.Join(words, "; ")
}
