package main

import (
	"errors"
	"fmt"
	"strings"

	"github.com/sockcap/sockcap/pcapng"
	"github.com/sockcap/sockcap/pcapng/stream"
)

// What is said of streams.

// wrongStream is about the address after a flag.
func wrongStream(flag string, err error) error {
	return &errUsage{text: flag + ": " + err.Error(), hint: "a stream is nats://HOST:4222/STREAM, with tls:// in front where it is encrypted"}
}

// streamHint is the cure for an error of a stream.
func streamHint(err error) string {
	switch {
	case errors.Is(err, stream.ErrNoStream):
		return "a capture makes it: sockcap -w nats://HOST/STREAM"
	case errors.Is(err, stream.ErrSubjects):
		return "let the stream take STREAM.>, or name one that sockcap may make"
	case errors.Is(err, stream.ErrUndelivered):
		return "what was not stored is gone; with a file after -w it would not be"
	case errors.Is(err, stream.ErrUnauthorized):
		return "say who you are: nats://USER:PASSWORD@HOST/STREAM, or nats://HOST/STREAM?creds=FILE"
	case errors.Is(err, stream.ErrWantsTLS):
		return "the server wants tls://"
	}
	return ""
}

func (h *host) sayReadingStream(a *stream.Address) {
	h.say("", "reading from stream %s, link-type %s", quoteName(a.String()), linkTypeWords(pcapng.LinkType))
}

// sayNotice tells what a stream does.
func (h *host) sayNotice(n stream.Notice) {
	switch n.Kind {
	case stream.NoticeAway:
		h.say("warning: ", "%v: trying on", n.Err)
	case stream.NoticeBack:
		h.say("", "the stream's server is there again")
	case stream.NoticeCreated:
		h.say("", "there was no such stream: made, with %s, for a day", count(uint64(n.Replicas), "replica"))
	case stream.NoticeMessage:
		h.say("warning: ", "%v: left out, as are all such", n.Err)
	case stream.NoticeClock:
		h.say("warning: ", "the clock of %s is %v ahead of the server's: its packets take that one's time", quoteName(n.Host), n.Ahead.Round(1e6))
	}
}

// sayPublished tells what became of the packets for a stream, where they are
// not all there.
func (h *host) sayPublished(c stream.PublishCounts) {
	if c.Lost > 0 {
		h.say("warning: ", "%s", lostWords(c.Lost))
	}
}

func lostWords(n uint64) string {
	return count(n, "packet") + " lost because no server took what was sent and no more could be held"
}

// sayWaiting tells why the end takes a while.
func (h *host) sayWaiting() { h.say("", "waiting for the stream's server to store what is left") }

// sayRead tells what was not as it should be in a stream.
func (h *host) sayRead(c stream.ReadCounts) {
	words := wordsOf([]outcome{
		{c.Missing, "packet", "missing, whose messages the stream does not have"},
		{c.Unreadable, "message", "left out that sockcap has not made"},
		{c.Twice, "message", "that came twice left out"},
		{c.Late, "packet", "later than others that came before"},
	})
	if len(words) > 0 {
		h.say("", "%s", strings.Join(words, ", "))
	}
}

// sayReadSoFar answers SIGUSR1.
func (h *host) sayReadSoFar(captured uint64) { h.say("", "%s captured", count(captured, "packet")) }

// undeliveredWords is why a capture that goes to a stream is not whole.
func undeliveredWords(err *stream.Error) error {
	return fmt.Errorf("%s %s: %s %w", err.Op, quoteName(err.Name), count(err.Packets, "packet"), err.Err)
}
