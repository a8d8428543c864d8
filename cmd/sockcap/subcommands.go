package main

import (
	"github.com/spf13/cobra"

	"github.com/sockcap/sockcap/wireshark"
)

// subcommands are the words that mean something else than a path where they
// come first.
func subcommands(h *host) []*cobra.Command {
	version := &cobra.Command{
		Use:   "version",
		Short: shortVersion,
		Long:  helpVersion,
		Args:  noArguments,
		RunE:  func(*cobra.Command, []string) error { return printVersion(h.stdout) },
	}
	dissector := &cobra.Command{
		Use:   "dissector",
		Short: shortDissector,
		Long:  helpDissector,
		RunE: func(c *cobra.Command, _ []string) error {
			return usageOf(c, "dissector: expected install or print after it")
		},
	}
	dissector.AddCommand(&cobra.Command{
		Use:   "print",
		Short: shortPrint,
		Long:  helpDissector,
		Args:  noArguments,
		RunE: func(*cobra.Command, []string) error {
			_, err := h.stdout.Write(wireshark.Dissector())
			return err
		},
	})
	dissector.AddCommand(installCommand(h), uninstallCommand(h))
	return []*cobra.Command{listCommand(h), topCommand(h), doctorCommand(h), version, dissector, completionCommand(h)}
}

// runNothing makes a subcommand refuse a command after --.
func runNothing(c *cobra.Command) {
	next := c.Args
	c.Args = func(c *cobra.Command, args []string) error {
		if c.ArgsLenAtDash() >= 0 {
			return errRunsNothing(c.Name(), args[c.ArgsLenAtDash():])
		}
		if next == nil {
			return nil
		}
		return next(c, args)
	}
	for _, below := range c.Commands() {
		runNothing(below)
	}
}

func noArguments(c *cobra.Command, args []string) error {
	if len(args) > 0 {
		return usageOf(c, "%s: unexpected %q", c.CommandPath(), args[0])
	}
	return nil
}
