package main

import (
	"errors"
	"fmt"
	"strings"

	"github.com/sockcap/sockcap/capture"
	"github.com/sockcap/sockcap/wireshark"
)

// This is the wording of sockcap inside Wireshark; messages.go has the rest. A
// label or tip may hold no brace.

const (
	homepage    = "https://github.com/sockcap/sockcap#in-wiresharks-interface-list"
	extcapTitle = "Unix domain sockets"
	labelAuto   = "automatic"
)

// extcapControl is a button of Wireshark's toolbar.
type extcapControl struct{ label, tip, role string }

func extcapControls() []extcapControl {
	return []extcapControl{
		controlLog:        {"Log", "What sockcap has to say of the capture", "logger"},
		controlStatistics: {"Statistics", "How many packets were captured and dropped, in the status bar; why, in the log", ""},
		controlHelp:       {"Help", "sockcap on the web", "help"},
	}
}

// validPaths is what --path may hold, for Qt: words that begin with / or @, or
// are quoted. Wireshark ends a parameter at a closing brace.
const validPaths = `^ *([/@][^ ]*|"[/@].*")( +([/@][^ ]*|"[/@].*"))* *$`

func optionsOf(sets []string) []extcapOption {
	const capturing, kernel = "Capture", "Kernel"
	return []extcapOption{
		{
			call: "--path", label: "Sockets", group: capturing, kind: "string",
			tip: "Keep the sockets at these paths, or below these directories; @name is an abstract one. Several have blanks between, a path with a blank is quoted. Empty: all.",
			extra: []wireshark.Param{
				{Name: "placeholder", Value: "all, or: /run/docker.sock /run/postgresql @name"},
				{Name: "validation", Value: validPaths},
			},
		},
		{
			call: "--snapshot-length", label: "Payload bytes a packet (0: all)", group: capturing, kind: "unsigned",
			tip:   "Keep only so much of each packet's payload",
			extra: rangeOf(0, maxSnaplen),
		},
		{
			call: reloadable, label: "Hook set", group: kernel, kind: "selector",
			tip:     "How the bytes are taken in the kernel: sockcap -D says what each does not see",
			extra:   []wireshark.Param{{Name: "reload", Value: "true"}, {Name: "placeholder", Value: "Try all"}},
			choices: hookChoices(sets),
		},
		{
			call: "--senders", label: "Senders", group: kernel, kind: "selector",
			tip:     "Where several processes write one socket at once, the tracepoint set marks the sender as uncertain, or knows it, which slows the kernel",
			choices: []choice{{"auto", labelAuto}, {"exact", "exact, slower"}},
		},
		{
			call: "--buffer-size", label: "Buffer in KiB (0: automatic)", group: kernel, kind: "unsigned",
			tip:   "The kernel's buffer: make it larger if packets are dropped",
			extra: rangeOf(0, maxBuffer),
		},
	}
}

func errTwoFilters() error {
	return &errUsage{
		text: "sockets are named twice, as capture filter and in the interface's options",
		hint: "leave one of them empty",
	}
}

// errNoFifo refuses what Wireshark would not give as a control pipe.
func errNoFifo(name string) error {
	return fmt.Errorf("open %s: %w", name, errors.New("is no fifo"))
}

// statusCapturing is what the status bar says at first.
func statusCapturing(hooks string) string {
	return "sockcap: capturing by " + hooks
}

// statusOf is short: the status bar cuts what is longer.
func statusOf(captured uint64, s capture.Stats) string {
	return fmt.Sprintf("sockcap: %d captured, %d dropped", captured, s.Dropped())
}

// losses is what has been lost, and why, on one line.
func losses(s capture.Stats) string {
	line := strings.Join(append([]string{count(s.Dropped(), "packet") + " dropped by kernel"}, causes(s)...), ", ")
	if overflowed(s) {
		line += " (a larger buffer makes room for more)"
	}
	return line
}
