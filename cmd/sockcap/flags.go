package main

import (
	"context"
	"errors"
	"io"
	"slices"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/sockcap/sockcap/capture"
	"github.com/sockcap/sockcap/capture/filter"
	"github.com/sockcap/sockcap/pcapng"
)

// format is what --format chooses.
type format string

const (
	formatText      format = "text" // one line a packet
	formatString    format = "string"
	formatHex       format = "hex"
	formatHexString format = "hexstring"
	formatJSON      format = "json"
	formatPcapng    format = "pcapng"
	formatPcap      format = "pcap" // what sockdump calls it; means pcapng
)

// flags is what the user asked for, grouped by who reads it. Nothing in it is
// found out later.
type flags struct {
	capture  capture.Options
	list     bool     // -D
	listLink bool     // -L
	read     []string // -r; none: capture
	count    uint64   // -c; 0: no end
	keep     int      // -s, --redact: bytes of a packet's payload that go anywhere
	filter   *filter.Expr
	explain  bool   // -d
	write    string // -w, or --output with --format pcapng; empty: no file
	linkType int    // -y, of the file that is written
	color    string // --color
	text     bool   // print packets
	textFile string // --output; empty: standard output
	flush    bool   // -l, -U: each line and packet at once
	rotation rotation
	limits   limits
	stats    time.Duration // --stats-interval; 0: none
	printer  printer
	command  []string // after --; none: capture all
	user     string   // -Z, of the command, or of us; empty: see commandUser
	streams
}

// raw holds flags as they are parsed, before they are checked together.
type raw struct {
	write, format, output, hooks, senders string
	linkType                              string
	stats                                 string
	read                                  []string
	count                                 int64
	snaplen, buffer                       int
	list, print, lines, packets, quiet    bool
	listLink, ascii, json                 bool
	ids, numbers, micro, nano, utc        bool
	hex, hexText, time, verbose           int
	color                                 string
	redact                                bool
	help, version                         bool
	helpErr                               error // cobra has no other place for it
	user                                  string
	rotation                              rawRotation
	filter                                rawFilter
	streams                               rawStreams
}

// define adds every flag to s. A flag has tcpdump's long name where tcpdump
// gives it one; else its letter is its name.
func (r *raw) define(s *pflag.FlagSet) {
	s.SortFlags = false
	s.StringVarP(&r.write, "w", "w", "", "")
	s.StringArrayVarP(&r.read, "r", "r", nil, "")
	s.StringVarP(&r.linkType, "linktype", "y", pcapng.LinkTypeName(pcapng.LinkType), "")
	s.BoolVarP(&r.listLink, "list-data-link-types", "L", false, "")
	s.BoolVar(&r.print, "print", false, "")
	s.StringVar(&r.format, "format", string(formatText), "")
	s.BoolVar(&r.json, "json", false, "")
	s.StringVar(&r.output, "output", "", "")
	s.BoolVarP(&r.lines, "l", "l", false, "")
	s.BoolVarP(&r.packets, "packet-buffered", "U", false, "")
	s.BoolVarP(&r.quiet, "quiet", "q", false, "")
	s.BoolVarP(&r.ids, "e", "e", false, "")
	s.CountVarP(&r.verbose, "v", "v", "")
	s.BoolVarP(&r.numbers, "number", "#", false, "")
	s.BoolVarP(&r.ascii, "A", "A", false, "")
	s.CountVarP(&r.hex, "x", "x", "")
	s.CountVarP(&r.hexText, "X", "X", "")
	s.CountVarP(&r.time, "t", "t", "")
	s.StringVar(&r.color, "color", colorAuto, "")
	s.BoolVar(&r.utc, "utc", false, "")
	s.BoolVar(&r.micro, "micro", false, "")
	s.BoolVar(&r.nano, "nano", false, "")
	s.CountP("n", "n", "")
	s.Int64VarP(&r.count, "c", "c", 0, "")
	s.IntVarP(&r.snaplen, "snapshot-length", "s", 0, "")
	s.BoolVar(&r.redact, "redact", false, "")
	s.IntVarP(&r.buffer, "buffer-size", "B", 0, "")
	s.BoolVarP(&r.list, "list-interfaces", "D", false, "")
	s.StringVarP(&r.hooks, "interface", "i", "auto", "")
	s.StringVar(&r.senders, "senders", "auto", "")
	s.StringVar(&r.stats, "stats-interval", "", "")
	s.StringVarP(&r.user, "Z", "Z", "", "")
	r.rotation.define(s)
	r.filter.define(s)
	r.streams.define(s)
	s.BoolVarP(&r.help, "help", "h", false, "")
	s.BoolVarP(&r.version, "version", "V", false, "")
	for _, f := range []struct{ name, letter string }{
		{"dont-verify-checksums", "K"},
		{"N", "N"},
		{"no-optimize", "O"},
		{"no-promiscuous-mode", "p"},
		{"absolute-tcp-sequence-numbers", "S"},
	} {
		s.CountP(f.name, f.letter, "")
	}
}

