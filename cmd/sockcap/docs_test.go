package main

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// pending is what the documents may name already: options (as flagName has
// them) and subcommands that are being built. Who adds one takes it from here.
func pending() []string { return nil }

// TestPending: what is there is not pending any more.
func TestPending(t *testing.T) {
	all := commands()
	options := names(all["sockcap"].Flags())
	for _, name := range pending() {
		if options[name] != nil || all["sockcap "+name] != nil {
			t.Errorf("%s is there", name)
		}
	}
}

// commands is the whole command line, with every subcommand, by what a user
// types.
func commands() map[string]*cobra.Command {
	root := commandLine()
	root.AddCommand(subcommands(testHost())...)
	addFlagWords(root)
	all := make(map[string]*cobra.Command)
	var add func(c *cobra.Command)
	add = func(c *cobra.Command) {
		all[c.CommandPath()] = c
		for _, sub := range c.Commands() {
			if !sub.Hidden {
				add(sub)
			}
		}
	}
	add(root)
	return all
}

// commandLine is what parses these arguments.
func commandLine(args ...string) *cobra.Command {
	c, _ := newCommand(testHost(), args)
	return c
}

// names is every way to write each of the flags, without dashes where that is
// a letter: "w", "--linktype".
func names(s *pflag.FlagSet) map[string]*pflag.Flag {
	all := make(map[string]*pflag.Flag)
	s.VisitAll(func(f *pflag.Flag) {
		if f.Shorthand != "" {
			all["-"+f.Shorthand] = f
		}
		if len(f.Name) > 1 {
			all["--"+f.Name] = f
		}
	})
	return all
}

// documented compares the options that a document names with those there are.
// It need not have long names of flags that have a letter.
func documented(t *testing.T, what string, have []string, commands ...*cobra.Command) {
	t.Helper()
	all := make(map[string]*pflag.Flag)
	for _, c := range commands {
		maps.Copy(all, names(c.Flags()))
	}
	for name, f := range all {
		if name == flagName(f) && !slices.Contains(have, name) {
			t.Errorf("%s does not name %s", what, name)
		}
	}
	for _, name := range have {
		if all[name] == nil && name != "--" && !slices.Contains(pending(), name) {
			t.Errorf("%s names %s, which is no option", what, name)
		}
	}
}

