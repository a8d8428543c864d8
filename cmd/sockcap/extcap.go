package main

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/pflag"

	"github.com/sockcap/sockcap/pcapng"
	"github.com/sockcap/sockcap/wireshark"
)

// extcapInterface is the one interface that sockcap is in Wireshark.
const extcapInterface = "sockcap"

// isExtcap reports whether Wireshark calls us, as one of its extcaps.
func isExtcap(args []string) bool {
	if dash := slices.Index(args, "--"); dash >= 0 {
		args = args[:dash] // what follows is a command's
	}
	return slices.ContainsFunc(args, func(a string) bool { return strings.HasPrefix(a, "--extcap-") })
}

// extcapFlags are those with which Wireshark calls an extcap. The options that
// it lets the user set are the command line's own; --path has several paths.
type extcapFlags struct {
	interfaces, dlts, config, capture, cleanup bool
	version, name, reload, filter, fifo        string
	controlIn, controlOut                      string
}

func (x *extcapFlags) define(s *pflag.FlagSet) {
	s.BoolVar(&x.interfaces, "extcap-interfaces", false, "")
	s.BoolVar(&x.dlts, "extcap-dlts", false, "")
	s.BoolVar(&x.config, "extcap-config", false, "")
	s.BoolVar(&x.capture, "capture", false, "")
	s.BoolVar(&x.cleanup, "extcap-cleanup-postkill", false, "")
	s.StringVar(&x.version, "extcap-version", "", "")
	s.Lookup("extcap-version").NoOptDefVal = "unknown"
	s.StringVar(&x.name, "extcap-interface", "", "")
	s.StringVar(&x.reload, "extcap-reload-option", "", "")
	s.StringVar(&x.filter, "extcap-capture-filter", "", "")
	s.StringVar(&x.fifo, "fifo", "", "")
	s.StringVar(&x.controlIn, "extcap-control-in", "", "")
	s.StringVar(&x.controlOut, "extcap-control-out", "", "")
}

// extcap does what Wireshark asks for.
func (h *host) extcap(ctx context.Context, args []string) error {
	var (
		r raw
		x extcapFlags
	)
	s := newFlagSet(&r, &x)
	if err := s.Parse(withoutUnknown(s, args)); err != nil {
		return flagError(err)
	}
	if r.buffer == 0 { // the dialog has no word for "not given"
		s.Lookup("buffer-size").Changed = false
	}
	switch {
	case len(s.Args()) > 0:
		return usage("extcap: unexpected %q", s.Arg(0))
	case x.interfaces:
		return h.answer(extcapInterfaces())
	case x.name == "" && s.Changed("extcap-version"):
		return h.answer(extcapVersion(nil))
	case x.name != extcapInterface:
		return wrongChoice("--extcap-interface", x.name, extcapInterface)
	case x.cleanup: // after SIGKILL: the kernel has detached everything
		return nil
	case x.capture:
		return x.run(ctx, h, &r, s)
	case x.config && s.Changed("extcap-reload-option"):
		return h.answer(x.reloaded(h))
	case x.config:
		return h.answer(extcapOptions(h.candidates()))
	case x.dlts:
		return h.answer(extcapDLTs())
	case s.Changed("extcap-capture-filter"):
		return h.answer(checkFilter(x.filter))
	}
	return usage("extcap: expected --extcap-interfaces, --extcap-dlts, --extcap-config or --capture")
}

func newFlagSet(r *raw, x *extcapFlags) *pflag.FlagSet {
	s := pflag.NewFlagSet("sockcap", pflag.ContinueOnError)
	s.Usage = func() {}
	r.define(s)
	x.define(s)
	return s
}

// answer writes what Wireshark reads.
func (h *host) answer(text []byte) error {
	_, err := h.stdout.Write(text)
	return err
}

// withoutUnknown leaves out flags of extcap that we do not know, with their
// values: a newer Wireshark may have more to tell. Others are mistakes.
func withoutUnknown(s *pflag.FlagSet, args []string) []string {
	var known []string
	for i := 0; i < len(args); i++ {
		name, _, hasValue := strings.Cut(strings.TrimPrefix(args[i], "--"), "=")
		f := s.Lookup(name)
		switch {
		case !strings.HasPrefix(args[i], "--"):
			known = append(known, args[i])
		case f == nil && strings.HasPrefix(name, "extcap-"):
			if !hasValue && i+1 < len(args) && !strings.HasPrefix(args[i+1], "--") {
				i++
			}
		default:
			known = append(known, args[i])
			if f != nil && f.NoOptDefVal == "" && !hasValue && i+1 < len(args) {
				i++
				known = append(known, args[i])
			}
		}
	}
	return known
}

// checkFilter says what is wrong with a capture filter, nothing if it is right.
func checkFilter(text string) []byte {
	err := new(rawFilter).captureFilter(text)
	if err == nil {
		return nil
	}
	return append(appendEscaped(nil, err.Error(), inLine), '\n')
}

// captureFilter is what set says of a capture filter.
func (r *rawFilter) captureFilter(text string) error {
	r.direction = "inout"
	return r.set(new(flags), []string{text})
}