const (
	maxSnaplen = 262144  // of the link type
	maxBuffer  = 2 << 20 // KiB: a ring buffer's size is a power of two in 32 bits
)

// flags checks what was parsed.
func (r *raw) flags(s *pflag.FlagSet, args []string) (*flags, error) {
	f := &flags{list: r.list, listLink: r.listLink, flush: r.lines || r.packets}
	for _, check := range []func(*pflag.FlagSet, *flags) error{
		r.setCapture, r.setInput, r.setPrinter, r.setOutput, r.setLinkType, r.setRotation, r.setStreams,
	} {
		if err := check(s, f); err != nil {
			return nil, err
		}
	}
	if dash := s.ArgsLenAtDash(); dash >= 0 {
		if err := f.setCommand(args[dash:]); err != nil {
			return nil, err
		}
		args = args[:dash]
	}
	f.user = r.user
	if s.Changed("Z") && f.user == "" {
		return nil, usage("-Z needs the name of a user")
	}
	if err := r.filter.set(f, args); err != nil {
		return nil, err
	}
	return f, nil
}

func (r *raw) setCapture(s *pflag.FlagSet, f *flags) error {
	switch {
	case !slices.Contains([]string{"auto", "fentry", "kprobe", "tracepoint"}, r.hooks):
		return wrongHooks(r.hooks)
	case !slices.Contains([]string{"auto", "exact"}, r.senders):
		return wrongChoice("--senders", r.senders, "auto or exact")
	case r.snaplen < 0 || r.snaplen > maxSnaplen:
		return outOfRange("-s", r.snaplen, 0, maxSnaplen)
	case r.redact && r.snaplen > 0:
		return usage("--redact keeps nothing of a payload, and -s %d some", r.snaplen)
	case s.Changed("buffer-size") && (r.buffer < 1 || r.buffer > maxBuffer):
		return outOfRange("-B", r.buffer, 1, maxBuffer)
	}
	switch f.keep = maxSnaplen; {
	case r.redact:
		f.keep = 0
	case r.snaplen > 0:
		f.keep = r.snaplen
	}
	f.capture = capture.Options{
		Hooks:      r.hooks,
		Senders:    r.senders,
		BufferSize: r.buffer << 10,
		Snaplen:    r.snaplen,
		Redact:     r.redact,
		Immediate:  r.packets, // -l keeps the order, and waits for it
	}
	return nil
}

func (r *raw) setInput(s *pflag.FlagSet, f *flags) error {
	switch {
	case s.Changed("c") && r.count < 1:
		return outOfRange("-c", r.count, 1, int64(1<<63-1))
	case slices.Contains(r.read, ""):
		return usage("-r needs the name of a file")
	}
	stdin := 0
	for _, name := range r.read {
		if isStdin(name) {
			stdin++
		}
	}
	if stdin > 1 {
		return usage("-r names standard input %d times, it can be read once", stdin)
	}
	f.count, f.read = uint64(r.count), r.read
	for _, name := range []string{"buffer-size", "interface", "senders", "stats-interval", "include-self"} {
		if given := s.Lookup(name); len(f.read) > 0 && given.Changed {
			return notReading(flagName(given))
		}
	}
	if !s.Changed("stats-interval") {
		return nil
	}
	var ok bool
	if f.stats, ok = parseInterval(r.stats); !ok {
		return wrongChoice("--stats-interval", r.stats, "seconds, or a time as 500ms or 1m30s, from 1ms on")
	}
	return nil
}

func (r *raw) setPrinter(s *pflag.FlagSet, f *flags) error {
	f.printer.format = format(r.format)
	if r.json {
		if s.Changed("format") && f.printer.format != formatJSON {
			return usage("--json is --format json, not %s", quoteName(r.format))
		}
		f.printer.format = formatJSON
	}
	f.printer.quiet, f.printer.ids, f.printer.verbose, f.printer.numbers = r.quiet, r.ids, r.verbose, r.numbers
	f.printer.times = r.times()
	var foreign []string // -v and --utc never harm
	switch f.printer.format {
	case formatText:
	case formatString, formatHex, formatHexString:
		foreign = []string{"quiet", "e", "number", "A", "x", "X"}
	case formatJSON:
		foreign = []string{"quiet", "number", "A", "x", "X", "t", "micro", "nano"}
	case formatPcapng, formatPcap:
		f.printer.format = formatPcapng
	default:
		return wrongChoice("--format", r.format, "text, string, hex, hexstring, json or pcapng")
	}
	for _, name := range foreign {
		if f := s.Lookup(name); f.Changed {
			return usage("%s belongs to --format text", flagName(f))
		}
	}
	f.color = r.color
	if !slices.Contains([]string{colorAuto, colorAlways, colorNever}, r.color) {
		return wrongChoice("--color", r.color, "auto, always or never")
	}
	if r.micro && r.nano {
		return usage("--micro and --nano: expected one of them")
	}
	if f.printer.times.style > sinceFirst {
		return usage("-t is given %d times, at most five mean something", r.time)
	}
	switch {
	case r.hexText > 0:
		f.printer.dump, f.printer.record = dumpHexText, r.hexText > 1
	case r.hex > 0:
		f.printer.dump, f.printer.record = dumpHex, r.hex > 1
	case r.ascii:
		f.printer.dump = dumpText
	}
	return nil
}

