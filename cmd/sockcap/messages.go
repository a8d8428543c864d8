package main

// All wording is here. What goes to standard error starts with "sockcap:" and
// goes on in lower case, in the present tense, without a final stop; it says
// what happened to what, and a hint line names the cure where we know it. The
// closing lines alone keep tcpdump's shape.

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"runtime"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/sockcap/sockcap/capture"
	"github.com/sockcap/sockcap/capture/filter"
	"github.com/sockcap/sockcap/capture/snapshot"
	"github.com/sockcap/sockcap/pcapng"
	rawip "github.com/sockcap/sockcap/pcapng/raw"
	"github.com/sockcap/sockcap/wireshark"
)

// printHelp is --help.
func printHelp(w io.Writer, help string) error {
	_, err := io.WriteString(w, help)
	return err
}

// The words in a line's brackets, after a number or alone.
const (
	markDropped     = "packets lost before"
	markLost        = "bytes lost before"
	markSkipped     = "bytes skipped before"
	markCaptured    = "captured"
	markDescriptor  = "fd"
	markDescriptors = "fds"
	markWaiting     = "waiting"
	markSender      = "sender uncertain"
	markOrder       = "order uncertain"
)

// errUsage is wrong usage of the command line: exit status 2.
type errUsage struct {
	text string
	hint string

	spot   string // what the user wrote, if there is one place in it that is wrong
	column int    // that place, in characters from 1
}

func (e *errUsage) Error() string { return e.text }

func usage(format string, args ...any) error {
	return &errUsage{text: fmt.Sprintf(format, args...), hint: seeHelp}
}

// usageOf is wrong usage of a subcommand.
func usageOf(c *cobra.Command, format string, args ...any) error {
	return wrongUsage(c, usage(format, args...))
}

// wrongUsage is err, with the hint for this command if it has but the one for
// all.
func wrongUsage(c *cobra.Command, err error) error {
	if wrong := (*errUsage)(nil); errors.As(err, &wrong) && wrong.hint == seeHelp {
		wrong.hint = fmt.Sprintf("see %s --help", c.CommandPath())
	}
	return err
}

func wrongChoice(flag, got, choices string) error {
	return usage("%s %q: expected %s", flag, got, choices)
}

// wrongHooks is about -i, after which tcpdump's users name an interface.
func wrongHooks(got string) error {
	return &errUsage{
		text: fmt.Sprintf("-i %q: expected auto, fentry, kprobe or tracepoint", got),
		hint: "-i takes a set of hooks in the kernel, Unix domain sockets have no interfaces; sockcap -D lists the sets",
	}
}

// notReading is about a flag that only a capture can heed.
func notReading(flag string) error {
	return usage("%s is about a capture, and -r is none", flag)
}

func outOfRange[T, B int | int64](flag string, got T, lowest, highest B) error {
	return usage("%s %d: expected %d to %d", flag, got, lowest, highest)
}

func wrongLinkType(name string) error {
	return &errUsage{text: fmt.Sprintf("-y %q: no such link type", name), hint: "sockcap -L lists them"}
}

// wrongExpression is err, of filter.Parse, with the line of text that it is
// about; file is where that is from, if it is from one.
func wrongExpression(err error, text, file string) *errUsage {
	e := &errUsage{text: err.Error(), hint: seeHelp}
	if file != "" {
		e.text = quoteName(file) + ": " + e.text
	}
	if wrong := (*filter.Error)(nil); errors.As(err, &wrong) {
		e.hint = cmp.Or(wrong.Hint, seeHelp)
		e.spot = strings.Split(text, "\n")[max(wrong.Line-1, 0)]
		e.column = wrong.Column
	}
	return e
}

// hintCommand says how to run what was taken for an expression.
func (e *errUsage) hintCommand(words []string) {
	e.hint = "to run it, and capture it and its descendants: sockcap -- " + strings.Join(words, " ")
}

// errCommand is a command that does not run: that is the exit status.
type errCommand struct {
	name, why string
	status    int
}

func (e *errCommand) Error() string { return "run " + quoteName(e.name) + ": " + e.why }

func errNoUser(name string) error {
	return fmt.Errorf("-Z %s: no such user", quoteName(name))
}

func errNotRoot(name string) error {
	return fmt.Errorf("-Z %s: only root can become another user", quoteName(name))
}

func errRelinquish(err error) error { return fmt.Errorf("give up rights: %w", err) }

func errCommandsStdout(what, flag string) error {
	return &errUsage{text: what + " cannot go to standard output, which is the command's",
		hint: "name a file after " + flag + "; a fifo will do"}
}

