package main

import (
	"bytes"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/sockcap/sockcap/capture/filter"
	"github.com/sockcap/sockcap/pcapng"
)

// completionCommand is `sockcap completion`: a script for a shell, which asks
// sockcap itself (`sockcap __complete WORD...`) for what may come next.
func completionCommand(h *host) *cobra.Command {
	shells := []string{"bash", "zsh", "fish"}
	return &cobra.Command{
		Use:       "completion",
		Short:     shortCompletion,
		Long:      helpCompletion,
		ValidArgs: shells,
		RunE: func(c *cobra.Command, args []string) error {
			if len(args) != 1 || !slices.Contains(shells, args[0]) {
				return usageOf(c, "completion: expected bash, zsh or fish after it")
			}
			return writeCompletion(h.stdout, c.Root(), args[0])
		},
	}
}

func writeCompletion(w io.Writer, root *cobra.Command, shell string) error {
	switch shell {
	case "zsh":
		return root.GenZshCompletion(w)
	case "fish":
		return root.GenFishCompletion(w, true)
	}
	return root.GenBashCompletionV2(w, true)
}

// completing gives the words that a shell wants completed, of which the last
// one is not finished. Else ok is false.
func completing(args []string) (words []string, ok bool) {
	if len(args) < 2 || args[0] != cobra.ShellCompRequestCmd && args[0] != cobra.ShellCompNoDescRequestCmd {
		return nil, false
	}
	return args[1:], true
}

// maySubcommand reports whether the first of the words names this subcommand,
// or may do so when it is finished.
func maySubcommand(args []string, name string) bool {
	words, ok := completing(args)
	if !ok {
		words = args
	}
	return len(words) > 0 && words[0] == name || ok && len(words) == 1
}

// addCompletions teaches each command what may follow its flags, and what an
// expression may go on with, where it takes one.
func (h *host) addCompletions(root *cobra.Command, words []string) {
	root.SetOut(knownNames{h.stdout})
	inCommand := slices.Contains(words[:len(words)-1], "--")
	for _, c := range append([]*cobra.Command{root}, root.Commands()...) {
		for name, values := range flagValues(h) {
			if c.Flags().Lookup(name) != nil {
				c.RegisterFlagCompletionFunc(name, completeValue(values))
			}
		}
		if c.Flags().Lookup("path") != nil { // so it chooses sockets
			c.ValidArgsFunction = h.completeExpression(inCommand)
		}
	}
}

func completeValue(values func() []string) cobra.CompletionFunc {
	return func(_ *cobra.Command, _ []string, begun string) ([]string, cobra.ShellCompDirective) {
		directive := cobra.ShellCompDirectiveNoFileComp
		all := startingWith(begun, values())
		if len(all) > 0 && strings.HasSuffix(all[0], ":") {
			directive |= cobra.ShellCompDirectiveNoSpace
		}
		return all, directive
	}
}

// completeExpression leaves to the shell the command after --, and a path that
// no socket has: it may be a directory, or of a socket yet to come.
func (h *host) completeExpression(inCommand bool) cobra.CompletionFunc {
	return func(c *cobra.Command, args []string, begun string) ([]string, cobra.ShellCompDirective) {
		if inCommand {
			return nil, cobra.ShellCompDirectiveDefault
		}
		all := h.continuations(args, begun)
		if c.Name() == "list" && slices.Contains(all, "src") { // a primitive may begin
			all = slices.DeleteFunc(all, filter.IsOfPackets)
		}
		all = startingWith(begun, all)
		if strings.HasPrefix(begun, "/") && len(all) == 0 {
			return nil, cobra.ShellCompDirectiveDefault
		}
		return all, cobra.ShellCompDirectiveNoFileComp
	}
}

// flagValues is what may stand after a flag, by its name. Flags with a value
// that are not in it take a file.
func flagValues(h *host) map[string]func() []string {
	fixed := func(values ...string) func() []string { return func() []string { return values } }
	return map[string]func() []string{
		"interface":       fixed("auto", "fentry", "kprobe", "tracepoint"),
		"senders":         fixed("auto", "exact"),
		"format":          fixed("text", "string", "hex", "hexstring", "json", "pcapng"),
		"color":           fixed(colorAuto, colorAlways, colorNever),
		"direction":       fixed("in", "out", "inout"),
		"autostop":        fixed("duration:", "filesize:", "packets:"),
		"linktype":        linkTypeNames,
		"path":            h.sockets,
		"comm":            h.comms,
		"pid":             h.pids,
		"uid":             accounts("/etc/passwd"),
		"Z":               accounts("/etc/passwd"),
		"since":           fixed("all"),
		"until":           fixed("now"),
		"host":            fixed(),
		"container":       fixed(),
		"cgroup":          fixed(),
		"c":               fixed(),
		"C":               fixed(),
		"G":               fixed(),
		"W":               fixed(),
		"snapshot-length": fixed(),
		"buffer-size":     fixed(),
		"stats-interval":  fixed(),
	}
}

func linkTypeNames() []string {
	var names []string
	for t := pcapng.LinkType; t <= pcapng.LinkTypeLast; t++ {
		names = append(names, pcapng.LinkTypeName(t))
	}
	return append(names, pcapng.LinkTypeName(pcapng.LinkTypeRaw))
}

// startingWith is those of all that begin so.
func startingWith(begun string, all []string) []string {
	var found []string
	for _, s := range all {
		if strings.HasPrefix(s, begun) {
			found = append(found, s)
		}
	}
	return found
}

// knownNames passes on what cobra offers, a line a call, but for long names of
// one letter (-w has no other name), and its own help command, which has none.
type knownNames struct{ io.Writer }

func (k knownNames) Write(line []byte) (int, error) {
	name, _, _ := bytes.Cut(bytes.TrimSpace(line), []byte("\t"))
	if len(name) == 0 || len(name) == 3 && bytes.HasPrefix(name, []byte("--")) {
		return len(line), nil
	}
	return k.Writer.Write(line)
}
