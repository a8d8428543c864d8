package main

import (
	"bufio"
	"context"
	"os"
	"os/exec"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"github.com/sockcap/sockcap/capture"
)

// doctorCommand is `sockcap doctor`: whether one can capture here, and if not,
// why and what helps.
func doctorCommand(h *host) *cobra.Command {
	asJSON := false
	c := &cobra.Command{
		Use:   "doctor",
		Short: shortDoctor,
		Long:  helpDoctor,
		Args:  noArguments,
		RunE: func(c *cobra.Command, _ []string) error {
			// The last ones are made with the rights of who called sudo, for good.
			all := append(h.examine(c.Context()), h.examineWireshark(c.Context())...)
			return h.printChecks(all, asJSON)
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "")
	return c
}

// hookSetsThatWork are those that captured, the one that is taken first in
// front.
func hookSetsThatWork(all []capture.Check) []string {
	var sets []string
	for _, c := range all {
		if set, ok := strings.CutPrefix(c.Name, "hooks "); ok && c.Verdict == capture.Fine {
			sets = append(sets, set)
		}
	}
	return sets
}

// printChecks prints what was found, and then whether one can capture, which is
// the exit status.
func (h *host) printChecks(all []capture.Check, asJSON bool) error {
	sets := hookSetsThatWork(all)
	pr := printer{color: !asJSON && wantsColor(colorAuto, h.stdout, h.getenv)}
	out := bufio.NewWriter(h.stdout)
	var line []byte
	for _, c := range append(all, lastWord(sets)) {
		if asJSON {
			line = appendCheckJSON(line[:0], &c)
		} else {
			line = pr.appendCheck(line[:0], &c)
		}
		out.Write(line) // an error stays, for Flush
	}
	if err := out.Flush(); err != nil {
		return err
	}
	if len(sets) == 0 {
		return exitStatus(1) // all has been said
	}
	return nil
}

// appendCheckJSON appends c as one line, as JSON.md has it.
func appendCheckJSON(dst []byte, c *capture.Check) []byte {
	o := object{append(dst, '{')}
	o.word("check", c.Name)
	o.word("verdict", verdictKey(c.Verdict))
	for _, f := range []struct{ key, text string }{{"found", c.Found}, {"cause", c.Cause}, {"cure", c.Cure}} {
		o.known(f.key, string(appendEscaped(nil, f.text, inLine)), f.text != "")
	}
	return append(o.dst, '}', '\n')
}

// probeName is what the process is called that sends a message for doctor to
// capture; it is this program again.
const probeName = "sockcap-probe"

// probePatience is how long that may take. It can only fail.
const probePatience = time.Minute

// sendProbe is a capture.Probe.
func sendProbe(ctx context.Context, address, text string) error {
	ctx, cancel := context.WithTimeout(ctx, probePatience)
	defer cancel()
	cmd := exec.CommandContext(ctx, "/proc/self/exe")
	cmd.Args = []string{probeName, address, text}
	cmd.Stderr = os.Stderr
	return cmd.Run()
}

// probe is the process that sends: its exit status is 0 if it also got what it
// sent.
func probe(args []string) int {
	if len(args) != 2 || exchangeProbe(args[0], args[1]) != nil {
		return 1
	}
	return 0
}

func exchangeProbe(address, text string) error {
	to, err := unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	name := &unix.SockaddrUnix{Name: address}
	if err := unix.Bind(to, name); err != nil {
		return err
	}
	from, err := unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	if err := unix.Sendto(from, []byte(text), 0, name); err != nil {
		return err
	}
	_, _, err = unix.Recvfrom(to, make([]byte, len(text)), 0)
	return err
}

func examine(ctx context.Context) []capture.Check { return capture.Examine(ctx, sendProbe) }