// optionsIn finds options in prose: "-w", "-ttttt", "--stats-interval".
func optionsIn(text string) []string {
	var all []string
	for _, m := range regexp.MustCompile(`(?m)(?:^|[ ,\[(|])(--?[A-Za-z#][A-Za-z-]*)`).FindAllStringSubmatch(text, -1) {
		all = append(all, oneLetter(m[1]))
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// oneLetter makes -t of -ttttt.
func oneLetter(option string) string {
	if len(option) > 2 && option[1] != '-' && strings.Trim(option[1:], option[1:2]) == "" {
		return option[:2]
	}
	return option
}

// TestHelp: it fits a screen, and names every option that there is and no
// other; that of a subcommand likewise.
func TestHelp(t *testing.T) {
	for path, c := range commands() {
		lines := strings.Split(strings.TrimSuffix(c.Long, "\n"), "\n")
		if len(lines) > 60 || len(lines) < 2 {
			t.Errorf("%s --help has %d lines, want 2 to 60", path, len(lines))
		}
		for _, l := range lines {
			if n := utf8.RuneCountInString(l); n > 80 {
				t.Errorf("%s --help: %q has %d characters, want at most 80", path, l, n)
			}
		}
		if c.HasParent() {
			continue
		}
		documented(t, "help", append(optionsIn(c.Long), "-#"), c)
	}
	for path, c := range commands() {
		if !c.HasParent() {
			continue
		}
		if !strings.Contains(help, c.Name()) && !c.Parent().HasParent() {
			t.Errorf("help does not name the subcommand %s", c.Name())
		}
		if !strings.Contains(c.Long, path) {
			t.Errorf("%s --help does not say how to call it", path)
		}
		named := optionsIn(c.Long)
		for name, f := range names(c.Flags()) {
			if name == flagName(f) && !slices.Contains(named, name) {
				t.Errorf("%s --help does not name %s", path, name)
			}
		}
		for _, name := range named {
			if !family(c, name) && name != "-h" && name != "--help" {
				t.Errorf("%s --help names %s, which is no option", path, name)
			}
		}
	}
}

// family reports whether a subcommand, or one beside or below it, has this
// option: they share a help.
func family(c *cobra.Command, option string) bool {
	for c.Parent().HasParent() {
		c = c.Parent()
	}
	for _, c := range append([]*cobra.Command{c}, c.Commands()...) {
		if names(c.Flags())[option] != nil {
			return true
		}
	}
	return false
}

// TestCompletionWords: each option and subcommand says what it does where a
// shell offers it.
func TestCompletionWords(t *testing.T) {
	for path, c := range commands() {
		if c.HasParent() && c.Short == "" {
			t.Errorf("%s has no words", path)
		}
		c.Flags().VisitAll(func(f *pflag.Flag) {
			if f.Usage == "" {
				t.Errorf("%s %s has no words", path, flagName(f))
			}
		})
	}
}

// manOptions finds the options in mdoc(7): what follows the macro Fl, up to the
// next macro, only in heads of items or everywhere.
func manOptions(page string, heads bool) []string {
	var all []string
	macro := regexp.MustCompile(`^[A-Z][a-z]$`)
	page = strings.ReplaceAll(page, "\\\n", " ")
	for line := range strings.Lines(page) {
		words := strings.Fields(strings.TrimPrefix(line, "."))
		if !strings.HasPrefix(line, ".") || heads && (len(words) == 0 || words[0] != "It") {
			continue
		}
		inFlag := false
		for _, w := range words {
			switch {
			case macro.MatchString(w):
				inFlag = w == "Fl"
			case inFlag && !slices.Contains([]string{",", ".", ":", ";", "(", ")"}, w):
				all = append(all, oneLetter("-"+w))
			}
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// TestManual: the manual page explains every option and subcommand, and names
// no other.
func TestManual(t *testing.T) {
	text, err := os.ReadFile("sockcap.8")
	if err != nil {
		t.Fatal(err)
	}
	page := string(text)
	var all []*cobra.Command
	for path, c := range commands() {
		all = append(all, c)
		words := strings.TrimPrefix(path, "sockcap ")
		if c.HasParent() && !c.HasSubCommands() && !strings.Contains(page, "\n.It Cm "+words) {
			t.Errorf("the manual page has no item %q", words)
		}
	}
	documented(t, "an item of the manual page", append(manOptions(page, true), "-h"), all...)
	documented(t, "the manual page", slices.DeleteFunc(manOptions(page, false), func(name string) bool {
		return name == "--extcap" // how the names of such options begin
	}), all...)
	known := commands()["sockcap"].Commands()
	for _, m := range regexp.MustCompile(`(?m)^\.It Cm ([a-z]+)`).FindAllStringSubmatch(subsection(page, "Subcommands"), -1) {
		is := func(c *cobra.Command) bool { return c.Name() == m[1] }
		if !slices.ContainsFunc(known, is) && !slices.Contains(pending(), m[1]) {
			t.Errorf("the manual page has the subcommand %s, which is none", m[1])
		}
	}
	for _, word := range primitives() {
		if !regexp.MustCompile(`(?m)^\.(It )?(Xo|Cm) .*\b`+word+`\b`).MatchString(page) && !strings.Contains(page, "\n.Cm "+word+"\n") {
			t.Errorf("the manual page does not have %q, of expressions", word)
		}
	}
}

// subsection is what stands below a heading of the manual page, up to the next.
func subsection(page, heading string) string {
	_, after, _ := strings.Cut(page, "\n.Ss "+heading+"\n")
	after, _, _ = strings.Cut(after, "\n.S")
	return after
}

// TestTcpdumpTable: TCPDUMP.md has every option of tcpdump 4.99 once, and says
// rightly whether it is one here.
func TestTcpdumpTable(t *testing.T) {
	text, err := os.ReadFile("TCPDUMP.md")
	if err != nil {
		t.Fatal(err)
	}
	all := names(commands()["sockcap"].Flags())
	seen := make(map[string]int)
	for _, m := range regexp.MustCompile("(?m)^\\| (`-.*`) \\| ([a-z ]+) \\|").FindAllStringSubmatch(string(text), -1) {
		for _, option := range strings.Split(m[1], ", ") {
			option = strings.Trim(option, "`")
			seen[option]++
			_, have := all[oneLetter(option)]
			have = have || slices.Contains(pending(), option)
			switch verdict := m[2]; verdict {
			case "same", "no effect":
				if !have {
					t.Errorf("%s: %s, but there is no such option", option, verdict)
				}
			case "different":
				if !have && option != "--relinquish-privileges" {
					t.Errorf("%s: %s, but there is no such option", option, verdict)
				}
			case "missing", "not meaningful":
				if have {
					t.Errorf("%s: %s, but there is such an option", option, verdict)
				}
			default:
				t.Errorf("%s: unknown verdict %q", option, verdict)
			}
		}
	}
	for option := range strings.FieldsSeq(`
		-A -b -B --buffer-size -c --count -C -d -dd -ddd -D --list-interfaces -e -E -f -F -G -h --help --version -H
		-i --interface -I --monitor-mode --immediate-mode -j --time-stamp-type -J --list-time-stamp-types
		--time-stamp-precision --micro --nano -K --dont-verify-checksums -l -L --list-data-link-types -m -M -n -N
		-# --number -O --no-optimize -p --no-promiscuous-mode --print -Q --direction -q --quiet -r
		-S --absolute-tcp-sequence-numbers -s --snapshot-length -T -t -tt -ttt -tttt -ttttt -u -U --packet-buffered
		-v -vv -vvv -V -w -W -x -xx -X -XX -y --linktype -z -Z --relinquish-privileges`) {
		if seen[option] != 1 {
			t.Errorf("TCPDUMP.md has %s in %d rows, want 1", option, seen[option])
		}
		delete(seen, option)
	}
	for option := range seen {
		t.Errorf("TCPDUMP.md has %s, which tcpdump does not", option)
	}
}

// calls finds calls of sockcap in a text, where commands begin, each as its
// arguments. Quotes are of no interest here.
func calls(text string) [][]string {
	text = regexp.MustCompile(`(?m)  +# .*$`).ReplaceAllString(text, "")
	call := regexp.MustCompile("(?m)(?:^|[$#|;&('] *|sudo |status 0 |exec (?:[a-z]+ )?|[.]sh )(?:\\./)?sockcap((?: +[^|&;`>\n]+)?)")
	var all [][]string
	for _, m := range call.FindAllStringSubmatch(text, -1) {
		var args []string
		for w := range strings.FieldsSeq(m[1]) {
			args = append(args, strings.Trim(w, `'"`))
		}
		all = append(all, args)
	}
	return all
}

// TestExamples: the calls in README and manual page are ones that sockcap takes.
func TestExamples(t *testing.T) {
	page, err := os.ReadFile("sockcap.8")
	if err != nil {
		t.Fatal(err)
	}
	readme, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	examples := strings.Join(regexp.MustCompile(`(?m)^\.Dl .*`).FindAllString(string(page), -1), "\n")
	examples = strings.ReplaceAll(examples, `\-`, "-")
	blocks := regexp.MustCompile("(?s)```.*?```").FindAllString(string(readme), -1)
	count := 0
	for _, args := range append(calls(examples), calls(strings.Join(blocks, "\n"))...) {
		count++
		c, rest, err := commandLine(args...).Find(args)
		if err == nil {
			err = c.ParseFlags(rest)
		}
		if err != nil {
			t.Errorf("sockcap %s: %v", strings.Join(args, " "), err)
		}
	}
	if count < 30 {
		t.Errorf("found %d examples, want more", count)
	}
}

// TestScriptsCover: each option, each choice of one that has choices, and each
// subcommand is run by a script of testdata/script that wants it to work. The
// shorthands of an expression do everywhere what they do in a capture.
func TestScriptsCover(t *testing.T) {
	files, err := filepath.Glob("../../testdata/script/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	used := make(map[string]bool)
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		script, _, _ := strings.Cut("\n"+string(text), "\n-- ")
		for _, line := range regexp.MustCompile(`(?m)^(exec|status 0) .*`).FindAllString(script, -1) {
			for _, args := range calls(line) {
				noteUse(used, args)
			}
		}
	}
	used["sockcap dissector install system"] = true // writes where all users look: see install_test.go
	used["sockcap dissector uninstall system"] = true
	for path, c := range commands() {
		if !c.HasSubCommands() && !used[path] {
			t.Errorf("no script runs %s", path)
		}
		c.Flags().VisitAll(func(f *pflag.Flag) {
			same := c.HasParent() && slices.Contains(shorthands[:], f.Name)
			if !used[path+" "+f.Name] && !same {
				t.Errorf("no script runs %s %s", path, flagName(f))
			}
		})
	}
	for flag, values := range flagValues(testHost()) {
		if !slices.Contains([]string{"interface", "senders", "format", "color", "direction", "autostop"}, flag) {
			continue
		}
		for _, v := range values() {
			if !used[fmt.Sprintf("%s=%s", flag, v)] {
				t.Errorf("no script runs --%s %s", flag, v)
			}
		}
	}
}

// noteUse notes which options, and values of them, a call has.
func noteUse(used map[string]bool, args []string) {
	c, rest, err := commandLine(args...).Find(args)
	if err != nil {
		return
	}
	used[c.CommandPath()] = true
	c.ParseFlags(rest) // as far as that goes
	c.Flags().Visit(func(f *pflag.Flag) {
		used[c.CommandPath()+" "+f.Name] = true
		values := []string{f.Value.String()}
		if all, ok := f.Value.(pflag.SliceValue); ok {
			values = all.GetSlice()
		}
		for _, v := range values {
			used[f.Name+"="+v] = true
			if what, _, ok := strings.Cut(v, ":"); ok {
				used[f.Name+"="+what+":"] = true
			}
		}
	})
}