// run captures into Wireshark's fifo.
func (x *extcapFlags) run(ctx context.Context, h *host, r *raw, s *pflag.FlagSet) error {
	if x.fifo == "" {
		return usage("extcap: --capture needs --fifo")
	}
	err := asCaller(func() error {
		_, err := os.Lstat(x.fifo)
		return err
	})
	if err != nil { // -w would make a file
		return err
	}
	ctx, stop := h.untilSignal(ctx)
	defer stop()
	r.write = x.fifo
	f, err := x.flags(r, s)
	if err != nil {
		letOpen(ctx, h, x.fifo)
		return err
	}
	b, err := openToolbar(x.controlIn, x.controlOut)
	if err != nil {
		letOpen(ctx, h, x.fifo)
		return err
	}
	err = unlessEnded(ctx, captureLive(ctx, b.host(h), f, nil))
	if lost := b.close(); lost != "" {
		h.say("warning: ", "%s", lost)
	}
	return err
}

// flags checks the options that Wireshark passes on from its user.
func (x *extcapFlags) flags(r *raw, s *pflag.FlagSet) (*flags, error) {
	paths := strings.Join(r.filter.values[0], " ")
	r.filter.values[0] = nil
	if strings.TrimSpace(paths) != "" && strings.TrimSpace(x.filter) != "" {
		return nil, errTwoFilters()
	}
	f, err := r.flags(s, []string{paths + x.filter})
	if err == nil && f.rotation.on() {
		err = errOneFile(x.fifo)
	}
	return f, err
}

// letOpen lets Wireshark open the fifo, and end it: where we go away before,
// it names a missing file besides what we say.
func letOpen(ctx context.Context, h *host, fifo string) {
	ctx, cancel := context.WithTimeout(ctx, h.patience)
	defer cancel()
	if d, err := openDestination(ctx, h, fifo); err == nil {
		d.abandon()
	}
}

// extcapVersion is what Wireshark shows of us in its About window.
func extcapVersion(dst []byte) []byte {
	return wireshark.AppendSentence(dst, "extcap",
		wireshark.Param{Name: "version", Value: version()},
		wireshark.Param{Name: "help", Value: homepage},
		wireshark.Param{Name: "display", Value: extcapTitle})
}

// Numbers of the controls in Wireshark's toolbar.
const (
	controlLog = iota
	controlStatistics
	controlHelp
)

func extcapInterfaces() []byte {
	text := extcapVersion(nil)
	text = wireshark.AppendSentence(text, "interface",
		wireshark.Param{Name: "value", Value: extcapInterface},
		wireshark.Param{Name: "display", Value: extcapTitle})
	for number, c := range extcapControls() {
		params := []wireshark.Param{
			{Name: "number", Value: strconv.Itoa(number)},
			{Name: "type", Value: "button"},
			{Name: "display", Value: c.label},
			{Name: "tooltip", Value: c.tip},
		}
		if c.role != "" {
			params = append(params, wireshark.Param{Name: "role", Value: c.role})
		}
		text = wireshark.AppendSentence(text, "control", params...)
	}
	return text
}

func extcapDLTs() []byte {
	return wireshark.AppendSentence(nil, "dlt",
		wireshark.Param{Name: "number", Value: strconv.Itoa(pcapng.LinkType)},
		wireshark.Param{Name: "name", Value: "USER0"},
		wireshark.Param{Name: "display", Value: "sockcap"})
}

// choice is a value that a selector offers.
type choice struct{ value, label string }

// extcapOption is an option in Wireshark's dialog. Its call is a long flag,
// from which Wireshark makes the preference's name: extcap.sockcap. and the
// call without dashes.
type extcapOption struct {
	call, label, tip, group, kind string
	extra                         []wireshark.Param
	choices                       []choice // the first is the default
}

// reloadable is the option whose choices Wireshark may ask for again.
const reloadable = "--interface"

// extcapOptions are the options, with these hook sets to choose from.
func extcapOptions(sets []string) []byte {
	var text []byte
	for number, o := range optionsOf(sets) {
		params := []wireshark.Param{
			{Name: "number", Value: strconv.Itoa(number)},
			{Name: "call", Value: o.call},
			{Name: "display", Value: o.label},
			{Name: "tooltip", Value: o.tip},
			{Name: "type", Value: o.kind},
			{Name: "group", Value: o.group},
		}
		text = wireshark.AppendSentence(text, "arg", append(params, o.extra...)...)
		text = appendChoices(text, number, o.choices)
	}
	return text
}

func appendChoices(dst []byte, number int, choices []choice) []byte {
	for i, c := range choices {
		dst = wireshark.AppendSentence(dst, "value",
			wireshark.Param{Name: "arg", Value: strconv.Itoa(number)},
			wireshark.Param{Name: "value", Value: c.value},
			wireshark.Param{Name: "display", Value: c.label},
			wireshark.Param{Name: "default", Value: strconv.FormatBool(i == 0)})
	}
	return dst
}

// reloaded are the choices of the option that Wireshark asks for again: the
// hook sets that have been tried and work.
func (x *extcapFlags) reloaded(h *host) []byte {
	if x.reload != reloadable {
		return nil
	}
	var sets []string
	for _, s := range h.sets() {
		if s.Err == nil {
			sets = append(sets, s.Name)
		}
	}
	options := optionsOf(sets)
	number := slices.IndexFunc(options, func(o extcapOption) bool { return o.call == reloadable })
	return appendChoices(nil, number, options[number].choices)
}

// hookChoices is "auto" and sets.
func hookChoices(sets []string) []choice {
	choices := []choice{{"auto", labelAuto}}
	for _, s := range sets {
		choices = append(choices, choice{s, s})
	}
	return choices
}

// rangeOf is a number's default, and its bounds.
func rangeOf(lowest, highest int) []wireshark.Param {
	return []wireshark.Param{
		{Name: "default", Value: strconv.Itoa(lowest)},
		{Name: "range", Value: fmt.Sprintf("%d,%d", lowest, highest)},
	}
}