func errRunsNothing(subcommand string, words []string) error {
	e := &errUsage{text: subcommand + ": runs no command"}
	if len(words) > 0 {
		e.hint = "to capture one: sockcap -- " + strings.Join(words, " ")
	}
	return e
}

func wrongShorthand(err error) error {
	e := &errUsage{text: "--" + err.Error(), hint: seeHelp}
	if wrong := (*filter.Error)(nil); errors.As(err, &wrong) {
		e.hint = cmp.Or(wrong.Hint, seeHelp)
	}
	return e
}

func errTwoExpressions(file string) error {
	return usage("-F %s and the command line both have an expression", quoteName(file))
}

func errLongExpression(name string) error {
	return usage("%s: more than %d bytes, too long for an expression", quoteName(name), maxExpression)
}

// printFilter prints an expression, and what the kernel tests of it, if it is
// asked.
func printFilter(w io.Writer, e *filter.Expr, kernel *capture.Explanation) error {
	if e.All() {
		_, err := io.WriteString(w, "all packets are kept\n")
		return err
	}
	dst := append(appendEscaped(nil, e.String(), inLine), '\n')
	if kernel != nil {
		dst = appendTests(dst, kernel)
		dst = appendProgram(dst, "BPF, asked of every event:", kernel.Event)
		dst = appendProgram(dst, "BPF, asked of two connected sockets:", kernel.Sockets)
	}
	_, err := w.Write(dst)
	return err
}

// appendTests appends the steps, after the manner of tcpdump -d.
func appendTests(dst []byte, e *capture.Explanation) []byte {
	switch {
	case len(e.Tests) == 0:
		return append(dst, "\nkernel: tests nothing, the expression is too long; user space tests it on each packet\n"...)
	case len(e.Event) == 0:
		dst = append(dst, "\nkernel: can drop nothing for sure; user space tests the expression on each packet\n"...)
	default:
		dst = append(dst, "\nkernel: drops what surely fails; user space tests the whole expression on the rest\n"...)
	}
	next := func(n int) string {
		switch n {
		case filter.Keep:
			return "keep"
		case filter.Drop:
			return "drop"
		}
		return fmt.Sprint(n)
	}
	for i, t := range e.Tests {
		dst = fmt.Appendf(dst, "(%03d) %-32s ", i, appendEscaped(nil, t.Test, inLine))
		if t.Kernel {
			dst = fmt.Appendf(dst, "true %-4s  false %-4s  unknown %s\n", next(t.Yes), next(t.No), next(t.Unknown))
		} else {
			dst = fmt.Appendf(dst, "unknown %s, only user space can tell\n", next(t.Unknown))
		}
	}
	return dst
}

func appendProgram(dst []byte, title string, code []string) []byte {
	if len(code) == 0 {
		return dst
	}
	dst = fmt.Appendf(dst, "\n%s\n", title)
	for i, line := range code {
		dst = fmt.Appendf(dst, "(%03d) %s\n", i, line)
	}
	return dst
}

// sayWhere shows a line of the user's, and below it the character that is
// meant.
func (h *host) sayWhere(line string, column int) {
	before := []rune(line)
	before = before[:min(max(column-1, 0), len(before))]
	h.say("", "  %s", line)
	h.say("", "  %s^", strings.Repeat(" ", utf8.RuneCount(appendEscaped(nil, string(before), inLine))))
}

func errTerminal(name string) error {
	e := &errUsage{text: fmt.Sprintf("write %s: a capture file is not for a terminal", quoteName(name))}
	e.hint = "name a file after -w, or pipe: sockcap -w - | wireshark -k -i -"
	return e
}

func errSameFile(name string) error {
	return usage("%s: read and written at once, name another file to write", quoteName(name))
}

// errTwoOutputs is about a file by the name that the text has.
func errTwoOutputs(name string) error {
	return usage("-w and --output both name %s: name another file for the text", quoteName(name))
}

func errStdoutToo(name string) error {
	return usage("-w %s: standard output goes there too, name another file", quoteName(name))
}

func errOneFile(name string) error {
	return usage("%s: is no file, so there is none to follow it: -C and -G need a file", quoteName(name))
}

// errNotInherited is about /dev/fd/N.
func errNotInherited(name string) error {
	return fmt.Errorf("open %s: whoever started sockcap has left no such descriptor open", quoteName(name))
}

// errSymlink and errForeignFile refuse to write where someone else decided.
func errSymlink(name string) error {
	return fmt.Errorf("open %s: is a symbolic link, name the file itself", name)
}

func errForeignFile(name string) error {
	return fmt.Errorf("open %s: belongs to another user, in a directory that everyone can write", name)
}