// times is how times are printed: as sockdump does, to the millisecond, in its
// formats, else to the microsecond.
func (r *raw) times() timestamps {
	t := timestamps{style: timeStyle(r.time), utc: r.utc, digits: 6}
	switch {
	case r.nano:
		t.digits = 9
	case r.micro:
	case slices.Contains([]format{formatString, formatHex, formatHexString}, format(r.format)):
		t.digits = 3
	}
	return t
}

// setOutput settles where packets go: -w FILE is a capture file, and so is
// --output FILE with --format pcapng; without either, and with --print or
// --output, there is text.
func (r *raw) setOutput(s *pflag.FlagSet, f *flags) error {
	switch {
	case s.Changed("w") && r.write == "":
		return usage("-w needs the name of a file")
	case s.Changed("output") && r.output == "":
		return usage("--output needs the name of a file")
	case f.printer.format != formatPcapng:
		f.write, f.textFile = r.write, r.output
		f.text = r.print || f.write == "" || f.textFile != ""
	case r.print:
		return usage("--print prints text, --format pcapng is none")
	case r.write != "" && r.output != "":
		return usage("-w and --output both name the file for --format pcapng")
	default:
		f.write = "-"
		if name := r.write + r.output; name != "" {
			f.write = name
		}
	}
	switch {
	case f.text && isStdout(f.write) && (f.textFile == "" || isStdout(f.textFile)):
		return usage("packets and text cannot both go to standard output")
	case f.text && f.write != "" && f.write == f.textFile:
		return errTwoOutputs(f.write)
	}
	if f.textFile != "" {
		f.flush = true
	}
	return nil
}

// setLinkType settles what a capture file is made of. Text has no link type.
func (r *raw) setLinkType(s *pflag.FlagSet, f *flags) error {
	var ok bool
	if f.linkType, ok = pcapng.ParseLinkType(r.linkType); !ok {
		return wrongLinkType(r.linkType)
	}
	if s.Changed("linktype") && f.write == "" && !f.list && !f.listLink {
		return usage("-y is about the file after -w, and there is no -w")
	}
	return nil
}

// setCommand takes the command after --. Standard output is its own.
func (f *flags) setCommand(words []string) error {
	number, ok := descriptor(f.write)
	switch {
	case len(words) == 0 || words[0] == "":
		return usage("-- needs a command after it")
	case len(f.read) > 0:
		return usage("-r reads what was captured, and %s after -- would be", quoteName(words[0]))
	case isStdout(f.write), ok && number == 1:
		return errCommandsStdout("packets", "-w")
	case isStdout(f.textFile):
		return errCommandsStdout("lines", "--output")
	}
	f.command = words
	return nil
}

// newCommand is the command line. Only its first word can name a subcommand:
// later ones are paths.
func newCommand(h *host, args []string) (*cobra.Command, *raw) {
	var r raw
	root := &cobra.Command{
		Use:           "sockcap",
		Long:          help,
		SilenceErrors: true,
		SilenceUsage:  true,
		Args:          cobra.ArbitraryArgs,
		RunE: func(c *cobra.Command, args []string) error {
			if r.version {
				return printVersion(h.stdout)
			}
			f, err := r.flags(c.Flags(), args)
			if err != nil {
				return err
			}
			return run(c.Context(), h, f)
		},
	}
	r.define(root.Flags())
	root.CompletionOptions.DisableDefaultCmd = true
	root.SetHelpCommand(&cobra.Command{Hidden: true})
	for _, c := range subcommands(h) {
		if maySubcommand(args, c.Name()) {
			runNothing(c)
			root.AddCommand(c)
		}
	}
	addFlagWords(root)
	root.SetArgs(append([]string{}, args...)) // nil would mean os.Args
	root.SetOut(h.stdout)
	root.SetErr(io.Discard)
	if words, ok := completing(args); ok {
		h.addCompletions(root, words)
	}
	root.SetFlagErrorFunc(func(c *cobra.Command, err error) error { return wrongUsage(c, flagError(err)) })
	root.SetHelpFunc(func(c *cobra.Command, _ []string) { r.helpErr = printHelp(h.stdout, c.Long) })
	return root, &r
}

// execute runs the command line.
func execute(ctx context.Context, h *host, args []string) error {
	root, r := newCommand(h, args)
	return errors.Join(root.ExecuteContext(ctx), r.helpErr)
}
