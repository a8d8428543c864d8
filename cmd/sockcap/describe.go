package main

import (
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sockcap/sockcap/capture"
	"github.com/sockcap/sockcap/pcapng"
)

// describeHost is what a capture file says of this machine, by the name of host
// if that is not empty, and of the hook set in use.
func describeHost(host, hooks string) pcapng.Options {
	o := pcapng.Options{Application: "sockcap " + version(), Hooks: hooks}
	var u unix.Utsname
	if unix.Uname(&u) == nil {
		text := func(field []byte) string { return unix.ByteSliceToString(field) }
		o.Hardware = text(u.Machine[:])
		o.OS = text(u.Sysname[:]) + " " + text(u.Release[:])
		o.Host = text(u.Nodename[:])
	}
	if host != "" {
		o.Host = host
	}
	return o
}

// fileStats is what a capture file says at its end.
func fileStats(s capture.Stats, start, end time.Time) pcapng.Stats {
	return pcapng.Stats{
		Start:     start,
		End:       end,
		Received:  s.Received,
		Accepted:  s.Captured,
		IfDropped: s.LostMissed + s.LostMap,
		OSDropped: s.LostRing,
		Comment:   strings.Join(causes(s), ", "),
	}
}