func errReading(name string, err error) error {
	return fmt.Errorf("read %s: %w", quoteName(name), err)
}

// flagError says in our words what pflag found wrong.
func flagError(err error) error {
	var (
		unknown *pflag.NotExistError
		missing *pflag.ValueRequiredError
		invalid *pflag.InvalidValueError
	)
	switch {
	case errors.As(err, &unknown) && unknown.GetSpecifiedShortnames() != "":
		return usage("-%s: no such option", unknown.GetSpecifiedName())
	case errors.As(err, &unknown):
		return usage("--%s: no such option", unknown.GetSpecifiedName())
	case errors.As(err, &missing) && missing.GetSpecifiedShortnames() != "":
		return usage("-%s needs a value", missing.GetSpecifiedName())
	case errors.As(err, &missing):
		return usage("--%s needs a value", missing.GetSpecifiedName())
	case errors.As(err, &invalid) && errors.Is(invalid, strconv.ErrRange):
		return usage("%s %q: out of range", flagName(invalid.GetFlag()), invalid.GetValue())
	case errors.As(err, &invalid):
		return usage("%s %q: expected a whole number", flagName(invalid.GetFlag()), invalid.GetValue())
	}
	return usage("%v", err)
}

// flagName is how people know a flag: by its letter if it has one.
func flagName(f *pflag.Flag) string {
	if f.Shorthand != "" {
		return "-" + f.Shorthand
	}
	return "--" + f.Name
}

// quoteName is a file name made safe to print.
func quoteName(name string) string { return string(appendName(nil, name)) }

// say writes one line to standard error. Nobody is left to tell when that fails.
func (h *host) say(kind, format string, args ...any) {
	line := appendEscaped(nil, fmt.Sprintf(format, args...), inLine)
	fmt.Fprintf(h.stderr, "sockcap: %s%s\n", kind, line)
}

// report says what went wrong and returns the exit status for it.
func (h *host) report(err error) int {
	if err == nil {
		return 0
	}
	if told := exitStatus(0); errors.As(err, &told) {
		return int(told)
	}
	status := 1
	for _, e := range flatten(err) {
		h.say("error: ", "%v", brief(e))
		wrong := (*errUsage)(nil)
		if errors.As(e, &wrong) && wrong.spot != "" {
			h.sayWhere(wrong.spot, wrong.column)
		}
		if hint := hintOf(e); hint != "" {
			h.say("hint: ", "%s", hint)
		}
		if wrong != nil {
			status = 2
		}
		if unfit := (*errCommand)(nil); errors.As(e, &unfit) {
			status = unfit.status
		}
	}
	return status
}

// brief is err without what pcapng says of blocks and buffers, where the cause
// is a file's and so names it.
func brief(err error) error {
	var (
		block *pcapng.Error
		file  *fs.PathError
	)
	if errors.As(err, &block) && errors.As(err, &file) {
		return file
	}
	return err
}

// errWindow is about a compressed file, of whatever origin.
var errWindow = fmt.Errorf("needs more than %d MiB of memory to decompress", maxWindow>>20)

// hintOf is the cure for err, empty where we know none.
func hintOf(err error) string {
	var (
		wrong   *errUsage
		failure *capture.Error
		shark   *wireshark.Error
		look    *snapshot.Error
	)
	switch {
	case errors.As(err, &wrong):
		return wrong.hint
	case errors.As(err, &failure):
		return failure.Hint
	case errors.As(err, &shark):
		return shark.Hint
	case errors.As(err, &look):
		return look.Hint
	case errors.Is(err, os.ErrDeadlineExceeded):
		return "whoever reads it has stopped reading"
	}
	return streamHint(err)
}

// sayListening is the banner: packets are captured from now on.
func (h *host) sayListening(hooks string, linkType, snaplen int) {
	h.say("", "listening on %s, link-type %s, snapshot length %d bytes", hooks, linkTypeWords(linkType), snaplen)
}

func (h *host) sayReading(name string, linkType int) {
	if linkType == 0 {
		linkType = pcapng.LinkType // the file has no interface
	}
	h.say("", "reading from file %s, link-type %s", quoteName(name), linkTypeWords(linkType))
}

// sayEnough tells why a capture ends.
func (h *host) sayEnough(files int) {
	h.say("", "maximum file limit reached: %d", files)
}

// sayOverwrites warns of what tcpdump does likewise, and says nothing of.
func (h *host) sayOverwrites(seconds int64) {
	h.say("warning: ", "-G %d may write a file over the one before: name them after -w by strftime fields that differ, such as out-%%Y%%m%%d-%%H%%M%%S.pcapng", seconds)
}

