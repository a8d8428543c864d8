package main

import (
	"bufio"
	"cmp"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/sockcap/sockcap/capture/container"
	"github.com/sockcap/sockcap/capture/filter"
	"github.com/sockcap/sockcap/capture/snapshot"
)

// listFlags are what `sockcap list` takes besides an expression.
type listFlags struct {
	ids, json bool
	numeric   int
	values    [6][]string // by shorthands
}

// listCommand is `sockcap list`: the sockets of this moment.
func listCommand(h *host) *cobra.Command {
	var f listFlags
	c := &cobra.Command{
		Use:   "list",
		Short: shortList,
		Long:  helpList,
		RunE: func(c *cobra.Command, args []string) error {
			chosen, err := chooseSockets(strings.Join(args, " "), &f.values, h.root)
			if err != nil {
				return wrongUsage(c, err)
			}
			s, err := snapshot.Take(snapshot.Options{Holders: true, Host: h.root})
			if err != nil {
				return err
			}
			return h.list(s, chosen, &f)
		},
	}
	s := c.Flags()
	s.SortFlags = false
	s.BoolVarP(&f.ids, "e", "e", false, listIDsWords)
	s.BoolVar(&f.json, "json", false, "")
	s.CountVarP(&f.numeric, "n", "n", numericWords)
	for i, name := range shorthands {
		s.StringArrayVar(&f.values[i], name, nil, "")
	}
	return c
}

// list prints those links of s that are chosen, and says what is hidden.
func (h *host) list(s *snapshot.Snapshot, chosen *socketChoice, f *listFlags) error {
	links := chosenLinks(s, chosen)
	out := bufio.NewWriterSize(h.stdout, 64<<10)
	if f.json {
		var line []byte
		for i := range links {
			line = appendLinkJSON(line[:0], &links[i])
			out.Write(line) // an error stays, for Flush
		}
	} else {
		names := userNames{lookup: h.account, numeric: f.numeric > 0}
		width, _ := windowSize(h.stdout)
		writeTable(out, linkTable(links, &names, f.ids), width)
	}
	if err := out.Flush(); err != nil {
		return err
	}
	if len(links) == 0 {
		h.sayNothing(chosen, s)
	}
	h.sayHidden(s, links)
	return nil
}

// chosenLinks are those links of s that are chosen, in order.
func chosenLinks(s *snapshot.Snapshot, chosen *socketChoice) []snapshot.Link {
	links := slices.DeleteFunc(s.Links(), func(l snapshot.Link) bool { return !chosen.has(&l) })
	slices.SortFunc(links, compareLinks)
	return links
}

// compareLinks orders links by address, those without at the end; at one
// address who listens comes first.
func compareLinks(a, b snapshot.Link) int {
	nameA, nameB := a.Address(), b.Address()
	if (nameA == "") != (nameB == "") {
		return len(nameB) - len(nameA)
	}
	return cmp.Or(
		strings.Compare(nameA, nameB),
		rank(a.State)-rank(b.State),
		cmp.Compare(firstPID(a.Client), firstPID(b.Client)),
		cmp.Compare(firstPID(a.Server), firstPID(b.Server)),
		cmp.Compare(a.Any().Inode, b.Any().Inode),
	)
}

func rank(s snapshot.LinkState) int {
	switch s {
	case snapshot.LinkListening:
		return 0
	case snapshot.LinkUnconnected:
		return 1
	case snapshot.LinkPending:
		return 2
	}
	return 3
}

func firstPID(s *snapshot.Socket) uint32 {
	if s == nil || len(s.Holders) == 0 {
		return 0
	}
	return s.Holders[0].Process.PID
}

// socketChoice is an expression that is asked of links.
type socketChoice struct {
	expr  *filter.Expr
	files map[*filter.Path]*snapshot.Files
	asked filter.Sockets // filled anew for each
}

// chooseSockets makes the choice of an expression and the shorthands beside it.
// Files are looked up at once, in the host's file system too, unless that is nil.
func chooseSockets(text string, values *[6][]string, root *container.Root) (*socketChoice, error) {
	expr, err := filter.ParseSockets(text, lookup())
	if err != nil {
		return nil, wrongExpression(err, text, "")
	}
	all := []*filter.Expr{expr}
	for i, name := range shorthands {
		e, err := anyOf(name, values[i])
		if err != nil {
			return nil, err
		}
		all = append(all, e)
	}
	return newSocketChoice(filter.And(all...), root), nil
}

func newSocketChoice(expr *filter.Expr, root *container.Root) *socketChoice {
	c := &socketChoice{expr: expr, files: make(map[*filter.Path]*snapshot.Files)}
	expr.EachPath(func(p *filter.Path) { c.files[p] = snapshot.FindFiles(root, p.Glob()) })
	return c
}

// has reports whether a link is chosen. An end matches by its own address: that
// of a client which is bound, too.
func (c *socketChoice) has(l *snapshot.Link) bool {
	if c.expr.All() {
		return true
	}
	a := &c.asked
	*a = filter.Sockets{Type: l.Any().Type, Inodes: a.Inodes[:0], NetNS: a.NetNS[:0], UIDs: a.UIDs[:0], Processes: a.Processes[:0]}
	for _, s := range []*snapshot.Socket{l.Client, l.Server} {
		if s == nil {
			continue
		}
		a.Inodes, a.NetNS, a.UIDs = append(a.Inodes, s.Inode), append(a.NetNS, s.NetNS), append(a.UIDs, s.UID)
		for i, holder := range s.Holders {
			p := holder.Process
			if i > 0 && s.Holders[i-1].Process == p {
				continue
			}
			a.Processes = append(a.Processes, filter.Process{
				PID: p.PID, UID: p.UID, GID: p.GID, Comm: p.Comm, Place: p.Place,
			})
		}
	}
	return c.expr.MatchSockets(a, func(p *filter.Path) bool {
		return l.Client != nil && c.at(p, l.Client) || l.Server != nil && c.at(p, l.Server)
	})
}

// at reports whether a socket has this path.
func (c *socketChoice) at(p *filter.Path, s *snapshot.Socket) bool {
	return p.Match(s.Address) || c.files[p].Has(s)
}
