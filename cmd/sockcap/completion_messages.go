package main

import (
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// What a shell says of options and subcommands beside their names; messages.go
// has the rest of the wording.

const (
	shortVersion    = "print the version"
	shortDissector  = "give Wireshark what it needs"
	shortPrint      = "write the dissector, a Lua script"
	shortInstall    = "put dissector, profile and extcap where Wireshark looks"
	shortCompletion = "write a script for a shell"
	shortUninstall  = "take away what install has put there"
	forAllUsers     = "for all users"
	forceWords      = "also what somebody has changed"
)

// addFlagWords says what each option of a command and its subcommands does,
// unless that has been said.
func addFlagWords(c *cobra.Command) {
	c.Flags().VisitAll(func(f *pflag.Flag) {
		if f.Usage == "" {
			f.Usage = flagWords(f.Name)
		}
	})
	for _, sub := range c.Commands() {
		addFlagWords(sub)
	}
}

// flagWords is what an option does, by its name among the flags.
func flagWords(name string) string {
	return map[string]string{
		"w":                             "write pcapng to a file, to -, or to a stream",
		"since":                         "of a stream: begin with what was stored since then",
		"until":                         "of a stream: end with what was stored by then",
		"host":                          "name of this host in what is written",
		"r":                             "read a file, or a stream",
		"linktype":                      "link type of the file that is written",
		"list-data-link-types":          "list link types",
		"print":                         "print lines even with -w",
		"format":                        "what to print or write",
		"json":                          "print JSON, an object a line",
		"output":                        "print to a file",
		"l":                             "flush each line",
		"packet-buffered":               "flush each packet",
		"quiet":                         "print less",
		"e":                             "print uids, inodes, cgroup, container",
		"v":                             "print all events; again: more of each",
		"number":                        "number the lines",
		"A":                             "print the payload as text",
		"x":                             "print the payload in hexadecimal; again: the whole record",
		"X":                             "print the payload in hexadecimal and as text; again: the whole record",
		"t":                             "no time; again: other times",
		"color":                         "color the lines",
		"utc":                           "print times in UTC",
		"micro":                         "print microseconds",
		"nano":                          "print nanoseconds",
		"n":                             "accepted, changes nothing",
		"c":                             "end after so many packets with data",
		"snapshot-length":               "payload to keep of each packet, in bytes",
		"buffer-size":                   "kernel buffer, in KiB",
		"redact":                        "keep headers and lengths, no payload",
		"list-interfaces":               "list the sets of hooks",
		"interface":                     "set of hooks",
		"senders":                       "how hard to look for the sender",
		"stats-interval":                "how often to tell how far it is",
		"C":                             "next file after so many million bytes",
		"G":                             "next file after so many seconds",
		"W":                             "how many files",
		"z":                             "command for each finished file",
		"autostop":                      "when to end",
		"F":                             "read the expression from a file",
		"direction":                     "to the server, to the client, both",
		"include-self":                  "keep what sockcap itself writes",
		"d":                             "print what the expression tests, and stop",
		"path":                          "keep sockets at this path",
		"comm":                          "keep processes of this name",
		"pid":                           "keep this process",
		"uid":                           "keep this user",
		"container":                     "keep this container",
		"cgroup":                        "keep this control group",
		"Z":                             "user to go on as, or to run the command as",
		"help":                          "print help",
		"version":                       "print the version",
		"dont-verify-checksums":         "accepted, changes nothing",
		"N":                             "accepted, changes nothing",
		"no-optimize":                   "accepted, changes nothing",
		"no-promiscuous-mode":           "accepted, changes nothing",
		"absolute-tcp-sequence-numbers": "accepted, changes nothing",
	}[name]
}