// sayAfterFailed tells that the command of -z did not do its work.
func (h *host) sayAfterFailed(command, file string, err error) {
	h.say("warning: ", "-z %s %s: %v", quoteName(command), quoteName(file), err)
}

// linkTypeWords is a link type as tcpdump names it.
func linkTypeWords(linkType int) string {
	what := "sockcap"
	if linkType == pcapng.LinkTypeRaw {
		what = "Raw IP"
	}
	return fmt.Sprintf("%s (%s)", pcapng.LinkTypeName(linkType), what)
}

// sayLeftOut tells what -y RAW has left out, if anything.
func (h *host) sayLeftOut(left rawip.LeftOut) {
	var words []string
	for e, n := range left.Events {
		switch {
		case n > 0 && e == 0:
			words = append(words, fmt.Sprintf("%d unknown", n))
		case n > 0:
			words = append(words, fmt.Sprintf("%d %s", n, pcapng.Event(e)))
		}
	}
	if len(words) > 0 {
		h.say("", "events without a packet in TCP or UDP are left out: %s", strings.Join(words, ", "))
	}
	if left.Dropped > 0 {
		h.say("warning: ", "%s lost after the last one in the file", count(left.Dropped, "packet"))
	}
}

// sayMissing tells how many of the packets that count as captured are not in
// the file, whose writing has failed.
func (h *host) sayMissing(o *output) {
	if o.missing == 0 {
		return
	}
	most := "the last %s"
	if o.zipped() {
		most = "up to %s at the end"
	}
	h.say("warning: ", most+" could not be written to %s", count(o.missing, "packet"), quoteName(o.names.name))
}

// sayStats answers SIGUSR1, as tcpdump does, on one line.
func (h *host) sayStats(captured uint64, s capture.Stats) {
	h.say("", "%s", strings.Join(summary(captured, s), ", "))
}

// progressLine is tcpdump's "Got N", and more.
func progressLine(captured, bytes, dropped uint64, rate float64) string {
	return fmt.Sprintf("sockcap: %s captured, %s, %d dropped, %.0f packets/s",
		count(captured, "packet"), formatBytes(bytes), dropped, rate)
}

// sayEcho tells of a connection that is left out from now on.
func (h *host) sayEcho(p *pcapng.Packet) {
	h.say("", "leaving out %s: it carries what sockcap writes", connectionWords(p))
}

// sayCut tells of a connection that the breaker leaves out from now on.
func (h *host) sayCut(p *pcapng.Packet) {
	h.say("", "leaving out %s: it talks when sockcap writes, and is silent when it does not", connectionWords(p))
	h.say("hint: ", "--include-self keeps it")
}

// sayCutPackets tells how many packets that has cost.
func (h *host) sayCutPackets(n uint64) {
	if n > 0 {
		h.say("", "%s left out for talking only when sockcap writes", count(n, "packet"))
	}
}

// connectionWords names a connection by one of its packets.
func connectionWords(p *pcapng.Packet) string {
	return fmt.Sprintf("%s[%d] > %s[%d] %s", appendEscaped(nil, p.Sender.Comm, inLine), p.Sender.PID,
		appendEscaped(nil, p.Peer.Comm, inLine), p.Peer.PID, quoteName(p.Path))
}

// sayBelow ends the line on which a terminal has echoed ^C.
func (h *host) sayBelow() {
	if h.isOnTerminal() {
		fmt.Fprintln(h.stderr)
	}
}

// saySummary writes the closing lines.
func (h *host) saySummary(captured uint64, s capture.Stats) {
	for _, line := range summary(captured, s) {
		fmt.Fprintln(h.stderr, line)
	}
	if overflowed(s) {
		h.say("hint: ", "a larger -B makes room for more packets")
	}
}

// summary is tcpdump's three lines and, when they are not zero, the causes.
func summary(captured uint64, s capture.Stats) []string {
	return append([]string{
		count(captured, "packet") + " captured",
		count(s.Received, "packet") + " received by filter",
		count(s.Dropped(), "packet") + " dropped by kernel",
	}, causes(s)...)
}

// causes is what became of packets that were not captured, and which of the
// captured ones are not to be trusted whole, as far as there are any.
func causes(s capture.Stats) []string {
	return wordsOf([]outcome{
		{s.LostRing, "packet", "dropped because the ring buffer was full"},
		{s.LostMissed, "packet", "dropped because a hook did not run"},
		{s.LostMap, "packet", "dropped because a kernel map was full"},
		{s.LostEvents, "event", "lost (connect, close and the like)"},
		{s.LostNotes, "note", "lost of sockets, and of who has read what"},
		{s.LostPassed, "note", "lost of what was passed along"},
		{s.LostBytes, "byte", "missing from streams"},
		{s.Cut, "packet", "cut short because the ring buffer was full"},
		{s.Unreadable, "packet", "with unreadable payload"},
		{s.SenderUnsure, "packet", "with uncertain sender"},
		{s.OrderUnsure, "packet", "in uncertain order"},
		{s.Self, "packet", "of sockcap itself left out"},
	})
}

