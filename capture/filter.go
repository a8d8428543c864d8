package capture

import (
	"github.com/sockcap/sockcap/bpf"
	"github.com/sockcap/sockcap/capture/container"
	"github.com/sockcap/sockcap/capture/filter"
	"github.com/sockcap/sockcap/pcapng"
)

// exprFilter evaluates an expression, with what the session knows of sockets
// besides what is in a packet: both addresses, and the files that they made.
type exprFilter struct {
	expr  *filter.Expr
	files map[*filter.Path]*pathFilter
	at    func(*filter.Path) bool
	ends  *[2]*socket // of the packet that is looked at: its sender and receiver
}

func newExprFilter(e *filter.Expr, host *container.Root) exprFilter {
	f := exprFilter{expr: e, files: make(map[*filter.Path]*pathFilter), ends: new([2]*socket)}
	e.EachPath(func(t *filter.Path) {
		f.files[t] = newPathFilter(filter.Paths{}, nil, host)
		f.files[t].glob = t.Glob()
	})
	f.at = func(t *filter.Path) bool {
		return t.End != filter.Dst && f.has(t, f.ends[0]) || t.End != filter.Src && f.has(t, f.ends[1])
	}
	return f
}

// keeps reports whether a packet from one socket to another is kept.
func (f *exprFilter) keeps(p *pcapng.Packet, from, to *socket) bool {
	if f.expr.All() {
		return true
	}
	f.ends[0], f.ends[1] = from, to
	return f.expr.MatchAt(p, f.at)
}

// matches gives the paths that a socket matches, by the bits of a kernelFilter.
func (f *exprFilter) matches(k *kernelFilter, s *socket) (paths uint64) {
	for t, bit := range k.bits {
		if bit < bpf.NameBits && f.has(t, s) {
			paths |= 1 << bit
		}
	}
	return paths
}

func (f *exprFilter) has(t *filter.Path, s *socket) bool {
	return s.path != "" && (t.Match(s.path) || f.files[t].same(s))
}

// lookUp looks up all paths for a socket, so that what is found now holds.
func (f *exprFilter) lookUp(s *socket) {
	for _, at := range f.files {
		at.same(s)
	}
}
