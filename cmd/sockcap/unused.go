package main

import (
	"errors"
	"io/fs"

	"github.com/sockcap/sockcap/capture/container"
	"github.com/sockcap/sockcap/capture/filter"
	"github.com/sockcap/sockcap/capture/snapshot"
)

// unusedPath is an address that an expression names, and that no socket has.
type unusedPath struct {
	name string
	mode fs.FileMode // of the file of that name
	err  error       // why nothing is known of that; nil for an abstract name
}

// unused are those that c names one by one.
func (c *socketChoice) unused(s *snapshot.Snapshot, root *container.Root) (all []unusedPath) {
	c.expr.EachPath(func(p *filter.Path) {
		name, ok := p.Name()
		for i := 0; ok && i < len(s.Sockets); i++ {
			ok = !c.at(p, s.Sockets[i])
		}
		if !ok {
			return
		}
		u := unusedPath{name: name}
		if p.Glob() != "" {
			u.mode, u.err = modeOf(root, name)
		}
		all = append(all, u)
	})
	return all
}

// modeOf is that of what a name leads to here, or else in the host's file system.
func modeOf(host *container.Root, name string) (mode fs.FileMode, err error) {
	for _, root := range container.Roots(host) {
		info, failed := root.Stat(name)
		if failed == nil {
			return info.Mode(), nil
		}
		if err == nil || errors.Is(err, fs.ErrNotExist) {
			err = failed
		}
	}
	return 0, err
}

// unusedNow tells why top may stay empty: all that it is to show are addresses,
// and no socket has one of them. It is empty otherwise, and where that can't be
// told.
func (h *host) unusedNow(expr *filter.Expr) []unusedPath {
	names, only := expr.Paths()
	if !only {
		return nil
	}
	s, err := snapshot.Take(snapshot.Options{Host: h.root})
	if err != nil {
		return nil // as who captures is told, too
	}
	if all := newSocketChoice(expr, h.root).unused(s, h.root); len(all) == len(names) {
		return all
	}
	return nil
}