// overflowed says whether a larger ring buffer would have had room for more.
func overflowed(s capture.Stats) bool { return s.LostRing+s.LostNotes+s.Cut > 0 }

// outcome is what became of how many.
type outcome struct {
	n          uint64
	unit, what string
}

// wordsOf tells of those outcomes that there were.
func wordsOf(all []outcome) (words []string) {
	for _, o := range all {
		if o.n > 0 {
			words = append(words, count(o.n, o.unit)+" "+o.what)
		}
	}
	return words
}

// count is "1 packet", "2 packets".
func count(n uint64, unit string) string {
	if n == 1 {
		return "1 " + unit
	}
	return fmt.Sprintf("%d %ss", n, unit)
}

// printSets is -D.
func printSets(w io.Writer, sets []capture.Set) error {
	var b strings.Builder
	for _, s := range sets {
		switch {
		case s.Err != nil:
			fmt.Fprintf(&b, "%-11s not usable here: %s\n", s.Name, appendEscaped(nil, s.Err.Error(), inLine))
		case s.Chosen:
			fmt.Fprintf(&b, "%-11s usable, and what -i auto takes\n", s.Name)
		default:
			fmt.Fprintf(&b, "%-11s usable\n", s.Name)
		}
		for _, l := range s.Limits {
			fmt.Fprintf(&b, "%-11s - %s\n", "", l)
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// printLinkTypes is -L, in tcpdump's words.
func printLinkTypes(w io.Writer) error {
	b := "Data link types for sockcap (use option -y to set):\n"
	for t := pcapng.LinkType; t <= pcapng.LinkTypeLast; t++ {
		b += "  " + linkTypeWords(t) + "\n"
	}
	_, err := io.WriteString(w, b+"  "+linkTypeWords(pcapng.LinkTypeRaw)+"\n")
	return err
}

// printVersion is -V.
func printVersion(w io.Writer) error {
	_, err := fmt.Fprintf(w, "sockcap version %s (%s)\n", version(), runtime.Version())
	return err
}

// What dissector install and uninstall say.

func (h *host) sayInstallingFor(name string) {
	h.say("", "installing for %s, who called sudo; with --system: for all users", quoteName(name))
}

func (h *host) sayUninstallingFor(name string) {
	h.say("", "uninstalling for %s, who called sudo; with --system: for all users", quoteName(name))
}

func (h *host) sayNotInstalled(system bool) {
	if system {
		h.say("", "nothing of sockcap is installed for all users")
		return
	}
	h.say("", "nothing of sockcap is installed; with --system: what is for all users")
}

func (h *host) sayRootsOwn() {
	h.say("warning: ", "installing for root alone, and from 4.4 on Wireshark loads no Lua for root")
	h.say("hint: ", "run it as yourself, or with --system for all users")
}

func (h *host) sayNoTshark() {
	h.say("", "no tshark to ask: taking the folders where every Wireshark from 4.0 on looks")
}

func errNoTshark() error {
	return &wireshark.Error{Op: "find", Name: "the folders for all users", Err: errors.New("no tshark in PATH, which knows them"),
		Hint: "install tshark; for you alone, without --system, it is not needed"}
}

func errNoHome(uid int) error {
	return &wireshark.Error{Op: "find", Name: fmt.Sprintf("the home of user %d, who called sudo", uid), Err: errors.New("not in /etc/passwd"),
		Hint: "run it without sudo"}
}

// Why a file stays as it is.
const (
	keptByInstall   = "not as sockcap has put it (remove it to get sockcap's)"
	keptByUninstall = "not as this sockcap has put it (--force removes all but a program)"
)

// printSteps says what became of each file, and of one that is kept, why.
func printSteps(w io.Writer, steps []wireshark.Step, kept string) error {
	for _, s := range steps {
		line := fmt.Sprintf("%-9s %s", s.Action, quoteName(s.Path))
		switch {
		case s.Target != "":
			line += " -> " + quoteName(s.Target)
		case s.Action == wireshark.Kept:
			line += ": " + kept
		}
		if _, err := fmt.Fprintln(w, line); err != nil {
			return err
		}
	}
	return nil
}
